// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

/// @notice A wallet to stand behind a proxy: initialized, guarded, upgradeable while it is open.
contract Implementation {
    bytes32 private constant _IMPLEMENTATION = 0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc;

    address public owner;
    bool public closed;
    uint256 public nonce;

    modifier open() {
        require(!closed, "closed");
        _;
    }

    modifier onlyOwner() {
        require(msg.sender == owner, "not the owner");
        _;
    }

    function initialize(address owner_) external {
        require(owner == address(0), "initialized");
        owner = owner_;
    }

    function execute(address to, uint256 value, bytes calldata data) external open onlyOwner returns (bytes memory) {
        nonce += 1;
        (bool done, bytes memory answer) = to.call{value: value}(data);
        require(done, "failed");
        return answer;
    }

    function upgradeTo(address to) external open onlyOwner {
        require(to.code.length != 0, "no code");
        assembly {
            sstore(_IMPLEMENTATION, to)
        }
    }

    function close() external open onlyOwner {
        closed = true;
    }

    function domain(string calldata name) external view returns (bytes32) {
        return keccak256(abi.encode(name, block.chainid, address(this), owner));
    }

    receive() external payable open {}
}

/// @notice EIP-1967, with whatever the implementation answers.
contract Proxy {
    bytes32 private constant _IMPLEMENTATION = 0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc;

    constructor(address implementation, bytes memory data) payable {
        assembly {
            sstore(_IMPLEMENTATION, implementation)
        }
        (bool done,) = implementation.delegatecall(data);
        require(done, "initialization failed");
    }

    fallback() external payable {
        assembly {
            let implementation := sload(_IMPLEMENTATION)
            calldatacopy(0, 0, calldatasize())
            let done := delegatecall(gas(), implementation, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch done
            case 0 { revert(0, returndatasize()) }
            default { return(0, returndatasize()) }
        }
    }

    receive() external payable {
        (bool done,) = _implementation().delegatecall("");
        require(done, "refused");
    }

    function _implementation() internal view returns (address implementation) {
        assembly {
            implementation := sload(_IMPLEMENTATION)
        }
    }
}

/// @notice As a transparent proxy, of an administrator who has resigned (is 0x0).
contract Transparent {
    bytes32 private constant _IMPLEMENTATION = 0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc;
    bytes32 private constant _ADMIN = 0xb53127684a568b3173ae13b9f8a6016e243e63b6e8ee1178d6a717850b5d6103;

    constructor(address implementation, address admin, bytes memory data) {
        assembly {
            sstore(_IMPLEMENTATION, implementation)
            sstore(_ADMIN, admin)
        }
        (bool done,) = implementation.delegatecall(data);
        require(done, "initialization failed");
    }

    function _read(bytes32 slot) private view returns (address value) {
        assembly {
            value := sload(slot)
        }
    }

    function _write(bytes32 slot, address value) private {
        assembly {
            sstore(slot, value)
        }
    }

    fallback() external payable {
        if (msg.sender == _read(_ADMIN)) {
            (bytes4 selector, address value) = abi.decode(abi.encodePacked(msg.sig, bytes28(0), msg.data[4:]), (bytes4, address));
            if (selector == bytes4(keccak256("upgradeTo(address)"))) _write(_IMPLEMENTATION, value);
            else if (selector == bytes4(keccak256("changeAdmin(address)"))) _write(_ADMIN, value);
            else revert("the administrator cannot use the wallet");
        } else {
            (bool done, bytes memory answer) = _read(_IMPLEMENTATION).delegatecall(msg.data);
            assembly {
                switch done
                case 0 { revert(add(answer, 32), mload(answer)) }
                default { return(add(answer, 32), mload(answer)) }
            }
        }
    }

    receive() external payable {
        revert("no ether");
    }
}

/// @notice Makes EIP-1167 clones.
contract Cloner {
    function clone(address implementation, bytes32 salt) external returns (address made) {
        bytes memory code = abi.encodePacked(
            hex"3d602d80600a3d3981f3363d3d373d3d3d363d73", implementation, hex"5af43d82803e903d91602b57fd5bf3"
        );
        assembly {
            made := create2(0, add(code, 32), mload(code), salt)
        }
        require(made != address(0), "not made");
    }
}

/// @notice A proxy in front of the implementation's address in its own code, like a clone, but written in Solidity.
contract ImmutableProxy {
    address public immutable implementation;

    constructor(address implementation_, bytes memory data) {
        implementation = implementation_;
        (bool done,) = implementation_.delegatecall(data);
        require(done, "initialization failed");
    }

    fallback() external payable {
        (bool done, bytes memory answer) = implementation.delegatecall(msg.data);
        if (!done) {
            assembly {
                revert(add(answer, 32), mload(answer))
            }
        }
        assembly {
            return(add(answer, 32), mload(answer))
        }
    }

    receive() external payable {
        revert("no ether");
    }
}
