// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IEscrow} from "./IEscrow.sol";

/// @title An escrow for devnets and tests: it takes deposits, remembers whose they are, and never gives them back.
contract TestEscrow is IEscrow {
    using SafeERC20 for IERC20;

    mapping(address depositor => mapping(address token => uint256)) public deposits;

    event Deposited(address indexed depositor, address indexed token, uint256 amount);

    function deposit(address token, uint256 amount) external {
        deposits[msg.sender][token] += amount;
        emit Deposited(msg.sender, token, amount);
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
    }
}
