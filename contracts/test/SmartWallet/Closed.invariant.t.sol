// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SmartWallet} from "../../src/SmartWallet.sol";
import {TestToken} from "../../src/TestToken.sol";
import {Vm} from "../utils/Vm.sol";
import {ClosedHandler} from "./ClosedHandler.sol";

/// @notice Once closed, nothing ever changes: not the three slots, not the code, and no balance leaves.
abstract contract ClosedInvariant {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    ClosedHandler internal handler;
    SmartWallet internal wallet;
    TestToken internal token;

    function setUp() public virtual {
        handler = new ClosedHandler();
        (wallet, token) = handler.subject();
    }

    /// @dev Forge calls only what this names, so that each call is an action of the handler.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_NothingChanges() external view {
        vm.assertEq(address(wallet).codehash, handler.codeHash(), "code");
        vm.assertEq(handler.succeeded(), 0, "a call to the closed wallet succeeded");
        if (!handler.isClosed()) return;
        vm.assertEq(vm.load(address(wallet), bytes32(0)), bytes32(uint256(3)), "slot 0");
        vm.assertEq(vm.load(address(wallet), bytes32(uint256(1))), bytes32(0), "slot 1");
        vm.assertEq(vm.load(address(wallet), bytes32(uint256(2))), bytes32(0), "slot 2");
        vm.assertEq(address(wallet).balance, handler.forced(), "ether");
        vm.assertEq(token.balanceOf(address(wallet)), handler.mintedAfter(), "tokens");
    }
}

/// @notice From the closing on: every run spends all its calls on a closed wallet.
contract AfterClosingInvariant is ClosedInvariant {
    function setUp() public override {
        super.setUp();
        handler.doMint(5);
        handler.doForceEther(7);
        handler.doCloseProperly();
        vm.assertTrue(handler.isClosed(), "the wallet is closed");
    }

    /// @dev What the invariant rests on: calls to the closed wallet are made, and would be noticed.
    function test_TheHandlerCallsTheClosedWallet() external {
        handler.doReactivate(1);
        handler.doSendEther(6, 1, false);
        handler.doNoise(6, 0xdeadbeef, "");
        vm.assertEq(handler.attempts(), 3);
        vm.assertEq(handler.succeeded(), 0);
        vm.assertEq(address(wallet).balance, 0);
        vm.assertEq(token.balanceOf(handler.ownerAddress()), 5);
    }
}

/// @notice From the wallet's beginning, so that every way into the closing is gone.
contract WholeLifeInvariant is ClosedInvariant {}
