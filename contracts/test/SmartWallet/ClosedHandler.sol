// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SmartWallet} from "../../src/SmartWallet.sol";
import {SmartWalletFactory} from "../../src/SmartWalletFactory.sol";
import {TestToken} from "../../src/TestToken.sol";
import {Purpose, State} from "../../src/Types.sol";
import {CallBackOnEther} from "../utils/Doubles.sol";
import {WalletTest} from "../utils/WalletTest.sol";

/// @notice Everything that anybody could do to a wallet, in any order: every entry point with sound arguments and by
/// everybody, noise, ether, tokens, time, other chains. From the moment of the closing it counts what still succeeds.
contract ClosedHandler is WalletTest {
    /// @notice How often a call to a closed wallet did not revert, and how often one was made.
    uint256 public succeeded;
    uint256 public attempts;
    /// @notice Ether given to the wallet after its closing in ways that ask nobody.
    uint256 public forced;
    uint256 public mintedAfter;
    bytes32 public codeHash;

    uint256 private immutable _home = block.chainid;

    constructor() {
        super.setUp();
        codeHash = address(wallet).codehash;
    }

    /// @dev Not an action: forge calls whatever is public here.
    function setUp() public override {}

    function subject() external view returns (SmartWallet, TestToken) {
        return (wallet, token);
    }

    function ownerAddress() external view returns (address) {
        return owner;
    }

    // ------------------------------------------------------------------------------------------------------ the actions

    function doActivate(uint8 who) external {
        call(actor(who), abi.encodeCall(wallet.activate, (CREATION, sign(CREATION))));
    }

    function doDeactivate(uint8 who) external {
        call(actor(who), abi.encodeCall(wallet.deactivate, ()));
    }

    function doReactivate(uint8 who) external {
        call(actor(who), abi.encodeCall(wallet.reactivate, ()));
    }

    function doCommit(uint8 who, bool deletion) external {
        Purpose purpose = deletion ? Purpose.Deletion : Purpose.Creation;
        call(actor(who), abi.encodeCall(wallet.commitChallenge, (purpose, keccak256(deletion ? DELETION : CREATION))));
    }

    function doClose(uint8 who) external {
        call(actor(who), abi.encodeCall(wallet.close, (DELETION, sign(DELETION), one(address(token)))));
    }

    function doSetSessionKey(uint8 who, uint8 key) external {
        call(actor(who), abi.encodeCall(wallet.setSessionKey, (actor(key))));
    }

    function doExecute(uint8 who, uint64 value) external {
        call(actor(who), abi.encodeCall(wallet.execute, (stranger, value, "")));
    }

    function doApprove(uint8 who, uint128 amount) external {
        call(actor(who), abi.encodeCall(wallet.approveEscrow, (address(token), amount)));
    }

    function doDeposit(uint8 who, uint128 amount) external {
        call(actor(who), abi.encodeCall(wallet.depositToEscrow, (address(token), amount)));
    }

    function doAskErc1271(uint8 who, bytes32 hash) external {
        call(actor(who), abi.encodeCall(wallet.isValidSignature, (hash, signDigest(OWNER_KEY, hash))));
    }

    function doValidate(uint8 who, bytes32 hash, uint64 missing) external {
        bytes memory signature = sign(abi.encodePacked(hash));
        call(actor(who), abi.encodeCall(wallet.validateUserOp, (userOp(signature), hash, missing)));
    }

    function doNoise(uint8 who, bytes4 selector, bytes calldata rest) external {
        if (!isView(selector)) call(actor(who), abi.encodePacked(selector, rest));
    }

    function doSendEther(uint8 who, uint64 value, bool withData) external {
        address sender = actor(who);
        if (sender == address(wallet)) return;
        vm.deal(sender, value);
        vm.prank(sender);
        (bool success,) = address(wallet).call{value: value}(withData ? bytes("x") : bytes(""));
        count(success);
    }

    function doForceEther(uint64 value) external {
        // As a block reward or a self-destruct does: the wallet is not asked.
        vm.deal(address(wallet), address(wallet).balance + value);
        if (isClosed()) forced += value;
    }

    function doMint(uint64 amount) external {
        token.mint(address(wallet), amount);
        if (isClosed()) mintedAfter += amount;
    }

    function doDeployAgain() external {
        vm.prank(operator);
        (bool success,) = address(factory)
            .call(
                abi.encodeCall(
                    SmartWalletFactory.deploySmartWallet, (owner, address(escrow), ACCOUNT_ID, keccak256("x"))
                )
            );
        vm.assertFalse(success, "a second wallet for the account");
    }

    function doGiveTheOwnerCode() external {
        // As an EIP-7702 delegation does; on receiving ether it acts as the owner.
        vm.etch(owner, address(new CallBackOnEther()).code);
        CallBackOnEther(payable(owner)).setData(abi.encodeCall(wallet.setSessionKey, (stranger)));
    }

    function doMoveTime(uint32 time, uint16 blocks, uint8 chain) external {
        vm.warp(block.timestamp + time);
        vm.roll(block.number + blocks);
        // Mostly at home: challenges are bound to the chain, and the wallet should get somewhere.
        vm.chainId(chain == 0 ? 1 : _home);
    }

    function doCloseProperly() external {
        if (isClosed() || block.chainid != _home) return;
        close(one(address(token)));
        vm.assertEq(address(wallet).balance, 0);
    }

    // -------------------------------------------------------------------------------------------------------- internals

    function isClosed() public view returns (bool) {
        return wallet.state() == State.Closed;
    }

    function actor(uint8 who) private view returns (address) {
        address[8] memory all =
            [owner, operator, entryPoint, sessionKey, address(factory), address(escrow), stranger, address(wallet)];
        return all[who % all.length];
    }

    function call(address sender, bytes memory data) private {
        bool closedBefore = isClosed();
        vm.prank(sender);
        (bool success,) = address(wallet).call(data);
        if (closedBefore) count(success);
    }

    function count(bool success) private {
        if (!isClosed()) return;
        ++attempts;
        if (success) ++succeeded;
    }

    function isView(bytes4 selector) private view returns (bool) {
        return selector == wallet.state.selector || selector == wallet.sessionKey.selector
            || selector == wallet.owner.selector || selector == wallet.operator.selector
            || selector == wallet.escrow.selector || selector == wallet.entryPoint.selector
            || selector == wallet.factory.selector || selector == wallet.challengeCommitment.selector
            || selector == wallet.computeCommitment.selector;
    }
}
