// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {TestEscrow} from "../../src/TestEscrow.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract DepositTest is WalletTest {
    function testFuzz_PullsAndRemembers(address depositor, uint128 first, uint128 second) public {
        vm.assume(depositor != address(0) && depositor != address(escrow));
        uint256 sum = uint256(first) + second;
        token.mint(depositor, sum);
        vm.prank(depositor);
        token.approve(address(escrow), sum);
        vm.expectEmit(address(escrow));
        emit TestEscrow.Deposited(depositor, address(token), first);
        vm.prank(depositor);
        escrow.deposit(address(token), first);
        vm.prank(depositor);
        escrow.deposit(address(token), second);
        vm.assertEq(escrow.deposits(depositor, address(token)), sum);
        vm.assertEq(token.balanceOf(address(escrow)), sum);
    }

    function test_RevertWhen_NotApproved() public {
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, escrow, 0, 1));
        vm.prank(stranger);
        escrow.deposit(address(token), 1);
    }
}
