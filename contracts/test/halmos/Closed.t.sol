// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {PackedUserOperation} from "@openzeppelin/contracts/interfaces/IERC4337.sol";

import {WalletClosed} from "../../src/Errors.sol";
import {SmartWallet} from "../../src/SmartWallet.sol";
import {Purpose} from "../../src/Types.sol";
import {AnyFunctionCheck} from "./ClosedChecks.sol";

/// @notice Formal cross-check by halmos: of a closed wallet every entry point, with any arguments, by anybody, at any
/// time and on any chain, reverts by name and changes nothing.
contract ClosedCheck is AnyFunctionCheck {
    function subject() internal override returns (SmartWallet) {
        return new SmartWallet(owner, operator, escrow, entryPoint);
    }

    function subjectName() internal pure override returns (string memory) {
        return "SmartWallet";
    }

    function check_Activate(bytes calldata challenge, bytes calldata signature) external {
        assertClosed(abi.encodeCall(wallet.activate, (challenge, signature)));
    }

    function check_ApproveEscrow(address token, uint256 amount) external {
        assertClosed(abi.encodeCall(wallet.approveEscrow, (token, amount)));
    }

    function check_Close(bytes calldata challenge, bytes calldata signature, address[] calldata tokens) external {
        assertClosed(abi.encodeCall(wallet.close, (challenge, signature, tokens)));
    }

    function check_CommitChallenge(bool deletion, bytes32 challengeHash) external {
        Purpose purpose = deletion ? Purpose.Deletion : Purpose.Creation;
        assertClosed(abi.encodeCall(wallet.commitChallenge, (purpose, challengeHash)));
    }

    function check_Deactivate() external {
        assertClosed(abi.encodeCall(wallet.deactivate, ()));
    }

    function check_DepositToEscrow(address token, uint256 amount) external {
        assertClosed(abi.encodeCall(wallet.depositToEscrow, (token, amount)));
    }

    function check_Execute(address target, uint256 value, bytes calldata data) external {
        assertClosed(abi.encodeCall(wallet.execute, (target, value, data)));
    }

    function check_IsValidSignature(bytes32 hash, bytes calldata signature) external {
        assertClosed(abi.encodeCall(wallet.isValidSignature, (hash, signature)));
    }

    function check_Reactivate() external {
        assertClosed(abi.encodeCall(wallet.reactivate, ()));
    }

    function check_SetSessionKey(address key) external {
        assertClosed(abi.encodeCall(wallet.setSessionKey, (key)));
    }

    function check_ValidateUserOp(PackedUserOperation calldata userOp, bytes32 userOpHash, uint256 missing) external {
        assertClosed(abi.encodeCall(wallet.validateUserOp, (userOp, userOpHash, missing)));
    }

    /// @dev Ether alone, with any value, none included: `receive`.
    function check_Receive(uint256 value) external {
        (bool success, bytes memory answer) = callAny("", value);
        assertNamed(success, answer);
    }

    /// @dev A selector that nobody knows, with any value: `fallback`.
    function check_Fallback(bytes4 selector, bytes calldata rest, uint256 value) external {
        assumeUnknown(selector);
        (bool success, bytes memory answer) = callAny(abi.encodePacked(selector, rest), value);
        assertNamed(success, answer);
    }

    /// @dev Calldata of one, two or three bytes: too short to hold a selector.
    function check_FallbackShort(uint256 length, bytes1 one, bytes2 two, bytes3 three, uint256 value) external {
        bytes memory data = abi.encodePacked(three);
        if (length == 1) data = abi.encodePacked(one);
        if (length == 2) data = abi.encodePacked(two);
        (bool success, bytes memory answer) = callAny(data, value);
        assertNamed(success, answer);
    }

    /// @dev Arguments that are no valid encoding, as any words at all where the offsets and lengths stand.
    function check_MalformedArguments(bytes4 selector, uint8 words, uint256 value) external {
        vm.assume(words < 3 && !isView(selector));
        bytes memory data = words == 0
            ? abi.encodePacked(selector)
            : words == 1 ? abi.encodePacked(selector, uint8(0xff)) : abi.encodePacked(selector, type(uint256).max);
        (bool success,) = callAny(data, value);
        assert(!success);
    }

    function assertClosed(bytes memory data) private {
        (bool success, bytes memory answer) = callAny(data, 0);
        assertNamed(success, answer);
    }

    function assertNamed(bool success, bytes memory answer) private pure {
        assert(!success);
        assert(answer.length == 4 && firstFour(answer) == WalletClosed.selector);
    }

    function assumeUnknown(bytes4 selector) private view {
        vm.assume(!isView(selector));
        vm.assume(selector != wallet.activate.selector && selector != wallet.approveEscrow.selector);
        vm.assume(selector != wallet.close.selector && selector != wallet.commitChallenge.selector);
        vm.assume(selector != wallet.deactivate.selector && selector != wallet.depositToEscrow.selector);
        vm.assume(selector != wallet.execute.selector && selector != wallet.isValidSignature.selector);
        vm.assume(selector != wallet.reactivate.selector && selector != wallet.setSessionKey.selector);
        vm.assume(selector != wallet.validateUserOp.selector);
    }
}
