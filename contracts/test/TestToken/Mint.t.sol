// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {WalletTest} from "../utils/WalletTest.sol";

contract MintTest is WalletTest {
    function testFuzz_ByAnybodyToAnybody(address caller, address to, uint256 amount) public {
        vm.assume(to != address(0));
        vm.prank(caller);
        token.mint(to, amount);
        vm.assertEq(token.balanceOf(to), amount);
        vm.assertEq(token.totalSupply(), amount);
        vm.assertEq(token.decimals(), 18);
    }
}
