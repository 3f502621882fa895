// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {PackedUserOperation} from "@openzeppelin/contracts/interfaces/IERC4337.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {WrongState} from "../../src/Errors.sol";
import {SmartWallet} from "../../src/SmartWallet.sol";
import {SmartWalletFactory} from "../../src/SmartWalletFactory.sol";
import {TestEscrow} from "../../src/TestEscrow.sol";
import {TestToken} from "../../src/TestToken.sol";
import {Purpose, State} from "../../src/Types.sol";
import {Vm} from "./Vm.sol";

/// @notice A wallet as the platform makes it, deployed by the factory and still in `Created`, and everybody around it.
abstract contract WalletTest {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 internal constant OWNER_KEY = 0xA11CE;
    bytes internal constant CREATION = "5df359f0-d299-40a1-8023-17c77a50144c";
    bytes internal constant DELETION = "0c6ff8a2-98c5-4a4a-8f1c-6a3f9a1f7d4e";
    bytes16 internal constant ACCOUNT_ID = 0x00112233445566778899aabbccddeeff;

    address internal immutable owner = vm.addr(OWNER_KEY);
    address internal immutable operator = address(0x0be7a70a);
    address internal immutable entryPoint = address(0xe47b);
    address internal immutable sessionKey = address(0x5e55);
    address internal immutable stranger = address(0x57a);

    SmartWalletFactory internal factory;
    SmartWallet internal wallet;
    TestEscrow internal escrow;
    TestToken internal token;

    function setUp() public virtual {
        factory = new SmartWalletFactory(operator, entryPoint);
        escrow = new TestEscrow();
        token = new TestToken();
        wallet = deploy(ACCOUNT_ID, keccak256(CREATION));
    }

    function deploy(bytes16 accountId, bytes32 challengeHash) internal returns (SmartWallet) {
        vm.prank(operator);
        return SmartWallet(payable(factory.deploySmartWallet(owner, address(escrow), accountId, challengeHash)));
    }

    // ---------------------------------------------------------------------------------------------- to another state

    function activate() internal {
        bytes memory signature = sign(CREATION);
        vm.prank(operator);
        wallet.activate(CREATION, signature);
    }

    function activateWithSessionKey() internal {
        activate();
        vm.prank(owner);
        wallet.setSessionKey(sessionKey);
    }

    function deactivate() internal {
        vm.prank(operator);
        wallet.deactivate();
    }

    function commitDeletion() internal {
        vm.prank(operator);
        wallet.commitChallenge(Purpose.Deletion, keccak256(DELETION));
    }

    function close() internal {
        close(new address[](0));
    }

    function close(address[] memory tokens) internal {
        commitDeletion();
        closeCommitted(tokens);
    }

    function closeCommitted(address[] memory tokens) internal {
        bytes memory signature = sign(DELETION);
        vm.prank(operator);
        wallet.close(DELETION, signature, tokens);
    }

    /// @dev From `Created` to any other state.
    function bring(State to) internal {
        if (to == State.Active || to == State.Inactive) activate();
        if (to == State.Inactive) deactivate();
        if (to == State.Closed) close();
    }

    // ------------------------------------------------------------------------------------------------------- helpers

    function sign(bytes memory challenge) internal pure returns (bytes memory) {
        return sign(OWNER_KEY, challenge);
    }

    /// @dev EIP-191 `personal_sign`.
    function sign(uint256 key, bytes memory challenge) internal pure returns (bytes memory) {
        return signDigest(key, MessageHashUtils.toEthSignedMessageHash(challenge));
    }

    function signDigest(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function one(address element) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = element;
    }

    function expectNamed(bytes4 selector) internal {
        vm.expectRevert(abi.encodeWithSelector(selector));
    }

    function expectWrongState(State expected, State actual) internal {
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, expected, actual));
    }

    function assertState(State expected) internal view {
        vm.assertEq(uint256(wallet.state()), uint256(expected), "state");
    }

    function slot(uint256 number) internal view returns (bytes32) {
        return vm.load(address(wallet), bytes32(number));
    }

    function userOp(bytes memory signature) internal view returns (PackedUserOperation memory op) {
        op.sender = address(wallet);
        op.signature = signature;
    }
}
