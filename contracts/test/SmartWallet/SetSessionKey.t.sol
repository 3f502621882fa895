// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {NotOwner, WalletClosed} from "../../src/Errors.sol";
import {SmartWallet} from "../../src/SmartWallet.sol";
import {State} from "../../src/Types.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract SetSessionKeyTest is WalletTest {
    function testFuzz_SharesSlot0WithTheState(address key) public {
        activate();
        vm.expectEmit(address(wallet));
        emit SmartWallet.SessionKeyChanged(address(0), key);
        vm.prank(owner);
        wallet.setSessionKey(key);
        vm.assertEq(wallet.sessionKey(), key);
        vm.assertEq(slot(0), bytes32((uint256(uint160(key)) << 8) | uint256(State.Active)));
    }

    function test_ZeroTakesItAway() public {
        activateWithSessionKey();
        vm.prank(owner);
        wallet.setSessionKey(address(0));
        vm.assertEq(wallet.sessionKey(), address(0));
    }

    function testFuzz_RevertWhen_CallerIsNotTheOwner(address caller) public {
        vm.assume(caller != owner);
        activate();
        vm.expectRevert(abi.encodeWithSelector(NotOwner.selector, owner, caller));
        vm.prank(caller);
        wallet.setSessionKey(sessionKey);
    }

    function test_RevertWhen_Created() public {
        expectWrongState(State.Active, State.Created);
        vm.prank(owner);
        wallet.setSessionKey(sessionKey);
    }

    function test_RevertWhen_Inactive() public {
        bring(State.Inactive);
        expectWrongState(State.Active, State.Inactive);
        vm.prank(owner);
        wallet.setSessionKey(sessionKey);
    }

    function test_RevertWhen_Closed() public {
        close();
        expectNamed(WalletClosed.selector);
        vm.prank(owner);
        wallet.setSessionKey(sessionKey);
    }
}
