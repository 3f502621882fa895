// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {NotOwnerOrSessionKey, WalletClosed} from "../../src/Errors.sol";
import {State} from "../../src/Types.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract ApproveEscrowTest is WalletTest {
    function testFuzz_ByTheOwnerOrTheSessionKey(uint256 amount, bool bySessionKey) public {
        activateWithSessionKey();
        vm.prank(bySessionKey ? sessionKey : owner);
        wallet.approveEscrow(address(token), amount);
        vm.assertEq(token.allowance(address(wallet), address(escrow)), amount);
    }

    function testFuzz_RevertWhen_CallerIsAnother(address caller) public {
        vm.assume(caller != owner && caller != sessionKey);
        activateWithSessionKey();
        vm.expectRevert(abi.encodeWithSelector(NotOwnerOrSessionKey.selector, owner, sessionKey, caller));
        vm.prank(caller);
        wallet.approveEscrow(address(token), 1);
    }

    function test_RevertWhen_NoSessionKeyIsSetAndNobodyCalls() public {
        activate();
        vm.expectRevert(abi.encodeWithSelector(NotOwnerOrSessionKey.selector, owner, address(0), address(0)));
        vm.prank(address(0));
        wallet.approveEscrow(address(token), 1);
    }

    function test_RevertWhen_Created() public {
        expectWrongState(State.Active, State.Created);
        vm.prank(owner);
        wallet.approveEscrow(address(token), 1);
    }

    function test_RevertWhen_Inactive() public {
        activateWithSessionKey();
        deactivate();
        expectWrongState(State.Active, State.Inactive);
        vm.prank(sessionKey);
        wallet.approveEscrow(address(token), 1);
    }

    function test_RevertWhen_Closed() public {
        activateWithSessionKey();
        close();
        expectNamed(WalletClosed.selector);
        vm.prank(sessionKey);
        wallet.approveEscrow(address(token), 1);
    }
}
