// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AlreadyDeployed, NotOperator, ZeroAddress} from "../../src/Errors.sol";
import {SmartWallet} from "../../src/SmartWallet.sol";
import {SmartWalletFactory} from "../../src/SmartWalletFactory.sol";
import {Purpose, State} from "../../src/Types.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract DeploySmartWalletTest is WalletTest {
    function testFuzz_AtThePredictedAddressWithItsChallenge(
        address walletOwner,
        address escrow_,
        bytes16 accountId,
        bytes32 challengeHash
    ) public {
        vm.assume(walletOwner != address(0) && accountId != ACCOUNT_ID);
        address predicted = factory.predictSmartWallet(walletOwner, escrow_, accountId);
        vm.assertEq(predicted.code.length, 0);
        bytes32 salt = factory.salt(walletOwner, accountId);

        vm.expectEmit(address(factory));
        emit SmartWalletFactory.SmartWalletCreated(predicted, walletOwner, accountId, escrow_, salt, challengeHash);
        vm.prank(operator);
        wallet = SmartWallet(payable(factory.deploySmartWallet(walletOwner, escrow_, accountId, challengeHash)));

        vm.assertEq(address(wallet), predicted);
        vm.assertEq(factory.walletOf(accountId), predicted);
        vm.assertEq(wallet.owner(), walletOwner);
        vm.assertEq(wallet.operator(), operator);
        vm.assertEq(wallet.escrow(), escrow_);
        vm.assertEq(wallet.entryPoint(), entryPoint);
        vm.assertEq(wallet.factory(), address(factory));
        assertState(State.Created);
        vm.assertEq(slot(1), wallet.computeCommitment(Purpose.Creation, challengeHash));
    }

    function testFuzz_RevertWhen_TheAccountHasItsWallet(address walletOwner, address escrow_) public {
        vm.assume(walletOwner != address(0));
        vm.expectRevert(abi.encodeWithSelector(AlreadyDeployed.selector, ACCOUNT_ID, wallet));
        vm.prank(operator);
        factory.deploySmartWallet(walletOwner, escrow_, ACCOUNT_ID, keccak256(CREATION));
    }

    function test_RevertWhen_TheAccountHadItsWalletAndClosedIt() public {
        close();
        vm.expectRevert(abi.encodeWithSelector(AlreadyDeployed.selector, ACCOUNT_ID, wallet));
        vm.prank(operator);
        factory.deploySmartWallet(owner, address(escrow), ACCOUNT_ID, keccak256(CREATION));
    }

    function testFuzz_RevertWhen_CallerIsNotTheOperator(address caller) public {
        vm.assume(caller != operator);
        vm.expectRevert(abi.encodeWithSelector(NotOperator.selector, operator, caller));
        vm.prank(caller);
        factory.deploySmartWallet(owner, address(escrow), bytes16(uint128(2)), keccak256(CREATION));
    }

    function test_RevertWhen_OwnerIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(ZeroAddress.selector, "owner"));
        vm.prank(operator);
        factory.deploySmartWallet(address(0), address(escrow), bytes16(uint128(2)), keccak256(CREATION));
    }
}
