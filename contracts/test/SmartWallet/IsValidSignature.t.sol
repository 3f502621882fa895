// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {WalletClosed} from "../../src/Errors.sol";
import {State} from "../../src/Types.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract IsValidSignatureTest is WalletTest {
    bytes4 private constant _MAGIC = 0x1626ba7e;
    bytes4 private constant _INVALID = 0xffffffff;

    function assertAnswer(bytes4 actual, bytes4 expected) private pure {
        vm.assertEq(bytes32(actual), bytes32(expected));
    }

    function testFuzz_TheOwnersIsValid(bytes32 hash) public {
        activate();
        assertAnswer(wallet.isValidSignature(hash, signDigest(OWNER_KEY, hash)), _MAGIC);
    }

    function testFuzz_AnothersIsNot(bytes32 hash, uint256 key) public {
        key = 1 + key % (2 ** 255);
        vm.assume(key != OWNER_KEY);
        activate();
        assertAnswer(wallet.isValidSignature(hash, signDigest(key, hash)), _INVALID);
    }

    function testFuzz_TheOwnersOfAnotherHashIsNot(bytes32 hash, bytes32 other) public {
        vm.assume(hash != other);
        activate();
        assertAnswer(wallet.isValidSignature(hash, signDigest(OWNER_KEY, other)), _INVALID);
    }

    function testFuzz_NoiseIsNot(bytes32 hash, bytes calldata signature) public {
        activate();
        assertAnswer(wallet.isValidSignature(hash, signature), _INVALID);
    }

    function test_OnlyAnActiveWalletSpeaksForItsOwner() public {
        bytes32 hash = keccak256("x");
        assertAnswer(wallet.isValidSignature(hash, signDigest(OWNER_KEY, hash)), _INVALID);
        bring(State.Inactive);
        assertAnswer(wallet.isValidSignature(hash, signDigest(OWNER_KEY, hash)), _INVALID);
    }

    function testFuzz_RevertWhen_Closed(bytes32 hash) public {
        activate();
        close();
        bytes memory signature = signDigest(OWNER_KEY, hash);
        expectNamed(WalletClosed.selector);
        wallet.isValidSignature(hash, signature);
    }
}
