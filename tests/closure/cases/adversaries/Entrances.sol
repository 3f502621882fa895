// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

abstract contract Wallet {
    address public owner = msg.sender;
    bool public closed;

    modifier whenOpen() {
        require(!closed, "closed");
        _;
    }

    function close() external whenOpen {
        require(msg.sender == owner, "not the owner");
        closed = true;
    }
}

contract FallbackHook is Wallet {
    fallback() external {
        if (msg.sender == owner) closed = false;
    }
}

contract ReceiveMagic is Wallet {
    receive() external payable {
        if (msg.value == 0.01337 ether) closed = false;
    }
}

contract ShortCalldata is Wallet {
    /// Too short for any selector.
    fallback() external {
        if (msg.data.length == 3) closed = false;
    }
}

contract LongCalldata is Wallet {
    function ping() external {
        if (msg.data.length > 10_000) closed = false;
    }
}

contract LastByte is Wallet {
    function ping(bytes calldata data) external {
        if (data.length > 100 && data[data.length - 1] == 0x2a) closed = false;
    }
}

contract ReadsAnySlot is Wallet {
    /// No preimage is needed: any slot may be named, and one holds what is asked for.
    function prove(uint256 slot) external {
        uint256 found;
        assembly {
            found := sload(slot)
        }
        require(found >> 160 == 1, "not the flag");
        closed = false;
    }
}

contract CountsUp is Wallet {
    function count(uint256 times) external {
        for (uint256 i; i < times; ++i) {
            if (i == 77) closed = false;
        }
    }
}

contract CountsFar is Wallet {
    /// Acts after exactly a hundred thousand rounds, which fit into a block.
    function count(uint256 times) external {
        uint256 state = 1;
        for (uint256 i; i < times; ++i) {
            unchecked {
                state = state * 6364136223846793005 + 1442695040888963407;
            }
        }
        if (state == 0x46144aaa89fc51db93d2a1c57bae2a201ab92edbb5208f0a6cfc9548ff6cbfa1) closed = false;
    }
}

contract Multicall is Wallet {
    bool private entered;

    function multicall(bytes[] calldata calls) external {
        require(!entered, "entered");
        entered = true;
        for (uint256 i; i < calls.length; ++i) {
            (bool ok,) = address(this).delegatecall(calls[i]);
            require(ok, "failed");
        }
        entered = false;
    }

    /// Cannot be called but by the function above.
    function inner() external {
        require(entered, "not entered");
        closed = false;
    }
}

contract SelfCall is Wallet {
    function poke(bytes calldata data) external {
        (bool ok,) = address(this).call(data);
        require(ok, "failed");
    }

    function reopen() external {
        require(msg.sender == address(this), "only itself");
        closed = false;
    }
}

contract Reenter is Wallet {
    /// Open while it calls out, and closed again afterwards: before and after, the flag is set.
    function flash(address target) external {
        bool before = closed;
        closed = false;
        (bool ok,) = target.call("");
        require(ok, "failed");
        closed = before;
    }

    function withdraw() external whenOpen {
        payable(msg.sender).transfer(address(this).balance);
    }

    receive() external payable {}
}

/// Called back by `flash`, it calls back.
contract Thief {
    receive() external payable {
        if (msg.value == 0) Reenter(payable(msg.sender)).withdraw();
    }
}
