// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ZeroAddress} from "../../src/Errors.sol";
import {SmartWallet} from "../../src/SmartWallet.sol";
import {Purpose, State} from "../../src/Types.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract ConstructorTest is WalletTest {
    function testFuzz_SetsTheFiveParties(address owner_, address operator_, address escrow_, address entryPoint_)
        public
    {
        vm.assume(owner_ != address(0) && operator_ != address(0));
        SmartWallet made = new SmartWallet(owner_, operator_, escrow_, entryPoint_);
        vm.assertEq(made.owner(), owner_);
        vm.assertEq(made.operator(), operator_);
        vm.assertEq(made.escrow(), escrow_);
        vm.assertEq(made.entryPoint(), entryPoint_);
        vm.assertEq(made.factory(), address(this));
    }

    function test_StartsCreatedAndEmpty() public {
        wallet = new SmartWallet(owner, operator, address(escrow), entryPoint);
        assertState(State.Created);
        vm.assertEq(wallet.sessionKey(), address(0));
        vm.assertEq(wallet.challengeCommitment(Purpose.Creation), bytes32(0));
        vm.assertEq(wallet.challengeCommitment(Purpose.Deletion), bytes32(0));
        vm.assertEq(slot(0), bytes32(0));
    }

    function test_RevertWhen_OwnerIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(ZeroAddress.selector, "owner"));
        new SmartWallet(address(0), operator, address(escrow), entryPoint);
    }

    function test_RevertWhen_OperatorIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(ZeroAddress.selector, "operator"));
        new SmartWallet(owner, address(0), address(escrow), entryPoint);
    }
}
