// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IAccount, PackedUserOperation} from "@openzeppelin/contracts/interfaces/IERC4337.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {
    ChallengeAlreadyCommitted,
    ChallengeMismatch,
    ChallengeNotCommitted,
    EtherTransferFailed,
    NotEntryPoint,
    NotFactory,
    NotOperator,
    NotOwner,
    NotOwnerOperatorOrSessionKey,
    NotOwnerOrSessionKey,
    TokenBalanceUnreadable,
    TokenRemains,
    TokenTransferFailed,
    UnknownFunction,
    WalletClosed,
    WrongSigner,
    WrongState,
    ZeroAddress
} from "./Errors.sol";
import {IEscrow} from "./IEscrow.sol";
import {Purpose, State} from "./Types.sol";

/// @title A customer's wallet on a card platform: the platform operates it, the customer owns it.
/// @notice The operator can neither activate nor close it alone: both need the owner's signature of a challenge that
/// was bound to this wallet, this chain and that purpose beforehand, and each challenge serves once.
/// @dev `open` stands FIRST on every entry point that could change anything or answer with the owner's authority, so
/// that a closed wallet is inert whatever else is asked of it. Closing changes storage before it calls anybody.
contract SmartWallet is IERC1271, IAccount, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    bytes4 private constant _ERC1271_INVALID = 0xffffffff;
    /// @dev ERC-4337: "signature failure" is an answer, any other trouble a revert.
    uint256 private constant _SIG_VALIDATION_SUCCESS = 0;
    uint256 private constant _SIG_VALIDATION_FAILED = 1;

    address public immutable owner;
    address public immutable operator;
    address public immutable escrow;
    address public immutable entryPoint;
    address public immutable factory;

    // Slot 0 is state (lowest byte) and session key, so that a closed wallet's slot 0 is exactly 3: the closure proof
    // reads these three slots. Do not reorder.
    State private _state;
    address private _sessionKey;
    bytes32 private _creationCommitment;
    bytes32 private _deletionCommitment;

    event ChallengeCommitted(Purpose indexed purpose, bytes32 commitment);
    event StateChanged(State indexed from, State indexed to);
    event SessionKeyChanged(address indexed from, address indexed to);
    event Closed(bytes32 indexed challengeHash, uint256 etherSent, address[] tokens);

    modifier open() {
        if (_state == State.Closed) revert WalletClosed();
        _;
    }

    modifier inState(State expected) {
        if (_state != expected) revert WrongState(expected, _state);
        _;
    }

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(owner, msg.sender);
        _;
    }

    modifier onlyOperator() {
        if (msg.sender != operator) revert NotOperator(operator, msg.sender);
        _;
    }

    /// @dev The caller becomes the wallet's factory: the only one that may bind the creation challenge.
    constructor(address owner_, address operator_, address escrow_, address entryPoint_) {
        if (owner_ == address(0)) revert ZeroAddress("owner");
        if (operator_ == address(0)) revert ZeroAddress("operator");
        owner = owner_;
        operator = operator_;
        escrow = escrow_;
        entryPoint = entryPoint_;
        factory = msg.sender;
    }

    receive() external payable open {}

    /// @dev Payable only so that a closed wallet answers a call with value by name too.
    fallback() external payable open {
        revert UnknownFunction(msg.sig);
    }

    // ------------------------------------------------------------------------------------------- challenge and state

    /// @notice Binds a challenge to this wallet, this chain and a purpose, before the owner is asked to sign it.
    /// The creation challenge is bound once, by the factory in the transaction of the deployment; the deletion challenge
    /// by the operator, and again when a new one is issued: the older one then serves no more.
    /// @param challengeHash keccak256 of the challenge's decoded bytes.
    function commitChallenge(Purpose purpose, bytes32 challengeHash) external open {
        bytes32 commitment = computeCommitment(purpose, challengeHash);
        if (purpose == Purpose.Creation) {
            if (msg.sender != factory) revert NotFactory(factory, msg.sender);
            if (_state != State.Created) revert WrongState(State.Created, _state);
            if (_creationCommitment != 0) revert ChallengeAlreadyCommitted(purpose, _creationCommitment);
            _creationCommitment = commitment;
        } else {
            if (msg.sender != operator) revert NotOperator(operator, msg.sender);
            _deletionCommitment = commitment;
        }
        emit ChallengeCommitted(purpose, commitment);
    }

    /// @notice Created → Active, with the owner's signature of the creation challenge.
    /// @param challenge The challenge's decoded bytes, exactly as issued.
    /// @param signature 65 bytes, EIP-191 `personal_sign` of `challenge` by the owner.
    function activate(bytes calldata challenge, bytes calldata signature)
        external
        open
        onlyOperator
        inState(State.Created)
    {
        _checkChallenge(Purpose.Creation, challenge, signature);
        delete _creationCommitment;
        _setState(State.Active);
    }

    /// @notice Active → Inactive: a suspension.
    function deactivate() external open onlyOperator inState(State.Active) {
        _setState(State.Inactive);
    }

    /// @notice Inactive → Active.
    function reactivate() external open onlyOperator inState(State.Inactive) {
        _setState(State.Active);
    }

    /// @notice Closes the wallet for ever, with the owner's signature of the deletion challenge, and sends the named
    /// tokens and all ether to the owner. One transfer that fails undoes the whole closing. What is not named stays, and
    /// what arrives later is locked.
    /// @param tokens ERC-20 tokens to empty; one that the wallet has nothing of is passed over.
    function close(bytes calldata challenge, bytes calldata signature, address[] calldata tokens)
        external
        open
        nonReentrant
        onlyOperator
    {
        bytes32 challengeHash = _checkChallenge(Purpose.Deletion, challenge, signature);
        _setState(State.Closed);
        delete _sessionKey;
        delete _creationCommitment;
        delete _deletionCommitment;

        for (uint256 i = 0; i < tokens.length; ++i) {
            _sweep(tokens[i]);
        }
        uint256 etherSent = address(this).balance;
        if (etherSent != 0) {
            (bool sent,) = owner.call{value: etherSent}("");
            if (!sent) revert EtherTransferFailed(owner, etherSent);
        }
        emit Closed(challengeHash, etherSent, tokens);
    }

    // ----------------------------------------------------------------------------------------------- the wallet's use

    /// @notice Gives a key the right to approve and deposit to the escrow. Zero takes it away.
    function setSessionKey(address key) external open onlyOwner inState(State.Active) {
        emit SessionKeyChanged(_sessionKey, key);
        _sessionKey = key;
    }

    /// @notice Calls `target` as the wallet. A failure is passed on as it came.
    function execute(address target, uint256 value, bytes calldata data)
        external
        open
        nonReentrant
        onlyOwner
        inState(State.Active)
        returns (bytes memory)
    {
        (bool success, bytes memory result) = target.call{value: value}(data);
        if (!success) {
            assembly ("memory-safe") {
                revert(add(result, 0x20), mload(result))
            }
        }
        return result;
    }

    /// @notice Allows the escrow to take up to `amount` of `token`, in the token's smallest unit.
    function approveEscrow(address token, uint256 amount) external open nonReentrant inState(State.Active) {
        if (msg.sender != owner && !_isSessionKey(msg.sender)) {
            revert NotOwnerOrSessionKey(owner, _sessionKey, msg.sender);
        }
        IERC20(token).forceApprove(escrow, amount);
    }

    /// @notice Moves approved tokens into the escrow. The operator can do it too, up to what was approved.
    function depositToEscrow(address token, uint256 amount) external open nonReentrant inState(State.Active) {
        if (msg.sender != owner && msg.sender != operator && !_isSessionKey(msg.sender)) {
            revert NotOwnerOperatorOrSessionKey(owner, operator, _sessionKey, msg.sender);
        }
        IEscrow(escrow).deposit(token, amount);
    }

    // ---------------------------------------------------------------------------------------------- answers for others

    /// @notice ERC-1271. Only an active wallet speaks for its owner; a closed one does not even say no.
    function isValidSignature(bytes32 hash, bytes calldata signature) external view open returns (bytes4) {
        if (_state != State.Active || _recover(hash, signature) != owner) return _ERC1271_INVALID;
        return IERC1271.isValidSignature.selector;
    }

    /// @notice ERC-4337 v0.7: the owner signs the operation's hash by EIP-191.
    /// @dev The prefund's own failure is the entry point's to judge, as the ERC has it.
    function validateUserOp(PackedUserOperation calldata userOp, bytes32 userOpHash, uint256 missingAccountFunds)
        external
        open
        inState(State.Active)
        returns (uint256)
    {
        if (msg.sender != entryPoint) revert NotEntryPoint(entryPoint, msg.sender);
        bytes32 digest = MessageHashUtils.toEthSignedMessageHash(userOpHash);
        if (_recover(digest, userOp.signature) != owner) return _SIG_VALIDATION_FAILED;
        if (missingAccountFunds != 0) {
            (bool sent,) = msg.sender.call{value: missingAccountFunds}("");
            sent;
        }
        return _SIG_VALIDATION_SUCCESS;
    }

    // ---------------------------------------------------------------------------------------------------------- views

    function state() external view returns (State) {
        return _state;
    }

    function sessionKey() external view returns (address) {
        return _sessionKey;
    }

    /// @notice The binding that waits for a signature; zero if none was made, or it has been used.
    function challengeCommitment(Purpose purpose) public view returns (bytes32) {
        return purpose == Purpose.Creation ? _creationCommitment : _deletionCommitment;
    }

    /// @notice What `commitChallenge` stores: the challenge's hash bound to this wallet, this chain and a purpose.
    function computeCommitment(Purpose purpose, bytes32 challengeHash) public view returns (bytes32) {
        return keccak256(abi.encode(address(this), block.chainid, purpose, challengeHash));
    }

    // ------------------------------------------------------------------------------------------------------- internals

    function _setState(State to) private {
        emit StateChanged(_state, to);
        _state = to;
    }

    function _isSessionKey(address caller) private view returns (bool) {
        // A call from 0x0 exists only in simulation (`eth_call` without `from`): it must not meet an unset key.
        return caller != address(0) && caller == _sessionKey;
    }

    function _checkChallenge(Purpose purpose, bytes calldata challenge, bytes calldata signature)
        private
        view
        returns (bytes32 challengeHash)
    {
        challengeHash = keccak256(challenge);
        bytes32 expected = challengeCommitment(purpose);
        if (expected == 0) revert ChallengeNotCommitted(purpose);
        bytes32 actual = computeCommitment(purpose, challengeHash);
        if (actual != expected) revert ChallengeMismatch(expected, actual);
        address signer = _recover(MessageHashUtils.toEthSignedMessageHash(challenge), signature);
        if (signer != owner) revert WrongSigner(owner, signer);
    }

    /// @return signer Zero if the signature is malformed: never the owner, who is not zero.
    function _recover(bytes32 digest, bytes calldata signature) private pure returns (address signer) {
        (signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
    }

    function _sweep(address token) private {
        uint256 amount = _balanceOf(token);
        if (amount == 0) return;
        if (!IERC20(token).trySafeTransfer(owner, amount)) revert TokenTransferFailed(token, amount);
        uint256 left = _balanceOf(token);
        if (left != 0) revert TokenRemains(token, 0, left);
    }

    /// @dev A high-level call would revert without a name for an address without code, or for a short answer.
    function _balanceOf(address token) private view returns (uint256) {
        (bool success, bytes memory result) = token.staticcall(abi.encodeCall(IERC20.balanceOf, (address(this))));
        if (!success || result.length < 32) revert TokenBalanceUnreadable(token);
        return abi.decode(result, (uint256));
    }
}
