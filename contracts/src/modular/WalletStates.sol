// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {
    ChallengeAlreadyCommitted,
    ChallengeMismatch,
    ChallengeNotCommitted,
    NotFactory,
    NotOperator,
    WalletClosed,
    WrongSigner,
    WrongState,
    ZeroAddress
} from "../Errors.sol";
import {Purpose, State} from "../Types.sol";

/// @title The states and challenges of `SmartWallet`, for a wallet of another make.
/// @dev The first of a wallet's bases: its storage comes first.
abstract contract WalletStates {
    address public immutable owner;
    address public immutable operator;
    address public immutable factory;

    // Slot 0 is the state (lowest byte) and the executor above it, so that a closed account without an executor has
    // exactly 3 there. Do not reorder.
    State internal _state;
    /// @notice The module that may act as the account; zero if there is none.
    address public executor;
    mapping(Purpose => bytes32) public challengeCommitment;

    event ChallengeCommitted(Purpose indexed purpose, bytes32 commitment);
    event StateChanged(State indexed from, State indexed to);

    modifier open() {
        if (_state == State.Closed) revert WalletClosed();
        _;
    }

    modifier inState(State expected) {
        if (_state != expected) revert WrongState(expected, _state);
        _;
    }

    modifier onlyOperator() {
        if (msg.sender != operator) revert NotOperator(operator, msg.sender);
        _;
    }

    constructor(address owner_, address operator_) {
        if (owner_ == address(0)) revert ZeroAddress("owner");
        if (operator_ == address(0)) revert ZeroAddress("operator");
        owner = owner_;
        operator = operator_;
        factory = msg.sender;
    }

    /// @notice As `SmartWallet.commitChallenge`.
    function commitChallenge(Purpose purpose, bytes32 challengeHash) external open {
        bytes32 commitment = computeCommitment(purpose, challengeHash);
        if (purpose == Purpose.Creation) {
            if (msg.sender != factory) revert NotFactory(factory, msg.sender);
            if (_state != State.Created) revert WrongState(State.Created, _state);
            bytes32 known = challengeCommitment[purpose];
            if (known != 0) revert ChallengeAlreadyCommitted(purpose, known);
        } else if (msg.sender != operator) {
            revert NotOperator(operator, msg.sender);
        }
        challengeCommitment[purpose] = commitment;
        emit ChallengeCommitted(purpose, commitment);
    }

    /// @notice Created → Active, with the owner's signature of the creation challenge.
    function activate(bytes calldata challenge, bytes calldata signature)
        external
        open
        onlyOperator
        inState(State.Created)
    {
        _takeChallenge(Purpose.Creation, challenge, signature);
        _setState(State.Active);
    }

    /// @notice Active → Inactive.
    function deactivate() external open onlyOperator inState(State.Active) {
        _setState(State.Inactive);
    }

    /// @notice Inactive → Active.
    function reactivate() external open onlyOperator inState(State.Inactive) {
        _setState(State.Active);
    }

    function state() external view returns (State) {
        return _state;
    }

    /// @notice As `SmartWallet.computeCommitment`.
    function computeCommitment(Purpose purpose, bytes32 challengeHash) public view returns (bytes32) {
        return keccak256(abi.encode(address(this), block.chainid, purpose, challengeHash));
    }

    function _setState(State to) internal {
        emit StateChanged(_state, to);
        _state = to;
    }

    /// @dev Checks the owner's signature of the committed challenge, which serves once.
    function _takeChallenge(Purpose purpose, bytes calldata challenge, bytes calldata signature)
        internal
        returns (bytes32 challengeHash)
    {
        challengeHash = keccak256(challenge);
        bytes32 expected = challengeCommitment[purpose];
        if (expected == 0) revert ChallengeNotCommitted(purpose);
        bytes32 actual = computeCommitment(purpose, challengeHash);
        if (actual != expected) revert ChallengeMismatch(expected, actual);
        address signer = _recover(MessageHashUtils.toEthSignedMessageHash(challenge), signature);
        if (signer != owner) revert WrongSigner(owner, signer);
        delete challengeCommitment[purpose];
    }

    /// @return signer Zero if the signature is malformed: never the owner, who is not zero.
    function _recover(bytes32 digest, bytes calldata signature) internal pure returns (address signer) {
        (signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
    }
}
