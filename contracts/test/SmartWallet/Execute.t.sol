// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {NotOwner, WalletClosed} from "../../src/Errors.sol";
import {SmartWallet} from "../../src/SmartWallet.sol";
import {Purpose, State} from "../../src/Types.sol";
import {CallbackToken, ICallback, Target} from "../utils/Doubles.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract ExecuteTest is WalletTest, ICallback {
    Target private _target = new Target();

    /// @dev As the operator of a wallet that is in the middle of a call of its own.
    function onCallback() external {
        wallet.close(DELETION, sign(DELETION), new address[](0));
    }

    function testFuzz_CallsWithValueAndAnswers(uint128 number, uint64 value) public {
        activate();
        vm.deal(address(wallet), uint256(value) + 1);
        vm.prank(owner);
        bytes memory answer = wallet.execute(address(_target), value, abi.encodeCall(_target.set, (number)));
        vm.assertEq(abi.decode(answer, (uint256)), uint256(number) + 1);
        vm.assertEq(_target.number(), number);
        vm.assertEq(address(_target).balance, value);
        vm.assertEq(address(wallet).balance, 1);
    }

    function testFuzz_PassesAFailureOn(uint256 number) public {
        activate();
        vm.expectRevert(abi.encodeWithSelector(Target.Failed.selector, number));
        vm.prank(owner);
        wallet.execute(address(_target), 0, abi.encodeCall(_target.fail, (number)));
    }

    function testFuzz_RevertWhen_CallerIsNotTheOwner(address caller) public {
        vm.assume(caller != owner);
        activateWithSessionKey();
        vm.expectRevert(abi.encodeWithSelector(NotOwner.selector, owner, caller));
        vm.prank(caller);
        wallet.execute(address(_target), 0, "");
    }

    function test_RevertWhen_TheWalletIsToCallItselfAsItsOwner() public {
        activate();
        vm.expectRevert(abi.encodeWithSelector(NotOwner.selector, owner, address(wallet)));
        vm.prank(owner);
        wallet.execute(address(wallet), 0, abi.encodeCall(wallet.setSessionKey, (stranger)));
    }

    function test_RevertWhen_ItIsClosedInTheMiddle() public {
        wallet = new SmartWallet(owner, address(this), address(escrow), entryPoint);
        wallet.commitChallenge(Purpose.Creation, keccak256(CREATION));
        wallet.activate(CREATION, sign(CREATION));
        wallet.commitChallenge(Purpose.Deletion, keccak256(DELETION));
        CallbackToken callback = new CallbackToken(address(this));
        expectNamed(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        vm.prank(owner);
        wallet.execute(address(callback), 0, abi.encodeCall(callback.transfer, (owner, 0)));
        assertState(State.Active);
    }

    function test_RevertWhen_Created() public {
        expectWrongState(State.Active, State.Created);
        vm.prank(owner);
        wallet.execute(address(_target), 0, "");
    }

    function test_RevertWhen_Inactive() public {
        bring(State.Inactive);
        expectWrongState(State.Active, State.Inactive);
        vm.prank(owner);
        wallet.execute(address(_target), 0, "");
    }

    function test_RevertWhen_Closed() public {
        close();
        expectNamed(WalletClosed.selector);
        vm.prank(owner);
        wallet.execute(address(_target), 0, "");
    }
}
