// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

import {Ownable} from "@openzeppelin/contracts-v4/access/Ownable.sol";
import {ERC1967Proxy} from "@openzeppelin/contracts-v4/proxy/ERC1967/ERC1967Proxy.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts-v4/proxy/utils/UUPSUpgradeable.sol";
import {Pausable} from "@openzeppelin/contracts-v4/security/Pausable.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts-v4/security/ReentrancyGuard.sol";
import {SafeERC20, IERC20} from "@openzeppelin/contracts-v4/token/ERC20/utils/SafeERC20.sol";

/// @notice Everything is the owner's, and the owner has renounced.
contract Vault is Ownable, Pausable, ReentrancyGuard {
    using SafeERC20 for IERC20;

    constructor() payable {}

    function withdraw(IERC20 token, address to, uint256 amount) external nonReentrant whenNotPaused onlyOwner {
        token.safeTransfer(to, amount);
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
    address public owner;
    bool public closed;
    uint256 public value;

    function initialize(address owner_) external {
        require(owner == address(0), "initialized");
        owner = owner_;
    }

    function _check() private view {
        require(!closed, "closed");
        require(msg.sender == owner, "not the owner");
    }

    function _authorizeUpgrade(address) internal view override {
        _check();
    }

    function set(uint256 to) external {
        _check();
        value = to;
    }

    function close() external {
        _check();
        closed = true;
    }
}

contract WalletProxy is ERC1967Proxy {
    constructor(address implementation, bytes memory data) ERC1967Proxy(implementation, data) {}
}
