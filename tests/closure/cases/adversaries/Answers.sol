// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

/// Nothing can be changed any more, but somebody is still answered.
abstract contract Wallet {
    address public owner = msg.sender;
    bool public closed;

    function close() external {
        require(msg.sender == owner, "not the owner");
        require(!closed, "closed");
        closed = true;
    }
}

contract Always is Wallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return 0x1626ba7e;
    }
}

contract Recovered is Wallet {
    /// Signatures that were given before stay valid.
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (bytes32 r, bytes32 s, uint8 v) = abi.decode(signature, (bytes32, bytes32, uint8));
        return ecrecover(hash, v, r, s) == owner ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}

contract ByFallback is Wallet {
    fallback(bytes calldata) external returns (bytes memory) {
        return abi.encode(bytes4(0x1626ba7e));
    }
}

contract FromStorage is Wallet {
    bytes32 private answer = bytes32(bytes4(0x1626ba7e));

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes32) {
        return answer;
    }
}

contract ByByte is Wallet {
    fallback() external {
        assembly {
            mstore(0, 0)
            mstore8(3, 0x7e)
            mstore8(1, 0x26)
            mstore8(0, 0x16)
            mstore8(2, 0xba)
            return(0, 32)
        }
    }
}

contract Echo is Wallet {
    /// Sends back what it was sent: the selector of the question is its answer.
    fallback(bytes calldata data) external returns (bytes memory) {
        return data;
    }
}

contract Presigned is Wallet {
    mapping(bytes32 => bool) public approved;

    function approve(bytes32 hash) external {
        require(msg.sender == owner && !closed, "not now");
        approved[hash] = true;
    }

    function isValidSignature(bytes32 hash, bytes calldata) external view returns (bytes4) {
        return approved[hash] ? bytes4(0x1626ba7e) : bytes4(0);
    }
}

contract Validator {
    function isValidSignature(bytes32, bytes calldata signature) external pure returns (bytes4) {
        return signature.length == 65 ? bytes4(0x1626ba7e) : bytes4(0);
    }
}

contract AsksValidator is Wallet {
    Validator private immutable VALIDATOR;

    constructor(Validator validator) {
        VALIDATOR = validator;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        return VALIDATOR.isValidSignature(hash, signature);
    }
}

contract Legacy is Wallet {
    function isValidSignature(bytes calldata, bytes calldata) external pure returns (bytes4) {
        return 0x20c13b0b;
    }
}

contract UserOperation7 is Wallet {
    struct PackedUserOperation {
        address sender;
        uint256 nonce;
        bytes initCode;
        bytes callData;
        bytes32 accountGasLimits;
        uint256 preVerificationGas;
        bytes32 gasFees;
        bytes paymasterAndData;
        bytes signature;
    }

    /// 0 is yes.
    function validateUserOp(PackedUserOperation calldata, bytes32, uint256) external pure returns (uint256) {
        return 0;
    }
}

contract UserOperation6 is Wallet {
    struct UserOperation {
        address sender;
        uint256 nonce;
        bytes initCode;
        bytes callData;
        uint256 callGasLimit;
        uint256 verificationGasLimit;
        uint256 preVerificationGas;
        uint256 maxFeePerGas;
        uint256 maxPriorityFeePerGas;
        bytes paymasterAndData;
        bytes signature;
    }

    address private immutable ENTRY_POINT;

    constructor(address entryPoint) {
        ENTRY_POINT = entryPoint;
    }

    /// Not before 2040, by the upper bits of the answer, but yes.
    function validateUserOp(UserOperation calldata, bytes32, uint256) external view returns (uint256) {
        require(msg.sender == ENTRY_POINT, "not the entry point");
        return uint256(2_208_988_800) << 208;
    }
}

contract FlashLoan is Wallet {
    function onFlashLoan(address, address, uint256, uint256, bytes calldata) external pure returns (bytes32) {
        return keccak256("ERC3156FlashBorrower.onFlashLoan");
    }
}

/// EIP-1967, for the answer behind it.
contract Proxy {
    constructor(address implementation) {
        assembly {
            sstore(0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc, implementation)
        }
    }

    fallback() external payable {
        assembly {
            calldatacopy(0, 0, calldatasize())
            let to := sload(0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc)
            let ok := delegatecall(gas(), to, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if iszero(ok) { revert(0, returndatasize()) }
            return(0, returndatasize())
        }
    }
}

contract Implementation {
    address private owner;
    bool public closed;

    function initialize() external {
        require(owner == address(0) && !closed, "initialized");
        owner = msg.sender;
    }

    function close() external {
        require(msg.sender == owner && !closed, "not now");
        closed = true;
    }

    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return 0x1626ba7e;
    }
}

/// A counter-example: the magic, but in data that a failure carries, so nobody takes it for an answer.
contract RevertsMagic is Wallet {
    fallback() external {
        assembly {
            mstore(0, shl(224, 0x1626ba7e))
            revert(0, 32)
        }
    }
}
