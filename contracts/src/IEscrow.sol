// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice What a wallet needs of an escrow: it pulls the tokens that its caller has approved.
interface IEscrow {
    function deposit(address token, uint256 amount) external;
}
