// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ZeroAddress} from "../../src/Errors.sol";
import {SmartWalletFactory} from "../../src/SmartWalletFactory.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract FactoryConstructorTest is WalletTest {
    function testFuzz_SetsOperatorAndEntryPoint(address operator_, address entryPoint_) public {
        vm.assume(operator_ != address(0));
        SmartWalletFactory made = new SmartWalletFactory(operator_, entryPoint_);
        vm.assertEq(made.operator(), operator_);
        vm.assertEq(made.entryPoint(), entryPoint_);
    }

    function test_RevertWhen_OperatorIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(ZeroAddress.selector, "operator"));
        new SmartWalletFactory(address(0), entryPoint);
    }
}
