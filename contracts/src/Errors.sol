// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Purpose, State} from "./Types.sol";

// Every refusal has a name; where two values disagree it carries the expected one first and then the actual one.

/// @notice The wallet is closed for ever: nothing it is asked for happens.
error WalletClosed();

error WrongState(State expected, State actual);

error NotOwner(address expected, address actual);
error NotOperator(address expected, address actual);
error NotFactory(address expected, address actual);
error NotEntryPoint(address expected, address actual);
error NotOwnerOrSessionKey(address owner, address sessionKey, address actual);
error NotOwnerOperatorOrSessionKey(address owner, address operator, address sessionKey, address actual);

/// @notice No challenge of this purpose is waiting for a signature: none was committed, or it has been used.
error ChallengeNotCommitted(Purpose purpose);
error ChallengeAlreadyCommitted(Purpose purpose, bytes32 commitment);
error ChallengeMismatch(bytes32 expected, bytes32 actual);

/// @notice The signature is somebody else's. `actual` is zero for one that is malformed.
error WrongSigner(address expected, address actual);

/// @notice The wallet has no function with this selector.
error UnknownFunction(bytes4 selector);

error TokenBalanceUnreadable(address token);
error TokenTransferFailed(address token, uint256 amount);

/// @notice The token reported success, but part of the balance stayed behind.
error TokenRemains(address token, uint256 expected, uint256 actual);
error EtherTransferFailed(address to, uint256 amount);

/// @notice An address that must be set is zero.
error ZeroAddress(string role);

/// @notice The platform's account already has its wallet; an account never gets a second one.
error AlreadyDeployed(bytes16 accountId, address wallet);

/// @notice The caller does not own the factory, which is who operates its wallets.
error NotFactoryOwner(address expected, address actual);

/// @notice The wallet is paused, or, where `expected` is true, it is not.
error WrongPause(bool expected, bool actual);
error WrongNonce(uint256 expected, uint256 actual);

/// @notice Nothing was requested for this token, or it has been paid out.
error NoWithdrawal(address token);
error WithdrawalTooEarly(uint256 availableAt, uint256 actual);

/// @notice The account has one executor at a time; zero means that it has none.
error NotExecutor(address expected, address actual);
error ExecutorAlreadyInstalled(address executor);
