// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";

import {AlreadyDeployed, NotOperator, ZeroAddress} from "../Errors.sol";
import {SmartWallet} from "../SmartWallet.sol";
import {Purpose} from "../Types.sol";

/// @title Deploys one implementation for each owner, and for each account a small contract that runs its code.
/// @dev Whose owner and factory a wallet has stands in its implementation's code, the state in its own storage. So the
/// factory of the implementation is the one that may bind a challenge of the wallets behind it, too.
abstract contract ProxiedWalletFactory {
    address public immutable operator;
    address public immutable entryPoint;

    /// @notice The wallet of an account, by the 16 bytes of the account's UUID; zero if it has none.
    mapping(bytes16 accountId => address) public walletOf;

    event ImplementationDeployed(address indexed implementation, address indexed owner, address escrow);
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

    /// @notice Deploys the account's wallet and binds its creation challenge in the same transaction; before the first
    /// wallet of an owner, its implementation.
    /// @param accountId The 16 bytes of the platform's account UUID. An account gets a wallet once, whoever its owner.
    /// @param creationChallengeHash keccak256 of the creation challenge's decoded bytes.
    function deploySmartWallet(address walletOwner, address escrow, bytes16 accountId, bytes32 creationChallengeHash)
        external
        returns (address wallet)
    {
        if (msg.sender != operator) revert NotOperator(operator, msg.sender);
        wallet = walletOf[accountId];
        if (wallet != address(0)) revert AlreadyDeployed(accountId, wallet);

        address implementation = implementationOf(walletOwner, escrow);
        if (implementation.code.length == 0) {
            new SmartWallet{salt: 0}(walletOwner, operator, escrow, entryPoint);
            emit ImplementationDeployed(implementation, walletOwner, escrow);
        }
        bytes32 salt_ = salt(walletOwner, accountId);
        wallet = _deploy(implementation, salt_);
        walletOf[accountId] = wallet;
        SmartWallet(payable(wallet)).commitChallenge(Purpose.Creation, creationChallengeHash);
        emit SmartWalletCreated(wallet, walletOwner, accountId, escrow, salt_, creationChallengeHash);
    }

    /// @notice The address that `deploySmartWallet` gives for the same arguments.
    function predictSmartWallet(address walletOwner, address escrow, bytes16 accountId)
        external
        view
        returns (address)
    {
        return _predict(implementationOf(walletOwner, escrow), salt(walletOwner, accountId));
    }

    /// @notice The address of the code that the wallets of an owner with this escrow run, deployed or not.
    function implementationOf(address walletOwner, address escrow) public view returns (address) {
        bytes memory arguments = abi.encode(walletOwner, operator, escrow, entryPoint);
        return Create2.computeAddress(0, keccak256(abi.encodePacked(type(SmartWallet).creationCode, arguments)));
    }

    /// @notice The one salt function, the same as `SmartWalletFactory`'s.
    function salt(address walletOwner, bytes16 accountId) public pure returns (bytes32) {
        return keccak256(abi.encode(walletOwner, accountId));
    }

    function _deploy(address implementation, bytes32 salt_) internal virtual returns (address);

    function _predict(address implementation, bytes32 salt_) internal view virtual returns (address);
}
