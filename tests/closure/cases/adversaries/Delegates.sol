// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

/// Slot 0 holds the flag, alone: what runs here by DELEGATECALL finds it there.
abstract contract Wallet {
    uint256 private flag;
    address public owner = msg.sender;

    function closed() public view returns (bool) {
        return flag == 1;
    }

    function close() external {
        require(msg.sender == owner, "not the owner");
        require(flag == 0, "closed");
        flag = 1;
    }

    function reopen_() internal {
        flag = 0;
    }
}

contract Module {
    uint256 private flag;

    function refresh() external {
        flag = 0;
    }

    fallback() external {
        flag = 0;
    }
}

contract ModuleInSlot is Wallet {
    address public module;

    constructor(address module_) {
        module = module_;
    }

    function run(bytes calldata data) external {
        (bool ok,) = module.delegatecall(data);
        require(ok, "failed");
    }
}

contract ModuleFromCalldata is Wallet {
    function run(address module, bytes calldata data) external {
        require(msg.sender == owner, "not the owner");
        (bool ok,) = module.delegatecall(data);
        require(ok, "failed");
    }
}

/// A DELEGATECALL to one fixed address, which the constructor is told.
contract FixedTarget is Wallet {
    address private immutable TARGET;

    constructor(address target) {
        TARGET = target;
    }

    function run() external {
        (bool ok,) = TARGET.delegatecall("");
        require(ok, "failed");
    }
}

/// Knows where its child will be before it is there.
contract Nursery {
    bytes32 private constant SALT = bytes32(uint256(7));

    function born() external {
        new Module{salt: SALT}();
    }

    function place() public view returns (address) {
        bytes32 code = keccak256(type(Module).creationCode);
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), SALT, code)))));
    }
}

contract EmptyTarget is Wallet {
    address private immutable TARGET;

    constructor(Nursery nursery) {
        TARGET = nursery.place();
    }

    function run() external {
        (bool ok,) = TARGET.delegatecall("");
        require(ok, "failed");
    }
}

contract Precompile is Wallet {
    /// 0x04 has no code, and yet it answers: with what it was given.
    function run(bytes calldata data) external {
        (bool ok, bytes memory answer) = address(4).delegatecall(data);
        require(ok, "failed");
        if (answer.length == 32 && abi.decode(answer, (uint256)) == 42) reopen_();
    }
}

contract PrecompileFails is Wallet {
    /// 0x08 (pairing) fails for anything that is not a multiple of 192 bytes.
    function run(bytes calldata data) external {
        (bool ok,) = address(8).delegatecall(data);
        if (!ok) reopen_();
    }
}

contract Heavy {
    /// Never reverts; needs about a million gas, for memory.
    fallback() external {
        assembly {
            return(0, 700000)
        }
    }
}

contract OutOfGas is Wallet {
    address private immutable HEAVY;

    constructor(address heavy) {
        HEAVY = heavy;
    }

    /// Written for the case that cannot happen: the callee has no way to fail, except for want of gas.
    function run() external {
        (bool ok,) = HEAVY.delegatecall("");
        if (!ok) reopen_();
    }
}

contract Recursion is Wallet {
    /// Calls itself until a call fails, which it must.
    function run() external {
        (bool ok,) = address(this).delegatecall(msg.data);
        if (!ok) reopen_();
    }
}

contract Diamond is Wallet {
    mapping(bytes4 => address) private facets;

    constructor(address facet) {
        facets[Module.refresh.selector] = facet;
    }

    fallback() external {
        address facet = facets[msg.sig];
        require(facet != address(0), "no facet");
        (bool ok,) = facet.delegatecall(msg.data);
        require(ok, "failed");
    }
}

contract Passes is Wallet {
    address private immutable TARGET;

    constructor(address target) {
        TARGET = target;
    }

    function run(bytes calldata data) external {
        (bool ok,) = TARGET.delegatecall(data);
        require(ok, "failed");
    }
}

/// Two frames down, still on the same storage; the calldata says whose code it is.
contract Nested {
    fallback() external {
        (bool ok,) = address(bytes20(msg.data[:20])).delegatecall(msg.data[20:]);
        ok;
    }
}
