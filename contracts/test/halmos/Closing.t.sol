// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SmartWallet} from "../../src/SmartWallet.sol";
import {Purpose, State} from "../../src/Types.sol";
import {Symbolic} from "./Symbolic.sol";

/// @notice What `ClosedCheck` starts from: whoever closes a wallet, from whatever state, leaves exactly 3, 0, 0 in its
/// slots and no ether; and nothing but `close`, by the operator, makes it Closed.
contract ClosingCheck is Symbolic {
    address private owner;
    address private operator;
    SmartWallet internal wallet;

    function setUp() public {
        owner = svm.createAddress("owner");
        operator = svm.createAddress("operator");
        vm.assume(owner != address(0) && operator != address(0));
        wallet = new SmartWallet(owner, operator, address(0xe5c0), address(0xe47b));
        // An owner that is no contract of this world: a call of one that is may do anything, and is forge's to test.
        vm.assume(owner != address(wallet) && owner != address(this) && owner != address(vm) && owner != address(svm));
        vm.assume(uint160(owner) > 0xffff);
        svm.enableSymbolicStorage(address(wallet));
        vm.deal(address(wallet), svm.createUint256("balance") % (1 << 128));
        uint256 slot0 = uint256(vm.load(address(wallet), 0));
        vm.assume(slot0 & 0xff < uint256(State.Closed));
        // State and session key are 21 bytes: no code ever writes above them.
        vm.assume(slot0 >> 168 == 0);
    }

    function check_CloseLeavesNothing(bytes calldata challenge, bytes calldata signature) external {
        anyMoment();
        (bool success, address sender) = send(abi.encodeCall(wallet.close, (challenge, signature, new address[](0))));
        if (!success) return;
        assert(sender == operator);
        assert(uint256(vm.load(address(wallet), 0)) == uint256(State.Closed));
        assert(vm.load(address(wallet), bytes32(uint256(1))) == 0);
        assert(vm.load(address(wallet), bytes32(uint256(2))) == 0);
        assert(address(wallet).balance == 0);
    }

    function check_OnlyWithADeletionCommitment(bytes calldata challenge, bytes calldata signature) external {
        anyMoment();
        bytes32 committed = wallet.challengeCommitment(Purpose.Deletion);
        bytes32 bound = wallet.computeCommitment(Purpose.Deletion, keccak256(challenge));
        (bool success,) = send(abi.encodeCall(wallet.close, (challenge, signature, new address[](0))));
        if (success) assert(committed != 0 && committed == bound);
    }

    /// @dev Every function but `close`, by anybody, in any state: none makes the wallet Closed. `execute` calls others
    /// with anything, who could call back; that is forge's to test.
    function check_NothingElseCloses() external {
        anyMoment();
        bytes memory data = svm.createCalldata("SmartWallet", false);
        bytes4 selector = firstFour(data);
        vm.assume(selector != wallet.close.selector && selector != wallet.execute.selector);
        vm.assume(selector != wallet.approveEscrow.selector && selector != wallet.depositToEscrow.selector);
        vm.assume(selector != wallet.validateUserOp.selector);
        send(data);
        assert(wallet.state() != State.Closed);
    }

    /// @dev Must FAIL: closing can succeed, so the checks above are not empty.
    function fails_CloseSucceeds(bytes calldata challenge, bytes calldata signature) external {
        anyMoment();
        (bool success,) = send(abi.encodeCall(wallet.close, (challenge, signature, new address[](0))));
        assert(!success);
    }

    function send(bytes memory data) private returns (bool success, address sender) {
        sender = anySender(address(wallet));
        (success,) = address(wallet).call(data);
    }
}
