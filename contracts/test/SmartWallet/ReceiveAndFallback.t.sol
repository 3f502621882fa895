// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {UnknownFunction, WalletClosed} from "../../src/Errors.sol";
import {State} from "../../src/Types.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract ReceiveAndFallbackTest is WalletTest {
    function send(uint256 value, bytes memory data) private returns (bool success, bytes memory answer) {
        vm.deal(address(this), value);
        return address(wallet).call{value: value}(data);
    }

    function testFuzz_EtherComesInUntilClosed(uint8 state, uint96 value) public {
        bring(State(state % 3));
        (bool success,) = send(value, "");
        vm.assertTrue(success, "ether refused");
        vm.assertEq(address(wallet).balance, value);
    }

    function testFuzz_AnUnknownFunctionIsNamed(uint96 value, bytes calldata rest) public {
        bytes memory data = abi.encodePacked(bytes4(0xdeadbeef), rest);
        (bool success, bytes memory answer) = send(value, data);
        vm.assertFalse(success, "an unknown function succeeded");
        vm.assertEq(answer, abi.encodeWithSelector(UnknownFunction.selector, bytes4(0xdeadbeef)));
    }

    function testFuzz_RevertWhen_Closed(uint96 value, bytes calldata rest) public {
        close();
        bytes memory expected = abi.encodeWithSelector(WalletClosed.selector);
        (bool success, bytes memory answer) = send(value, "");
        vm.assertFalse(success, "a closed wallet took ether");
        vm.assertEq(answer, expected);
        (success, answer) = send(value, abi.encodePacked(bytes4(0xdeadbeef), rest));
        vm.assertFalse(success, "a closed wallet took a call");
        vm.assertEq(answer, expected);
    }
}
