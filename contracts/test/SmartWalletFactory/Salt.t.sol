// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {WalletTest} from "../utils/WalletTest.sol";

contract SaltTest is WalletTest {
    function testFuzz_IsTheHashOfOwnerAndAccount(address walletOwner, bytes16 accountId) public view {
        // abi.encode pads a bytes16 on the right, an address on the left.
        bytes32 expected = keccak256(bytes.concat(bytes12(0), bytes20(walletOwner), accountId, bytes16(0)));
        vm.assertEq(factory.salt(walletOwner, accountId), expected);
    }
}
