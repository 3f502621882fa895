// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AccountERC7579} from "@openzeppelin/contracts/account/extensions/draft-AccountERC7579.sol";
import {IEntryPoint, PackedUserOperation} from "@openzeppelin/contracts/interfaces/IERC4337.sol";
import {MODULE_TYPE_EXECUTOR} from "@openzeppelin/contracts/interfaces/draft-IERC7579.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {EtherTransferFailed, ExecutorAlreadyInstalled, NotExecutor, TokenTransferFailed} from "../Errors.sol";
import {Purpose, State} from "../Types.sol";
import {WalletStates} from "./WalletStates.sol";

/// @title A modular account (ERC-7579) with the states of `SmartWallet` and at most one executor.
/// @notice Closing does not take the executor away: one that is still installed acts as the account for ever. So an
/// account is closed for good only where its executor was uninstalled before.
/// @dev `open` stands FIRST on every entry point but `executeFromExecutor`, which asks for the executor first.
contract ModularWallet is WalletStates, AccountERC7579 {
    using SafeERC20 for IERC20;

    address private immutable _entryPoint;

    event Closed(bytes32 indexed challengeHash, uint256 etherSent, address[] tokens);

    /// @dev The caller becomes the account's factory: the only one that may bind the creation challenge.
    constructor(address owner_, address operator_, address entryPoint_) WalletStates(owner_, operator_) {
        _entryPoint = entryPoint_;
    }

    receive() external payable override open {}

    fallback(bytes calldata) external payable override open returns (bytes memory) {
        return _fallback();
    }

    /// @notice Closes the account, with the owner's signature of the deletion challenge, and sends the named tokens and
    /// all ether to the owner. One transfer that fails undoes it. An executor stays as it is.
    function close(bytes calldata challenge, bytes calldata signature, address[] calldata tokens)
        external
        open
        onlyOperator
    {
        bytes32 challengeHash = _takeChallenge(Purpose.Deletion, challenge, signature);
        delete challengeCommitment[Purpose.Creation];
        _setState(State.Closed);

        for (uint256 i = 0; i < tokens.length; ++i) {
            uint256 amount = IERC20(tokens[i]).balanceOf(address(this));
            if (amount != 0 && !IERC20(tokens[i]).trySafeTransfer(owner, amount)) {
                revert TokenTransferFailed(tokens[i], amount);
            }
        }
        uint256 etherSent = address(this).balance;
        if (etherSent != 0) {
            (bool sent,) = owner.call{value: etherSent}("");
            if (!sent) revert EtherTransferFailed(owner, etherSent);
        }
        emit Closed(challengeHash, etherSent, tokens);
    }

    // -------------------------------------------------------------------------------------------------------- ERC-7579

    function execute(bytes32 mode, bytes calldata executionCalldata)
        public
        payable
        override
        open
        inState(State.Active)
    {
        super.execute(mode, executionCalldata);
    }

    /// @dev Without `open`, on purpose: it stands for the modular accounts whose modules outlive what they belong to.
    function executeFromExecutor(bytes32 mode, bytes calldata executionCalldata)
        public
        payable
        override
        returns (bytes[] memory)
    {
        if (executor == address(0) || msg.sender != executor) revert NotExecutor(executor, msg.sender);
        return super.executeFromExecutor(mode, executionCalldata);
    }

    function installModule(uint256 moduleTypeId, address module, bytes calldata initData) public override open {
        super.installModule(moduleTypeId, module, initData);
    }

    function uninstallModule(uint256 moduleTypeId, address module, bytes calldata deInitData) public override open {
        super.uninstallModule(moduleTypeId, module, deInitData);
    }

    // --------------------------------------------------------------------------------------------- answers for others

    /// @notice ERC-1271, by an installed validator. Only an active account answers.
    function isValidSignature(bytes32 hash, bytes calldata signature)
        public
        view
        override
        open
        inState(State.Active)
        returns (bytes4)
    {
        return super.isValidSignature(hash, signature);
    }

    /// @notice ERC-4337, by an installed validator or by the owner's signature (EIP-191).
    function validateUserOp(PackedUserOperation calldata userOp, bytes32 userOpHash, uint256 missingAccountFunds)
        public
        override
        open
        inState(State.Active)
        returns (uint256)
    {
        return super.validateUserOp(userOp, userOpHash, missingAccountFunds);
    }

    function entryPoint() public view override returns (IEntryPoint) {
        return IEntryPoint(_entryPoint);
    }

    // ------------------------------------------------------------------------------------------------------- internals

    function _installModule(uint256 moduleTypeId, address module, bytes memory initData) internal override {
        if (moduleTypeId == MODULE_TYPE_EXECUTOR) {
            if (executor != address(0)) revert ExecutorAlreadyInstalled(executor);
            executor = module;
        }
        super._installModule(moduleTypeId, module, initData);
    }

    function _uninstallModule(uint256 moduleTypeId, address module, bytes memory deInitData) internal override {
        if (moduleTypeId == MODULE_TYPE_EXECUTOR) delete executor;
        super._uninstallModule(moduleTypeId, module, deInitData);
    }

    /// @dev The owner may do by himself what he may do by an entry point.
    function _checkEntryPointOrSelf() internal view override {
        if (msg.sender != owner) super._checkEntryPointOrSelf();
    }

    function _rawSignatureValidation(bytes32 hash, bytes calldata signature) internal view override returns (bool) {
        return _recover(MessageHashUtils.toEthSignedMessageHash(hash), signature) == owner;
    }
}
