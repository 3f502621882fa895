// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SmartWallet} from "../../src/SmartWallet.sol";
import {Purpose} from "../../src/Types.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract ComputeCommitmentTest is WalletTest {
    function testFuzz_BindsWalletChainPurposeAndChallenge(bytes32 challengeHash, uint64 chain, bool deletion) public {
        vm.assume(chain != 0);
        vm.chainId(chain);
        Purpose purpose = deletion ? Purpose.Deletion : Purpose.Creation;
        bytes32 expected =
            keccak256(abi.encode(address(wallet), uint256(chain), deletion ? uint256(1) : uint256(0), challengeHash));
        vm.assertEq(wallet.computeCommitment(purpose, challengeHash), expected);
    }

    function test_DiffersByPurpose() public view {
        bytes32 creation = wallet.computeCommitment(Purpose.Creation, keccak256(CREATION));
        vm.assertFalse(creation == wallet.computeCommitment(Purpose.Deletion, keccak256(CREATION)), "same");
    }

    function test_DiffersByWallet() public {
        SmartWallet other = deploy(bytes16(uint128(2)), keccak256(CREATION));
        bytes32 mine = wallet.computeCommitment(Purpose.Creation, keccak256(CREATION));
        vm.assertFalse(mine == other.computeCommitment(Purpose.Creation, keccak256(CREATION)), "same");
    }
}
