// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {OwnableUpgradeable} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";
import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";

import {OffBlocksSmartWallet} from "../../src/offblocks/OffBlocksSmartWallet.sol";
import {OffBlocksSmartWalletFactory} from "../../src/offblocks/OffBlocksSmartWalletFactory.sol";
import {OffBlocksTest} from "../utils/OffBlocksTest.sol";

contract DeployDocumentedWalletTest is OffBlocksTest {
    function testFuzz_WhereItWasPredictedAndRegistered(address walletOwner, address escrow_, uint256 salt) public {
        vm.assume(walletOwner != address(0));
        address predicted = offblocks.predictSmartWallet(walletOwner, escrow_, address(offblocks), salt);
        vm.assertFalse(offblocks.isRegistered(predicted), "registered before");
        vm.expectEmit(address(offblocks));
        emit OffBlocksSmartWalletFactory.SmartWalletCreated(predicted, walletOwner, escrow_, salt);
        vm.prank(operator);
        address made = offblocks.deploySmartWallet(walletOwner, escrow_, address(offblocks), salt);
        vm.assertEq(made, predicted);
        vm.assertTrue(offblocks.isRegistered(made), "registered");
        vm.assertEq(OffBlocksSmartWallet(payable(made)).owner(), walletOwner);
    }

    function testFuzz_RevertWhen_CallerIsNotItsOwner(address caller) public {
        vm.assume(caller != operator);
        bytes memory reason = abi.encodeWithSelector(OwnableUpgradeable.OwnableUnauthorizedAccount.selector, caller);
        vm.expectRevert(reason);
        vm.prank(caller);
        offblocks.deploySmartWallet(owner, address(escrow), address(offblocks), 1);
        vm.expectRevert(reason);
        vm.prank(caller);
        offblocks.batchRegisterSmartWallets(one(stranger));
        address next = address(new OffBlocksSmartWalletFactory());
        vm.expectRevert(reason);
        vm.prank(caller);
        offblocks.upgradeToAndCall(next, "");
    }

    function test_RegistersWhatOthersHaveDeployed() public {
        vm.prank(operator);
        offblocks.batchRegisterSmartWallets(one(stranger));
        vm.assertTrue(offblocks.isRegistered(stranger), "registered");
    }

    function test_IsUpgradedByItsOwnerAndSetUpOnce() public {
        address next = address(new OffBlocksSmartWalletFactory());
        vm.prank(operator);
        offblocks.upgradeToAndCall(next, "");
        vm.assertTrue(offblocks.isRegistered(address(documented)), "what it knew");
        vm.expectRevert(abi.encodeWithSelector(Initializable.InvalidInitialization.selector));
        offblocks.initialize(stranger);
        vm.expectRevert(abi.encodeWithSelector(Initializable.InvalidInitialization.selector));
        OffBlocksSmartWalletFactory(next).initialize(stranger);
    }
}
