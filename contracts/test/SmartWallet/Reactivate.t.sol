// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {NotOperator, WalletClosed} from "../../src/Errors.sol";
import {SmartWallet} from "../../src/SmartWallet.sol";
import {State} from "../../src/Types.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract ReactivateTest is WalletTest {
    function test_InactiveBecomesActive() public {
        bring(State.Inactive);
        vm.expectEmit(address(wallet));
        emit SmartWallet.StateChanged(State.Inactive, State.Active);
        vm.prank(operator);
        wallet.reactivate();
        assertState(State.Active);
    }

    function test_KeepsTheSessionKey() public {
        activateWithSessionKey();
        vm.prank(operator);
        wallet.deactivate();
        vm.assertEq(wallet.sessionKey(), sessionKey);
        vm.prank(operator);
        wallet.reactivate();
        vm.assertEq(wallet.sessionKey(), sessionKey);
    }

    function testFuzz_RevertWhen_CallerIsNotTheOperator(address caller) public {
        vm.assume(caller != operator);
        bring(State.Inactive);
        vm.expectRevert(abi.encodeWithSelector(NotOperator.selector, operator, caller));
        vm.prank(caller);
        wallet.reactivate();
    }

    function test_RevertWhen_Created() public {
        expectWrongState(State.Inactive, State.Created);
        vm.prank(operator);
        wallet.reactivate();
    }

    function test_RevertWhen_Active() public {
        bring(State.Active);
        expectWrongState(State.Inactive, State.Active);
        vm.prank(operator);
        wallet.reactivate();
    }

    function testFuzz_RevertWhen_Closed(address caller) public {
        close();
        expectNamed(WalletClosed.selector);
        vm.prank(caller);
        wallet.reactivate();
    }
}
