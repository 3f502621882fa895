// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {NotOwnerOperatorOrSessionKey, WalletClosed} from "../../src/Errors.sol";
import {State} from "../../src/Types.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract DepositToEscrowTest is WalletTest {
    function testFuzz_ByOwnerOperatorOrSessionKey(uint128 amount, uint8 who) public {
        activateWithSessionKey();
        token.mint(address(wallet), amount);
        vm.prank(owner);
        wallet.approveEscrow(address(token), amount);
        vm.prank(who % 3 == 0 ? owner : who % 3 == 1 ? operator : sessionKey);
        wallet.depositToEscrow(address(token), amount);
        vm.assertEq(escrow.deposits(address(wallet), address(token)), amount);
        vm.assertEq(token.balanceOf(address(escrow)), amount);
        vm.assertEq(token.balanceOf(address(wallet)), 0);
    }

    function test_RevertWhen_MoreThanWasApproved() public {
        activate();
        token.mint(address(wallet), 10);
        vm.prank(owner);
        wallet.approveEscrow(address(token), 3);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, escrow, 3, 4));
        vm.prank(operator);
        wallet.depositToEscrow(address(token), 4);
    }

    function testFuzz_RevertWhen_CallerIsAnother(address caller) public {
        vm.assume(caller != owner && caller != operator && caller != sessionKey);
        activateWithSessionKey();
        vm.expectRevert(
            abi.encodeWithSelector(NotOwnerOperatorOrSessionKey.selector, owner, operator, sessionKey, caller)
        );
        vm.prank(caller);
        wallet.depositToEscrow(address(token), 0);
    }

    function test_RevertWhen_Created() public {
        expectWrongState(State.Active, State.Created);
        vm.prank(operator);
        wallet.depositToEscrow(address(token), 0);
    }

    function test_RevertWhen_Inactive() public {
        bring(State.Inactive);
        expectWrongState(State.Active, State.Inactive);
        vm.prank(operator);
        wallet.depositToEscrow(address(token), 0);
    }

    function test_RevertWhen_Closed() public {
        activate();
        token.mint(address(wallet), 10);
        vm.prank(owner);
        wallet.approveEscrow(address(token), 10);
        close();
        expectNamed(WalletClosed.selector);
        vm.prank(operator);
        wallet.depositToEscrow(address(token), 10);
    }
}
