// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

library Tally {
    function twice(uint256 number) external pure returns (uint256) {
        return 2 * number;
    }
}

/// Two immutables and a library, for what compilers write of them.
contract Tiny {
    address public immutable owner;
    uint256 public immutable limit;

    constructor(address owner_, uint256 limit_) {
        owner = owner_;
        limit = limit_;
    }

    function doubled() external view returns (uint256) {
        return Tally.twice(limit);
    }
}
