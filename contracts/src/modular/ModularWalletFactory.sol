// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";

import {NotOperator, ZeroAddress} from "../Errors.sol";
import {Purpose} from "../Types.sol";
import {ModularWallet} from "./ModularWallet.sol";

/// @title Deploys modular accounts. It keeps no register: nothing but the event says whose account a wallet is.
contract ModularWalletFactory {
    address public immutable operator;
    address public immutable entryPoint;

    event ModularWalletCreated(
        address indexed wallet,
        address indexed owner,
        bytes16 indexed accountId,
        bytes32 salt,
        bytes32 creationChallengeHash
    );

    constructor(address operator_, address entryPoint_) {
        if (operator_ == address(0)) revert ZeroAddress("operator");
        operator = operator_;
        entryPoint = entryPoint_;
    }

    /// @notice Deploys a wallet for the account and binds its creation challenge in the same transaction. Another salt
    /// gives the same account another wallet.
    /// @param accountId The 16 bytes of the platform's account UUID.
    /// @param creationChallengeHash keccak256 of the creation challenge's decoded bytes.
    function deployModularWallet(address walletOwner, bytes16 accountId, bytes32 salt, bytes32 creationChallengeHash)
        external
        returns (address)
    {
        if (msg.sender != operator) revert NotOperator(operator, msg.sender);
        ModularWallet wallet = new ModularWallet{salt: salt}(walletOwner, operator, entryPoint);
        wallet.commitChallenge(Purpose.Creation, creationChallengeHash);
        emit ModularWalletCreated(address(wallet), walletOwner, accountId, salt, creationChallengeHash);
        return address(wallet);
    }

    /// @notice The address that `deployModularWallet` gives for the same owner and salt.
    function predictModularWallet(address walletOwner, bytes32 salt) external view returns (address) {
        bytes memory arguments = abi.encode(walletOwner, operator, entryPoint);
        bytes32 initCodeHash = keccak256(abi.encodePacked(type(ModularWallet).creationCode, arguments));
        return Create2.computeAddress(salt, initCodeHash);
    }
}
