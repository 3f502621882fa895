// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

/// @notice Open until a time that has passed: the analysis does not know that time only goes on.
contract Expired {
    uint256 public immutable until;
    uint256 public value;

    constructor(uint256 until_) {
        until = until_;
    }

    function set(uint256 to) external {
        require(block.timestamp < until, "too late");
        value = to;
    }
}

/// @notice Whoever has the role may, and nobody has it any more: the roles are a mapping, whose slots for unknown
/// accounts are unknown.
contract Roles {
    mapping(bytes32 => mapping(address => bool)) public hasRole;
    uint256 public value;

    constructor() {
        hasRole["admin"][msg.sender] = true;
    }

    function renounce(bytes32 role) external {
        require(hasRole[role][msg.sender], "refused");
        hasRole[role][msg.sender] = false;
    }

    function set(uint256 to) external {
        require(hasRole["admin"][msg.sender], "refused");
        value = to;
    }
}

/// @notice Opens for bytes that have a certain hash, and nobody knows any.
contract NoPreimage {
    bytes32 public lock;
    uint256 public value;

    constructor(bytes32 lock_) {
        lock = lock_;
    }

    function set(bytes calldata secret, uint256 to) external {
        require(keccak256(secret) == lock, "refused");
        value = to;
    }
}

contract Registry {
    mapping(address => bool) public closed;

    function close() external {
        closed[msg.sender] = true;
    }
}

/// @notice Another contract says that it is closed, and always will: its answers are not looked into.
contract Registered {
    Registry public immutable registry;
    uint256 public value;

    constructor(Registry registry_) {
        registry = registry_;
    }

    function close() external {
        registry.close();
    }

    function set(uint256 to) external {
        require(!registry.closed(address(this)), "closed");
        value = to;
    }
}

/// @notice Opens for more ether than there is.
contract Rich {
    uint256 public value;

    function set(uint256 to) external {
        require(address(this).balance > 2 ** 200, "not rich enough");
        value = to;
    }
}

/// @notice Modules by selector, all removed: the map's slots for unknown selectors are unknown.
contract Diamond {
    mapping(bytes4 => address) public modules;
    address public owner = msg.sender;

    function set(bytes4 selector, address module) external {
        require(msg.sender == owner, "refused");
        modules[selector] = module;
    }

    function renounce() external {
        require(msg.sender == owner, "refused");
        delete owner;
    }

    fallback() external {
        address module = modules[msg.sig];
        require(module != address(0), "no such function");
        (bool done,) = module.delegatecall(msg.data);
        require(done, "failed");
    }
}

/// @notice Administers other contracts, until its owner leaves.
contract Administrator {
    address public owner = msg.sender;

    function set(Administered other, uint256 to) external {
        require(msg.sender == owner, "refused");
        other.set(to);
    }

    function renounce() external {
        require(msg.sender == owner, "refused");
        delete owner;
    }
}

/// @notice Obeys a contract that obeys nobody any more: the analysis looks at one account.
contract Administered {
    address public immutable administrator;
    uint256 public value;

    constructor(address administrator_) {
        administrator = administrator_;
    }

    function set(uint256 to) external {
        require(msg.sender == administrator, "refused");
        value = to;
    }
}
