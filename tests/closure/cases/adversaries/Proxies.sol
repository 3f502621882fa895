// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

// EIP-1967: keccak256("eip1967.proxy.implementation") - 1, and so on.
bytes32 constant IMPLEMENTATION = 0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc;
bytes32 constant ADMIN = 0xb53127684a568b3173ae13b9f8a6016e243e63b6e8ee1178d6a717850b5d6103;
bytes32 constant BEACON = 0xa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6cb3582b35133d50;

abstract contract Forwards {
    function target() internal view virtual returns (address to) {
        assembly {
            to := sload(IMPLEMENTATION)
        }
    }

    function forward() internal {
        address to = target();
        assembly {
            calldatacopy(0, 0, calldatasize())
            let ok := delegatecall(gas(), to, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if iszero(ok) { revert(0, returndatasize()) }
            return(0, returndatasize())
        }
    }
}

contract Proxy is Forwards {
    constructor(address implementation) {
        assembly {
            sstore(IMPLEMENTATION, implementation)
        }
    }

    fallback() external payable {
        forward();
    }
}

/// Every function of it asks for the flag first.
contract Guarded {
    address public owner;
    bool public closed;
    uint256 public number;

    modifier whenOpen() {
        require(!closed, "closed");
        _;
    }

    function initialize() external whenOpen {
        require(owner == address(0), "initialized");
        owner = msg.sender;
    }

    function close() external whenOpen {
        require(msg.sender == owner, "not the owner");
        closed = true;
    }

    function set(uint256 to) external whenOpen {
        number = to;
    }
}

contract UupsOpen is Guarded {
    function upgradeTo(address implementation) external {
        require(msg.sender == owner, "not the owner");
        assembly {
            sstore(IMPLEMENTATION, implementation)
        }
    }
}

/// What an upgrade can bring.
contract Reopener {
    address public owner;
    bool public closed;

    function reopen() external {
        closed = false;
    }
}

contract Transparent is Forwards {
    constructor(address implementation, address admin) {
        assembly {
            sstore(IMPLEMENTATION, implementation)
            sstore(ADMIN, admin)
        }
    }

    /// The implementation is never asked when the administrator calls.
    fallback() external payable {
        bool administrator;
        assembly {
            administrator := eq(caller(), sload(ADMIN))
        }
        if (!administrator) forward();
        address to = abi.decode(msg.data[4:], (address));
        if (msg.sig == bytes4(keccak256("upgradeTo(address)"))) {
            assembly {
                sstore(IMPLEMENTATION, to)
            }
        } else if (msg.sig == bytes4(keccak256("changeAdmin(address)"))) {
            assembly {
                sstore(ADMIN, to)
            }
        } else {
            revert("unknown");
        }
    }
}

contract Beacon {
    address public implementation;

    constructor(address to) {
        implementation = to;
    }

    function upgradeTo(address to) external {
        implementation = to;
    }
}

contract BeaconProxy is Forwards {
    constructor(address beacon) {
        assembly {
            sstore(BEACON, beacon)
        }
    }

    function target() internal view override returns (address) {
        address beacon;
        assembly {
            beacon := sload(BEACON)
        }
        return Beacon(beacon).implementation();
    }

    fallback() external payable {
        forward();
    }
}

/// EIP-1167, byte for byte.
contract Clone {
    constructor(address implementation) {
        assembly {
            mstore(0, shl(176, 0x363d3d373d3d3d363d73))
            mstore(10, shl(96, implementation))
            mstore(30, shl(136, 0x5af43d82803e903d91602b57fd5bf3))
            return(0, 45)
        }
    }
}

contract OpenImplementation is Guarded {
    function migrate(uint256 to) external {
        require(msg.sender == owner, "not the owner");
        number = to;
    }
}

/// Its own flag lies where the implementation keeps nothing that it looks at.
contract CollidingProxy is Forwards {
    bool public closed;

    constructor(address implementation) {
        assembly {
            sstore(IMPLEMENTATION, implementation)
        }
    }

    function close() external {
        closed = true;
    }

    fallback() external payable {
        forward();
    }
}

/// Slot 0 is a note here, and the flag is in slot 1.
contract CollidingImplementation {
    uint256 public note;
    bool public stopped;
    uint256 public number;

    function set(uint256 to) external {
        require(!stopped, "closed");
        number = to;
    }
}
