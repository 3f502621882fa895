// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {
    EtherTransferFailed,
    NoWithdrawal,
    NotFactoryOwner,
    TokenRemains,
    TokenTransferFailed,
    WalletClosed,
    WithdrawalTooEarly,
    WrongNonce,
    WrongPause,
    WrongSigner,
    ZeroAddress
} from "../Errors.sol";
import {IEscrow} from "../IEscrow.sol";

/// @title A wallet in the shape that the platform documents: `Ownable`, with an escrow and delayed withdrawals.
/// @notice Active from its deployment. Whoever owns the factory pauses, resumes and locks it; locking needs the owner's
/// signature, sends everything to him and renounces the ownership, for ever.
/// @dev `unlocked` stands FIRST on every entry point that could change anything. No function but views is without it.
contract OffBlocksSmartWallet is Ownable, ReentrancyGuard {
    using SafeERC20 for IERC20;

    enum Status {
        Active,
        Paused,
        Locked
    }

    struct Withdrawal {
        uint256 amount;
        uint256 availableAt;
    }

    uint256 public constant WITHDRAWAL_DELAY = 1 days;

    address public immutable escrow;
    address public immutable smartWalletFactory;

    // Slot 0 is the owner (Ownable) and, in the byte above it, the status: a locked wallet's slot 0 is exactly 2 << 160.
    // Do not reorder.
    Status private _status;
    /// @notice The number that the owner's next signed approval must carry.
    uint256 public nonce;
    mapping(address token => Withdrawal) public withdrawals;

    event Deposited(address indexed token, uint256 amount);
    event WithdrawalRequested(address indexed token, uint256 amount, uint256 availableAt);
    event Withdrawn(address indexed token, uint256 amount);

    modifier unlocked() {
        if (_status == Status.Locked) revert WalletClosed();
        _;
    }

    modifier whilePaused(bool expected) {
        if (paused() != expected) revert WrongPause(expected, paused());
        _;
    }

    /// @dev Asks the factory, so `unlocked` must come before it.
    modifier onlyFactoryOwner() {
        address operator = Ownable(smartWalletFactory).owner();
        if (msg.sender != operator) revert NotFactoryOwner(operator, msg.sender);
        _;
    }

    constructor(address _owner, address _escrow, address _smartWalletFactory) Ownable(_owner) {
        if (_smartWalletFactory == address(0)) revert ZeroAddress("smartWalletFactory");
        escrow = _escrow;
        smartWalletFactory = _smartWalletFactory;
    }

    receive() external payable unlocked {}

    // --------------------------------------------------------------------------------------------- the platform's part

    function pause() external unlocked onlyFactoryOwner whilePaused(false) {
        _status = Status.Paused;
    }

    function unpause() external unlocked onlyFactoryOwner whilePaused(true) {
        _status = Status.Active;
    }

    /// @notice Locks the wallet for ever, with the owner's signature, and sends the named tokens and all ether to him.
    /// One transfer that fails undoes it. Nothing on the chain binds the challenge to this wallet: one signature serves
    /// in every wallet of this owner.
    /// @param challenge The challenge's decoded bytes, exactly as issued.
    /// @param signature 65 bytes, EIP-191 `personal_sign` of `challenge` by the owner.
    function lock(bytes calldata challenge, bytes calldata signature, address[] calldata tokens)
        external
        unlocked
        onlyFactoryOwner
    {
        address to = owner();
        _checkSigner(MessageHashUtils.toEthSignedMessageHash(challenge), signature);
        _status = Status.Locked;
        _transferOwnership(address(0));

        for (uint256 i = 0; i < tokens.length; ++i) {
            _sweep(tokens[i], to);
        }
        uint256 amount = address(this).balance;
        if (amount != 0) _send(to, amount);
    }

    // ------------------------------------------------------------------------------------------------ the owner's part

    /// @notice Allows the escrow to take up to `amount` of `token`, by the owner's signature; anybody may submit it.
    function approveToken(address token, uint256 amount, uint256 nonce_, bytes calldata signature)
        external
        unlocked
        nonReentrant
        whilePaused(false)
    {
        if (nonce_ != nonce) revert WrongNonce(nonce, nonce_);
        _checkSigner(MessageHashUtils.toEthSignedMessageHash(approvalMessage(token, amount, nonce_)), signature);
        ++nonce;
        IERC20(token).forceApprove(escrow, amount);
    }

    /// @notice Moves approved tokens into the escrow.
    function deposit(address token, uint256 amount) external unlocked nonReentrant onlyOwner whilePaused(false) {
        emit Deposited(token, amount);
        IEscrow(escrow).deposit(token, amount);
    }

    /// @notice Asks for a withdrawal to the owner, which is paid out after the delay. Token zero is ether.
    function requestWithdrawal(address token, uint256 amount) external unlocked onlyOwner whilePaused(false) {
        uint256 availableAt = block.timestamp + WITHDRAWAL_DELAY;
        withdrawals[token] = Withdrawal(amount, availableAt);
        emit WithdrawalRequested(token, amount, availableAt);
    }

    function withdraw(address token) external unlocked nonReentrant onlyOwner whilePaused(false) {
        Withdrawal memory asked = withdrawals[token];
        if (asked.amount == 0) revert NoWithdrawal(token);
        // The owner waits a day: what a validator can shift does not matter.
        // forge-lint: disable-next-line(block-timestamp)
        if (block.timestamp < asked.availableAt) revert WithdrawalTooEarly(asked.availableAt, block.timestamp);
        delete withdrawals[token];
        emit Withdrawn(token, asked.amount);
        if (token == address(0)) _send(msg.sender, asked.amount);
        else IERC20(token).safeTransfer(msg.sender, asked.amount);
    }

    function transferOwnership(address newOwner) public override unlocked {
        super.transferOwnership(newOwner);
    }

    function renounceOwnership() public override unlocked {
        super.renounceOwnership();
    }

    // ---------------------------------------------------------------------------------------------------------- views

    /// @return 0 active, 1 paused, 2 locked.
    function status() external view returns (Status) {
        return _status;
    }

    function paused() public view returns (bool) {
        return _status == Status.Paused;
    }

    function locked() external view returns (bool) {
        return _status == Status.Locked;
    }

    /// @notice What the owner signs (EIP-191) for `approveToken`.
    function approvalMessage(address token, uint256 amount, uint256 nonce_) public view returns (bytes memory) {
        return abi.encode(address(this), block.chainid, token, amount, nonce_);
    }

    // ------------------------------------------------------------------------------------------------------- internals

    function _checkSigner(bytes32 digest, bytes calldata signature) private view {
        (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
        // Zero is who nobody is: neither a malformed signature nor a renounced ownership makes one the other.
        if (signer == address(0) || signer != owner()) revert WrongSigner(owner(), signer);
    }

    function _sweep(address token, address to) private {
        uint256 amount = IERC20(token).balanceOf(address(this));
        if (amount == 0) return;
        if (!IERC20(token).trySafeTransfer(to, amount)) revert TokenTransferFailed(token, amount);
        uint256 left = IERC20(token).balanceOf(address(this));
        if (left != 0) revert TokenRemains(token, 0, left);
    }

    function _send(address to, uint256 amount) private {
        (bool sent,) = to.call{value: amount}("");
        if (!sent) revert EtherTransferFailed(to, amount);
    }
}
