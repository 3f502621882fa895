// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    ChallengeMismatch,
    ChallengeNotCommitted,
    EtherTransferFailed,
    NotOperator,
    TokenBalanceUnreadable,
    TokenRemains,
    TokenTransferFailed,
    WalletClosed,
    WrongSigner
} from "../../src/Errors.sol";
import {SmartWallet} from "../../src/SmartWallet.sol";
import {TestToken} from "../../src/TestToken.sol";
import {Purpose, State} from "../../src/Types.sol";
import {
    CallBackOnEther,
    CallbackToken,
    FalseToken,
    ICallback,
    NoEther,
    RevertingToken,
    SilentToken,
    StickyToken
} from "../utils/Doubles.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract CloseTest is WalletTest, ICallback {
    bytes[] private _calls;
    bytes[] private _answers;

    /// @dev What a hostile token reaches in the middle of the closing, as the wallet's operator.
    function onCallback() external {
        for (uint256 i = 0; i < _calls.length; ++i) {
            (bool success, bytes memory answer) = address(wallet).call(_calls[i]);
            vm.assertFalse(success, "a call into a closing wallet succeeded");
            _answers.push(answer);
        }
    }

    function expectCloseReverts(bytes memory reason, address[] memory tokens) private {
        bytes memory signature = sign(DELETION);
        vm.expectRevert(reason);
        vm.prank(operator);
        wallet.close(DELETION, signature, tokens);
    }

    function expectMismatch(bytes memory challenge) private {
        bytes32 actual = wallet.computeCommitment(Purpose.Deletion, keccak256(challenge));
        vm.expectRevert(abi.encodeWithSelector(ChallengeMismatch.selector, slot(2), actual));
    }

    // -------------------------------------------------------------------------------------------------------- it closes

    function testFuzz_FromEveryStateToExactlyThree(uint8 from) public {
        bring(State(from % 3));
        close();
        assertState(State.Closed);
        vm.assertEq(slot(0), bytes32(uint256(3)));
        vm.assertEq(slot(1), bytes32(0));
        vm.assertEq(slot(2), bytes32(0));
    }

    function test_ClearsTheSessionKey() public {
        activateWithSessionKey();
        close();
        vm.assertEq(wallet.sessionKey(), address(0));
        vm.assertEq(slot(0), bytes32(uint256(3)));
    }

    function testFuzz_SendsAllToTheOwner(uint128 etherAmount, uint128 tokenAmount, uint128 silentAmount) public {
        activate();
        SilentToken silent = new SilentToken();
        vm.deal(address(wallet), etherAmount);
        vm.deal(owner, 0);
        token.mint(address(wallet), tokenAmount);
        silent.mint(address(wallet), silentAmount);
        address[] memory tokens = new address[](3);
        (tokens[0], tokens[1], tokens[2]) = (address(token), address(silent), address(token));
        commitDeletion();

        bytes memory signature = sign(DELETION);
        vm.expectEmit(address(wallet));
        emit SmartWallet.StateChanged(State.Active, State.Closed);
        if (tokenAmount != 0) {
            vm.expectEmit(address(token));
            emit Transfer(address(wallet), owner, tokenAmount);
        }
        vm.expectEmit(address(wallet));
        emit SmartWallet.Closed(keccak256(DELETION), etherAmount, tokens);
        vm.prank(operator);
        wallet.close(DELETION, signature, tokens);

        vm.assertEq(owner.balance, etherAmount);
        vm.assertEq(address(wallet).balance, 0);
        vm.assertEq(token.balanceOf(owner), tokenAmount);
        vm.assertEq(silent.balanceOf(owner), silentAmount);
    }

    event Transfer(address indexed from, address indexed to, uint256 value);

    function test_LeavesATokenThatIsNotNamed() public {
        token.mint(address(wallet), 5);
        close();
        vm.assertEq(token.balanceOf(address(wallet)), 5);
    }

    function test_WithTheNewestOfTwoCommittedChallenges() public {
        commitDeletion();
        vm.prank(operator);
        wallet.commitChallenge(Purpose.Deletion, keccak256("newer"));

        bytes memory older = sign(DELETION);
        expectMismatch(DELETION);
        vm.prank(operator);
        wallet.close(DELETION, older, new address[](0));

        bytes memory newer = sign("newer");
        vm.prank(operator);
        wallet.close("newer", newer, new address[](0));
        assertState(State.Closed);
    }

    // ------------------------------------------------------------------------------------- it does not close for others

    function testFuzz_RevertWhen_CallerIsNotTheOperator(address caller) public {
        vm.assume(caller != operator);
        commitDeletion();
        bytes memory signature = sign(DELETION);
        vm.expectRevert(abi.encodeWithSelector(NotOperator.selector, operator, caller));
        vm.prank(caller);
        wallet.close(DELETION, signature, new address[](0));
    }

    function testFuzz_RevertWhen_AnotherKeySigned(uint256 key) public {
        key = 1 + key % (2 ** 255);
        vm.assume(key != OWNER_KEY);
        commitDeletion();
        bytes memory signature = sign(key, DELETION);
        vm.expectRevert(abi.encodeWithSelector(WrongSigner.selector, owner, vm.addr(key)));
        vm.prank(operator);
        wallet.close(DELETION, signature, new address[](0));
    }

    function test_RevertWhen_NothingWasCommitted() public {
        expectCloseReverts(abi.encodeWithSelector(ChallengeNotCommitted.selector, Purpose.Deletion), new address[](0));
    }

    function test_RevertWhen_TheChallengeIsForCreation() public {
        commitDeletion();
        bytes memory signature = sign(CREATION);
        expectMismatch(CREATION);
        vm.prank(operator);
        wallet.close(CREATION, signature, new address[](0));
    }

    function test_RevertWhen_TheChallengeIsAnotherWallets() public {
        SmartWallet mine = wallet;
        wallet = deploy(bytes16(uint128(2)), keccak256(CREATION));
        commitDeletion();
        wallet = mine;
        expectCloseReverts(abi.encodeWithSelector(ChallengeNotCommitted.selector, Purpose.Deletion), new address[](0));
    }

    function testFuzz_RevertWhen_TheChainIsAnother(uint64 chain) public {
        vm.assume(chain != 0 && chain != block.chainid);
        commitDeletion();
        bytes memory signature = sign(DELETION);
        vm.chainId(chain);
        expectMismatch(DELETION);
        vm.prank(operator);
        wallet.close(DELETION, signature, new address[](0));
    }

    function testFuzz_RevertWhen_Closed(address caller) public {
        close();
        bytes memory signature = sign(DELETION);
        expectNamed(WalletClosed.selector);
        vm.prank(caller);
        wallet.close(DELETION, signature, new address[](0));
    }

    // ---------------------------------------------------------------------------------- a failing transfer undoes it all

    function expectUndone(address bad, bytes memory reason) private {
        activateWithSessionKey();
        vm.deal(address(wallet), 1 ether);
        token.mint(address(wallet), 5);
        address[] memory tokens = new address[](2);
        (tokens[0], tokens[1]) = (address(token), bad);
        commitDeletion();
        (bytes32 zero, bytes32 two) = (slot(0), slot(2));
        expectCloseReverts(reason, tokens);
        assertState(State.Active);
        vm.assertEq(slot(0), zero);
        vm.assertEq(slot(2), two);
        vm.assertEq(token.balanceOf(address(wallet)), 5);
        vm.assertEq(address(wallet).balance, 1 ether);

        // Without the bad one it closes, by the same challenge.
        closeCommitted(one(address(token)));
        assertState(State.Closed);
    }

    function test_RevertWhen_ATokenAnswersFalse() public {
        TestToken bad = new FalseToken();
        bad.mint(address(wallet), 7);
        expectUndone(address(bad), abi.encodeWithSelector(TokenTransferFailed.selector, bad, 7));
    }

    function test_RevertWhen_ATokenReverts() public {
        TestToken bad = new RevertingToken();
        bad.mint(address(wallet), 7);
        expectUndone(address(bad), abi.encodeWithSelector(TokenTransferFailed.selector, bad, 7));
    }

    function test_RevertWhen_ATokenKeepsAPart() public {
        TestToken bad = new StickyToken();
        bad.mint(address(wallet), 7);
        expectUndone(address(bad), abi.encodeWithSelector(TokenRemains.selector, bad, 0, 4));
    }

    function test_RevertWhen_ATokenHasNoCode() public {
        expectUndone(stranger, abi.encodeWithSelector(TokenBalanceUnreadable.selector, stranger));
    }

    function test_RevertWhen_ATokenHasNoBalances() public {
        expectUndone(address(factory), abi.encodeWithSelector(TokenBalanceUnreadable.selector, factory));
    }

    function test_RevertWhen_TheOwnerTakesNoEther() public {
        activate();
        vm.deal(address(wallet), 1 ether);
        vm.etch(owner, address(new NoEther()).code);
        commitDeletion();
        expectCloseReverts(abi.encodeWithSelector(EtherTransferFailed.selector, owner, 1 ether), new address[](0));
        assertState(State.Active);
        vm.assertEq(address(wallet).balance, 1 ether);
    }

    function test_WithoutEtherTheOwnerNeedNotTakeAny() public {
        vm.etch(owner, address(new NoEther()).code);
        close();
        assertState(State.Closed);
    }

    // ------------------------------------------------------------------------------------------------------- re-entrancy

    function test_AHostileTokenMeetsAClosedWallet() public {
        wallet = new SmartWallet(owner, address(this), address(escrow), entryPoint);
        CallbackToken hostile = new CallbackToken(address(this));
        hostile.mint(address(wallet), 3);
        vm.deal(address(wallet), 1 ether);
        wallet.commitChallenge(Purpose.Deletion, keccak256(DELETION));
        bytes memory signature = sign(DELETION);
        _calls.push(abi.encodeCall(wallet.close, (DELETION, signature, new address[](0))));
        _calls.push(abi.encodeCall(wallet.commitChallenge, (Purpose.Deletion, keccak256("again"))));
        _calls.push(abi.encodeCall(wallet.reactivate, ()));
        _calls.push(abi.encodeCall(wallet.isValidSignature, (keccak256("x"), "")));
        _calls.push("");

        wallet.close(DELETION, signature, one(address(hostile)));

        vm.assertEq(_answers.length, _calls.length);
        for (uint256 i = 0; i < _answers.length; ++i) {
            vm.assertEq(_answers[i], abi.encodeWithSelector(WalletClosed.selector));
        }
        vm.assertEq(hostile.balanceOf(owner), 3);
        vm.assertEq(slot(0), bytes32(uint256(3)));
        vm.assertEq(slot(2), bytes32(0));
    }

    function test_AnOwnerWithCodeMeetsAClosedWallet() public {
        activate();
        vm.deal(address(wallet), 1 ether);
        vm.etch(owner, address(new CallBackOnEther()).code);
        CallBackOnEther caller = CallBackOnEther(payable(owner));
        caller.setData(abi.encodeCall(wallet.setSessionKey, (stranger)));
        close();
        vm.assertFalse(caller.succeeded(), "the owner acted in the middle of the closing");
        vm.assertEq(caller.answer(), abi.encodeWithSelector(WalletClosed.selector));
        vm.assertEq(slot(0), bytes32(uint256(3)));
    }
}
