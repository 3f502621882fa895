// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice Where a wallet stands. Created → Active ⇄ Inactive → Closed; Created may be closed too; Closed is final.
enum State {
    Created,
    Active,
    Inactive,
    Closed
}

/// @notice What a challenge was issued for. A signature for the one never serves the other.
enum Purpose {
    Creation,
    Deletion
}
