// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ChallengeAlreadyCommitted, NotFactory, NotOperator, WalletClosed} from "../../src/Errors.sol";
import {SmartWallet} from "../../src/SmartWallet.sol";
import {Purpose, State} from "../../src/Types.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract CommitChallengeTest is WalletTest {
    function test_CreationIsStoredInSlot1() public view {
        bytes32 commitment = wallet.computeCommitment(Purpose.Creation, keccak256(CREATION));
        vm.assertEq(wallet.challengeCommitment(Purpose.Creation), commitment);
        vm.assertEq(slot(1), commitment);
        vm.assertEq(slot(2), bytes32(0));
    }

    function testFuzz_DeletionIsStoredInSlot2(bytes32 challengeHash, uint8 state) public {
        bring(State(state % 3));
        bytes32 commitment = wallet.computeCommitment(Purpose.Deletion, challengeHash);
        vm.expectEmit(address(wallet));
        emit SmartWallet.ChallengeCommitted(Purpose.Deletion, commitment);
        vm.prank(operator);
        wallet.commitChallenge(Purpose.Deletion, challengeHash);
        vm.assertEq(wallet.challengeCommitment(Purpose.Deletion), commitment);
        vm.assertEq(slot(2), commitment);
    }

    function test_DeletionIsReplacedByANewerOne() public {
        commitDeletion();
        vm.prank(operator);
        wallet.commitChallenge(Purpose.Deletion, keccak256("newer"));
        vm.assertEq(slot(2), wallet.computeCommitment(Purpose.Deletion, keccak256("newer")));
    }

    function testFuzz_RevertWhen_CreationComesFromAnotherThanTheFactory(address caller) public {
        vm.assume(caller != address(factory));
        vm.expectRevert(abi.encodeWithSelector(NotFactory.selector, address(factory), caller));
        vm.prank(caller);
        wallet.commitChallenge(Purpose.Creation, keccak256("other"));
    }

    function test_RevertWhen_CreationIsCommittedTwice() public {
        vm.expectRevert(abi.encodeWithSelector(ChallengeAlreadyCommitted.selector, Purpose.Creation, slot(1)));
        vm.prank(address(factory));
        wallet.commitChallenge(Purpose.Creation, keccak256("other"));
    }

    function test_RevertWhen_CreationIsCommittedAfterActivation() public {
        activate();
        expectWrongState(State.Created, State.Active);
        vm.prank(address(factory));
        wallet.commitChallenge(Purpose.Creation, keccak256("other"));
    }

    function testFuzz_RevertWhen_DeletionComesFromAnotherThanTheOperator(address caller) public {
        vm.assume(caller != operator);
        vm.expectRevert(abi.encodeWithSelector(NotOperator.selector, operator, caller));
        vm.prank(caller);
        wallet.commitChallenge(Purpose.Deletion, keccak256(DELETION));
    }

    function testFuzz_RevertWhen_Closed(address caller, bool deletion) public {
        close();
        expectNamed(WalletClosed.selector);
        vm.prank(caller);
        wallet.commitChallenge(deletion ? Purpose.Deletion : Purpose.Creation, keccak256("x"));
    }
}
