// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SmartWallet} from "../../src/SmartWallet.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract PredictSmartWalletTest is WalletTest {
    function testFuzz_IsEip1014(address walletOwner, address escrow_, bytes16 accountId) public view {
        bytes memory arguments = abi.encode(walletOwner, operator, escrow_, entryPoint);
        bytes32 initCodeHash = keccak256(bytes.concat(type(SmartWallet).creationCode, arguments));
        bytes32 salt = keccak256(abi.encode(walletOwner, accountId));
        bytes32 digest = keccak256(abi.encodePacked(hex"ff", factory, salt, initCodeHash));
        vm.assertEq(factory.predictSmartWallet(walletOwner, escrow_, accountId), address(uint160(uint256(digest))));
    }

    function testFuzz_EachArgumentMatters(address walletOwner, address escrow_, bytes16 accountId) public view {
        address predicted = factory.predictSmartWallet(walletOwner, escrow_, accountId);
        address other = address(uint160(walletOwner) ^ 1);
        vm.assertFalse(predicted == factory.predictSmartWallet(other, escrow_, accountId), "owner");
        other = address(uint160(escrow_) ^ 1);
        vm.assertFalse(predicted == factory.predictSmartWallet(walletOwner, other, accountId), "escrow");
        bytes16 otherId = bytes16(uint128(accountId) ^ 1);
        vm.assertFalse(predicted == factory.predictSmartWallet(walletOwner, escrow_, otherId), "account");
    }
}
