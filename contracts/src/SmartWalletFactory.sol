// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";

import {AlreadyDeployed, NotOperator, ZeroAddress} from "./Errors.sol";
import {SmartWallet} from "./SmartWallet.sol";
import {Purpose} from "./Types.sol";

/// @title Deploys one wallet for each of the platform's accounts, at an address that can be computed beforehand.
contract SmartWalletFactory {
    address public immutable operator;
    address public immutable entryPoint;

    /// @notice The wallet of an account, by the 16 bytes of the account's UUID; zero if it has none.
    mapping(bytes16 accountId => address) public walletOf;

    event SmartWalletCreated(
        address indexed wallet,
        address indexed owner,
        bytes16 indexed accountId,
        address escrow,
        bytes32 salt,
        bytes32 creationChallengeHash
    );

    constructor(address operator_, address entryPoint_) {
        if (operator_ == address(0)) revert ZeroAddress("operator");
        operator = operator_;
        entryPoint = entryPoint_;
    }

    /// @notice Deploys the account's wallet and binds its creation challenge in the same transaction.
    /// @param accountId The 16 bytes of the platform's account UUID. An account gets a wallet once, whoever its owner.
    /// @param creationChallengeHash keccak256 of the creation challenge's decoded bytes.
    function deploySmartWallet(address walletOwner, address escrow, bytes16 accountId, bytes32 creationChallengeHash)
        external
        returns (address)
    {
        if (msg.sender != operator) revert NotOperator(operator, msg.sender);
        address existing = walletOf[accountId];
        if (existing != address(0)) revert AlreadyDeployed(accountId, existing);

        bytes32 salt_ = salt(walletOwner, accountId);
        SmartWallet wallet = new SmartWallet{salt: salt_}(walletOwner, operator, escrow, entryPoint);
        walletOf[accountId] = address(wallet);
        wallet.commitChallenge(Purpose.Creation, creationChallengeHash);
        emit SmartWalletCreated(address(wallet), walletOwner, accountId, escrow, salt_, creationChallengeHash);
        return address(wallet);
    }

    /// @notice The address that `deploySmartWallet` gives for the same arguments.
    function predictSmartWallet(address walletOwner, address escrow, bytes16 accountId)
        external
        view
        returns (address)
    {
        bytes memory arguments = abi.encode(walletOwner, operator, escrow, entryPoint);
        bytes32 initCodeHash = keccak256(abi.encodePacked(type(SmartWallet).creationCode, arguments));
        return Create2.computeAddress(salt(walletOwner, accountId), initCodeHash);
    }

    /// @notice The one salt function: prediction and deployment share it.
    function salt(address walletOwner, bytes16 accountId) public pure returns (bytes32) {
        return keccak256(abi.encode(walletOwner, accountId));
    }
}
