// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {NotEntryPoint, WalletClosed} from "../../src/Errors.sol";
import {State} from "../../src/Types.sol";
import {NoEther} from "../utils/Doubles.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract ValidateUserOpTest is WalletTest {
    function signOp(uint256 key, bytes32 hash) private pure returns (bytes memory) {
        return sign(key, abi.encodePacked(hash));
    }

    function testFuzz_TheOwnersSignatureAndThePrefund(bytes32 hash, uint64 missing) public {
        activate();
        vm.deal(address(wallet), missing);
        bytes memory signature = signOp(OWNER_KEY, hash);
        vm.prank(entryPoint);
        vm.assertEq(wallet.validateUserOp(userOp(signature), hash, missing), 0);
        vm.assertEq(entryPoint.balance, missing);
    }

    function testFuzz_AnothersSignatureFailsAndPaysNothing(bytes32 hash, uint256 key) public {
        key = 1 + key % (2 ** 255);
        vm.assume(key != OWNER_KEY);
        activate();
        vm.deal(address(wallet), 1 ether);
        bytes memory signature = signOp(key, hash);
        vm.prank(entryPoint);
        vm.assertEq(wallet.validateUserOp(userOp(signature), hash, 1 ether), 1);
        vm.assertEq(entryPoint.balance, 0);
    }

    function test_APrefundThatFailsIsTheEntryPointsToJudge() public {
        activate();
        vm.deal(address(wallet), 1 ether);
        vm.etch(entryPoint, address(new NoEther()).code);
        bytes memory signature = signOp(OWNER_KEY, keccak256("op"));
        vm.prank(entryPoint);
        vm.assertEq(wallet.validateUserOp(userOp(signature), keccak256("op"), 1 ether), 0);
        vm.assertEq(address(wallet).balance, 1 ether);
    }

    function testFuzz_RevertWhen_CallerIsNotTheEntryPoint(address caller) public {
        vm.assume(caller != entryPoint);
        activate();
        vm.expectRevert(abi.encodeWithSelector(NotEntryPoint.selector, entryPoint, caller));
        vm.prank(caller);
        wallet.validateUserOp(userOp(""), keccak256("op"), 0);
    }

    function test_RevertWhen_Created() public {
        expectWrongState(State.Active, State.Created);
        vm.prank(entryPoint);
        wallet.validateUserOp(userOp(""), keccak256("op"), 0);
    }

    function test_RevertWhen_Inactive() public {
        bring(State.Inactive);
        expectWrongState(State.Active, State.Inactive);
        vm.prank(entryPoint);
        wallet.validateUserOp(userOp(""), keccak256("op"), 0);
    }

    function testFuzz_RevertWhen_Closed(bytes32 hash, address caller) public {
        activate();
        close();
        bytes memory signature = signOp(OWNER_KEY, hash);
        expectNamed(WalletClosed.selector);
        vm.prank(caller);
        wallet.validateUserOp(userOp(signature), hash, 0);
    }
}
