// SPDX-License-Identifier: MIT
pragma solidity >=0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// @notice Everything is the owner's, and the owner has renounced.
contract Vault is Ownable2Step, Pausable {
    using Address for address payable;

    constructor() payable Ownable(msg.sender) {}

    function withdraw(address payable to, uint256 amount) external onlyOwner whenNotPaused {
        to.sendValue(amount);
    }

    function pause() external onlyOwner {
        _pause();
    }

    function unpause() external onlyOwner {
        _unpause();
    }
}

/// @notice UUPS: closing also forbids the upgrade.
contract Wallet is UUPSUpgradeable {
    error WalletIsClosed();
    error NotOwner(address actual);

    address public owner;
    bool public closed;
    uint256 public value;

    modifier open() {
        if (closed) revert WalletIsClosed();
        _;
    }

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    function initialize(address owner_) external {
        require(owner == address(0), "initialized");
        owner = owner_;
    }

    function _authorizeUpgrade(address) internal view override open onlyOwner {}

    function set(uint256 to) external open onlyOwner {
        value = to;
    }

    function close() external open onlyOwner {
        closed = true;
    }
}

contract WalletProxy is ERC1967Proxy {
    constructor(address implementation, bytes memory data) ERC1967Proxy(implementation, data) {}
}
