// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ChallengeMismatch, ChallengeNotCommitted, NotOperator, WalletClosed, WrongSigner} from "../../src/Errors.sol";
import {SmartWallet} from "../../src/SmartWallet.sol";
import {Purpose, State} from "../../src/Types.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract ActivateTest is WalletTest {
    function expectMismatch(bytes memory challenge) private {
        bytes32 actual = wallet.computeCommitment(Purpose.Creation, keccak256(challenge));
        vm.expectRevert(abi.encodeWithSelector(ChallengeMismatch.selector, slot(1), actual));
    }

    function test_WithTheOwnersSignature() public {
        bytes memory signature = sign(CREATION);
        vm.expectEmit(address(wallet));
        emit SmartWallet.StateChanged(State.Created, State.Active);
        vm.prank(operator);
        wallet.activate(CREATION, signature);
        assertState(State.Active);
        vm.assertEq(slot(0), bytes32(uint256(1)));
        vm.assertEq(slot(1), bytes32(0), "the commitment is used up");
    }

    function testFuzz_AnyChallengeText(bytes calldata challenge) public {
        wallet = deploy(bytes16(uint128(2)), keccak256(challenge));
        bytes memory signature = sign(challenge);
        vm.prank(operator);
        wallet.activate(challenge, signature);
        assertState(State.Active);
    }

    function testFuzz_RevertWhen_CallerIsNotTheOperator(address caller) public {
        vm.assume(caller != operator);
        bytes memory signature = sign(CREATION);
        vm.expectRevert(abi.encodeWithSelector(NotOperator.selector, operator, caller));
        vm.prank(caller);
        wallet.activate(CREATION, signature);
    }

    function testFuzz_RevertWhen_AnotherKeySigned(uint256 key) public {
        key = 1 + key % (2 ** 255);
        vm.assume(key != OWNER_KEY);
        bytes memory signature = sign(key, CREATION);
        vm.expectRevert(abi.encodeWithSelector(WrongSigner.selector, owner, vm.addr(key)));
        vm.prank(operator);
        wallet.activate(CREATION, signature);
    }

    function testFuzz_RevertWhen_TheSignatureIsMalformed(bytes calldata signature) public {
        vm.assume(signature.length != 65);
        vm.expectRevert(abi.encodeWithSelector(WrongSigner.selector, owner, address(0)));
        vm.prank(operator);
        wallet.activate(CREATION, signature);
    }

    function test_RevertWhen_TheSignatureIsTheMalleableTwin() public {
        bytes memory signature = sign(CREATION);
        bytes32 r;
        uint256 s;
        assembly {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
        }
        uint8 v = uint8(signature[64]) == 27 ? 28 : 27;
        s = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 - s;
        vm.expectRevert(abi.encodeWithSelector(WrongSigner.selector, owner, address(0)));
        vm.prank(operator);
        wallet.activate(CREATION, abi.encodePacked(r, s, v));
    }

    function test_RevertWhen_TheBareDigestWasSigned() public {
        bytes memory signature = signDigest(OWNER_KEY, keccak256(CREATION));
        vm.prank(operator);
        (bool success, bytes memory answer) =
            address(wallet).call(abi.encodeCall(wallet.activate, (CREATION, signature)));
        vm.assertFalse(success, "activated");
        vm.assertEq(bytes32(bytes4(answer)), bytes32(WrongSigner.selector));
    }

    function testFuzz_RevertWhen_AnotherChallengeWasSigned(bytes calldata challenge) public {
        vm.assume(keccak256(challenge) != keccak256(CREATION));
        bytes memory signature = sign(challenge);
        expectMismatch(challenge);
        vm.prank(operator);
        wallet.activate(challenge, signature);
    }

    function test_RevertWhen_TheChallengeIsAnotherWallets() public {
        deploy(bytes16(uint128(2)), keccak256("the other wallet's"));
        bytes memory signature = sign("the other wallet's");
        expectMismatch("the other wallet's");
        vm.prank(operator);
        wallet.activate("the other wallet's", signature);
    }

    function test_RevertWhen_TheChallengeIsForDeletion() public {
        commitDeletion();
        bytes memory signature = sign(DELETION);
        expectMismatch(DELETION);
        vm.prank(operator);
        wallet.activate(DELETION, signature);
    }

    function testFuzz_RevertWhen_TheChainIsAnother(uint64 chain) public {
        vm.assume(chain != 0 && chain != block.chainid);
        bytes memory signature = sign(CREATION);
        vm.chainId(chain);
        expectMismatch(CREATION);
        vm.prank(operator);
        wallet.activate(CREATION, signature);
    }

    function test_RevertWhen_NothingWasCommitted() public {
        wallet = new SmartWallet(owner, operator, address(escrow), entryPoint);
        bytes memory signature = sign(CREATION);
        vm.expectRevert(abi.encodeWithSelector(ChallengeNotCommitted.selector, Purpose.Creation));
        vm.prank(operator);
        wallet.activate(CREATION, signature);
    }

    function test_RevertWhen_UsedTwice() public {
        activate();
        bytes memory signature = sign(CREATION);
        expectWrongState(State.Created, State.Active);
        vm.prank(operator);
        wallet.activate(CREATION, signature);
    }

    function test_RevertWhen_Inactive() public {
        bring(State.Inactive);
        bytes memory signature = sign(CREATION);
        expectWrongState(State.Created, State.Inactive);
        vm.prank(operator);
        wallet.activate(CREATION, signature);
    }

    function test_RevertWhen_Closed() public {
        close();
        bytes memory signature = sign(CREATION);
        expectNamed(WalletClosed.selector);
        vm.prank(operator);
        wallet.activate(CREATION, signature);
    }
}
