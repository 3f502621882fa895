// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {OwnableUpgradeable} from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";
import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";

import {OffBlocksSmartWallet} from "./OffBlocksSmartWallet.sol";

/// @title Deploys wallets in the platform's documented shape, and knows which wallets are of the platform.
/// @dev Stands behind an ERC-1967 proxy. No account of the platform's is named anywhere on the chain.
contract OffBlocksSmartWalletFactory is OwnableUpgradeable, UUPSUpgradeable {
    mapping(address wallet => bool) public isRegistered;

    event SmartWalletCreated(address indexed wallet, address indexed owner, address escrow, uint256 salt);
    event SmartWalletRegistered(address indexed wallet);

    constructor() {
        _disableInitializers();
    }

    function initialize(address owner_) external initializer {
        __Ownable_init(owner_);
    }

    /// @param _smartWalletFactory Whose owner operates the wallet: this proxy, as a rule.
    function deploySmartWallet(address _walletOwner, address _escrow, address _smartWalletFactory, uint256 _salt)
        external
        onlyOwner
        returns (address wallet)
    {
        wallet = address(new OffBlocksSmartWallet{salt: bytes32(_salt)}(_walletOwner, _escrow, _smartWalletFactory));
        isRegistered[wallet] = true;
        emit SmartWalletCreated(wallet, _walletOwner, _escrow, _salt);
    }

    /// @notice Takes wallets into the register that others have deployed.
    function batchRegisterSmartWallets(address[] calldata wallets) external onlyOwner {
        for (uint256 i = 0; i < wallets.length; ++i) {
            isRegistered[wallets[i]] = true;
            emit SmartWalletRegistered(wallets[i]);
        }
    }

    /// @notice The address that `deploySmartWallet` gives for the same arguments.
    function predictSmartWallet(address _walletOwner, address _escrow, address _smartWalletFactory, uint256 _salt)
        external
        view
        returns (address)
    {
        bytes memory arguments = abi.encode(_walletOwner, _escrow, _smartWalletFactory);
        bytes32 initCodeHash = keccak256(abi.encodePacked(type(OffBlocksSmartWallet).creationCode, arguments));
        return Create2.computeAddress(bytes32(_salt), initCodeHash);
    }

    function _authorizeUpgrade(address) internal override onlyOwner {}
}
