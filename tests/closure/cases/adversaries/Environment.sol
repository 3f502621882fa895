// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

/// Closed for as long as the world stays as it is.
abstract contract Wallet {
    address public owner = msg.sender;
    bool public closed;

    function close() external {
        require(msg.sender == owner, "not the owner");
        require(!closed, "closed");
        closed = true;
    }
}

contract TimeBomb is Wallet {
    function tick() external {
        if (block.timestamp > 2_000_000_000) closed = false;
    }
}

contract BlockBomb is Wallet {
    function tick() external {
        if (block.number > 5_000_000 && block.number % 2 == 1) closed = false;
    }
}

contract Lottery is Wallet {
    function draw() external {
        if (block.prevrandao % 1024 == 777) closed = false;
    }
}

contract BlockhashLottery is Wallet {
    function draw() external {
        if (uint256(blockhash(block.number - 1)) % 1024 == 3) closed = false;
    }
}

contract GasPrice is Wallet {
    function draw() external {
        if (tx.gasprice > 1000 gwei) closed = false;
    }
}

contract GasRich is Wallet {
    function draw() external {
        if (gasleft() > 9_000_000) closed = false;
    }
}

contract GasPoor is Wallet {
    function draw() external {
        if (gasleft() < 40_000) closed = false;
    }
}

contract BaseFee is Wallet {
    function draw() external {
        if (block.basefee > 3000 gwei) closed = false;
    }
}

contract OtherChain is Wallet {
    function draw() external {
        if (block.chainid == 987_654_321) closed = false;
    }
}

contract CoinbaseCaller is Wallet {
    function draw() external {
        if (msg.sender == block.coinbase) closed = false;
    }
}

contract Balance is Wallet {
    function give() external payable {
        if (address(this).balance > 5 ether) closed = false;
    }
}

contract Value is Wallet {
    function give() external payable {
        if (msg.value == 1337) closed = false;
    }
}

contract ContractCaller is Wallet {
    function meet() external {
        if (msg.sender.code.length > 0) closed = false;
    }
}

contract OriginDiffers is Wallet {
    function meet() external {
        if (tx.origin != msg.sender) closed = false;
    }
}

contract OwnCode is Wallet {
    /// Its own code has a size, and no caller can change it.
    function meet() external {
        if (address(this).code.length > 10 && address(this).codehash != 0) closed = false;
    }
}

/// Stands between: its caller is the origin, it is the sender.
contract Relay {
    function relay(address to, bytes calldata data) external payable {
        (bool ok,) = to.call{value: msg.value}(data);
        require(ok, "failed");
    }
}
