// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {
    NoWithdrawal,
    NotFactoryOwner,
    WithdrawalTooEarly,
    WrongNonce,
    WrongPause,
    WrongSigner,
    ZeroAddress
} from "../../src/Errors.sol";
import {OffBlocksSmartWallet} from "../../src/offblocks/OffBlocksSmartWallet.sol";
import {OffBlocksTest} from "../utils/OffBlocksTest.sol";

/// @notice What a wallet of the documented shape is for, and who may do it.
contract UseTest is OffBlocksTest {
    function approve(uint256 amount, uint256 nonce) private {
        bytes memory signature = sign(documented.approvalMessage(address(token), amount, nonce));
        vm.prank(stranger);
        documented.approveToken(address(token), amount, nonce, signature);
    }

    function pause() private {
        vm.prank(operator);
        documented.pause();
    }

    function test_IsActiveFromItsDeployment() public view {
        vm.assertEq(uint256(documented.status()), 0);
        vm.assertEq(documented.owner(), owner);
        vm.assertEq(documented.escrow(), address(escrow));
        vm.assertEq(documented.smartWalletFactory(), address(offblocks));
    }

    function test_RevertWhen_ItHasNoFactory() public {
        vm.expectRevert(abi.encodeWithSelector(ZeroAddress.selector, "smartWalletFactory"));
        new OffBlocksSmartWallet(owner, address(escrow), address(0));
    }

    function testFuzz_ApprovesAndDepositsByTheOwnersSignature(uint128 amount) public {
        token.mint(address(documented), amount);
        approve(amount, 0);
        vm.assertEq(documented.nonce(), 1);
        vm.prank(owner);
        documented.deposit(address(token), amount);
        vm.assertEq(escrow.deposits(address(documented), address(token)), amount);
    }

    function test_RevertWhen_AnApprovalIsUsedAgainOrAnotherKeys() public {
        approve(5, 0);
        bytes memory used = sign(documented.approvalMessage(address(token), 5, 0));
        vm.expectRevert(abi.encodeWithSelector(WrongNonce.selector, 1, 0));
        documented.approveToken(address(token), 5, 0, used);
        bytes memory foreign = sign(OWNER_KEY + 1, documented.approvalMessage(address(token), 5, 1));
        vm.expectRevert(abi.encodeWithSelector(WrongSigner.selector, owner, vm.addr(OWNER_KEY + 1)));
        documented.approveToken(address(token), 5, 1, foreign);
    }

    function test_PaysOutAfterTheDelayAndOnce() public {
        token.mint(address(documented), 9);
        vm.deal(address(documented), 8);
        vm.deal(owner, 0);
        address[2] memory kinds = [address(token), address(0)];
        for (uint256 i = 0; i < 2; ++i) {
            vm.warp(1 days);
            vm.prank(owner);
            documented.requestWithdrawal(kinds[i], 8);
            vm.expectRevert(abi.encodeWithSelector(WithdrawalTooEarly.selector, 2 days, 1 days));
            vm.prank(owner);
            documented.withdraw(kinds[i]);
            vm.warp(2 days);
            vm.prank(owner);
            documented.withdraw(kinds[i]);
            vm.expectRevert(abi.encodeWithSelector(NoWithdrawal.selector, kinds[i]));
            vm.prank(owner);
            documented.withdraw(kinds[i]);
        }
        vm.assertEq(token.balanceOf(owner), 8);
        vm.assertEq(owner.balance, 8);
    }

    function test_RevertWhen_CallerIsNotTheOwner() public {
        bytes memory reason = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, operator);
        vm.expectRevert(reason);
        vm.prank(operator);
        documented.deposit(address(token), 1);
        vm.expectRevert(reason);
        vm.prank(operator);
        documented.requestWithdrawal(address(token), 1);
        vm.expectRevert(reason);
        vm.prank(operator);
        documented.withdraw(address(token));
    }

    function test_APausedWalletWaitsUntilItIsResumed() public {
        pause();
        vm.assertEq(vm.load(address(documented), 0), bytes32(uint256(1) << 160 | uint160(owner)));
        vm.expectRevert(abi.encodeWithSelector(WrongPause.selector, false, true));
        vm.prank(owner);
        documented.deposit(address(token), 1);
        vm.expectRevert(abi.encodeWithSelector(WrongPause.selector, false, true));
        pause();
        vm.prank(operator);
        documented.unpause();
        vm.assertFalse(documented.paused(), "paused");
        vm.expectRevert(abi.encodeWithSelector(WrongPause.selector, true, false));
        vm.prank(operator);
        documented.unpause();
    }

    function testFuzz_RevertWhen_AnotherPausesOrResumes(address caller) public {
        vm.assume(caller != operator);
        bytes memory reason = abi.encodeWithSelector(NotFactoryOwner.selector, operator, caller);
        vm.expectRevert(reason);
        vm.prank(caller);
        documented.pause();
        vm.expectRevert(reason);
        vm.prank(caller);
        documented.unpause();
    }
}
