// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {NotOperator, WalletClosed} from "../../src/Errors.sol";
import {SmartWallet} from "../../src/SmartWallet.sol";
import {State} from "../../src/Types.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract DeactivateTest is WalletTest {
    function test_ActiveBecomesInactive() public {
        bring(State.Active);
        vm.expectEmit(address(wallet));
        emit SmartWallet.StateChanged(State.Active, State.Inactive);
        vm.prank(operator);
        wallet.deactivate();
        assertState(State.Inactive);
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
        bring(State.Active);
        vm.expectRevert(abi.encodeWithSelector(NotOperator.selector, operator, caller));
        vm.prank(caller);
        wallet.deactivate();
    }

    function test_RevertWhen_Created() public {
        expectWrongState(State.Active, State.Created);
        vm.prank(operator);
        wallet.deactivate();
    }

    function test_RevertWhen_Inactive() public {
        bring(State.Inactive);
        expectWrongState(State.Active, State.Inactive);
        vm.prank(operator);
        wallet.deactivate();
    }

    function testFuzz_RevertWhen_Closed(address caller) public {
        close();
        expectNamed(WalletClosed.selector);
        vm.prank(caller);
        wallet.deactivate();
    }
}
