// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

abstract contract Wallet {
    address public owner = msg.sender;
    bool public closed;

    function close() external virtual {
        require(msg.sender == owner, "not the owner");
        require(!closed, "closed");
        closed = true;
    }

    function recovered(bytes32 r, bytes32 s, uint8 v) internal pure returns (address) {
        return ecrecover(keccak256("reopen"), v, r, s);
    }
}

contract OwnerZero is Wallet {
    function close() external override {
        require(msg.sender == owner, "not the owner");
        closed = true;
        owner = address(0);
    }

    /// Nobody is left to sign, and that is what ecrecover says of a bad signature.
    function reopen(bytes32 r, bytes32 s, uint8 v) external {
        require(recovered(r, s, v) == owner, "not the owner");
        closed = false;
    }
}

contract SignedByOwner is Wallet {
    function reopen(bytes32 r, bytes32 s, uint8 v) external {
        require(recovered(r, s, v) == owner, "not the owner");
        closed = false;
    }
}
