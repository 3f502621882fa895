// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SmartWallet} from "../../src/SmartWallet.sol";
import {State} from "../../src/Types.sol";
import {Symbolic} from "./Symbolic.sol";

/// @notice A wallet of any parties, closed, with anything in the rest of its storage and any balance: more than
/// `close` can leave behind, so that what holds here holds after every call too, and so for ever.
/// @dev The wallet under test is `subject()`: our own, or one of the doubles that must be found out.
abstract contract ClosedChecks is Symbolic {
    SmartWallet internal wallet;

    address internal owner;
    address internal operator;
    address internal escrow;
    address internal entryPoint;
    uint256 internal balance;

    function subject() internal virtual returns (SmartWallet);

    function setUp() public {
        owner = svm.createAddress("owner");
        operator = svm.createAddress("operator");
        escrow = svm.createAddress("escrow");
        entryPoint = svm.createAddress("entryPoint");
        vm.assume(owner != address(0) && operator != address(0));
        wallet = subject();
        svm.enableSymbolicStorage(address(wallet));
        balance = svm.createUint256("balance");
        vm.assume(balance < 1 << 128);
        vm.deal(address(wallet), balance);
    }

    function assumeClosed() internal view {
        vm.assume(uint256(vm.load(address(wallet), 0)) & 0xff == uint256(State.Closed));
    }

    /// @dev Calls the wallet and asserts that storage, balance and state are as they were.
    function callAny(bytes memory data, uint256 value) internal returns (bool success, bytes memory answer) {
        anyMoment();
        assumeClosed();
        bytes32 slot0 = vm.load(address(wallet), 0);
        bytes32 slot1 = vm.load(address(wallet), bytes32(uint256(1)));
        bytes32 slot2 = vm.load(address(wallet), bytes32(uint256(2)));
        bytes32 codeHash = address(wallet).codehash;
        // Last: the first reading of a slot whose value is unknown gives it a name, and counts as a change.
        uint256 before = svm.snapshotStorage(address(wallet));

        (success, answer) = send(data, value);

        assert(svm.snapshotStorage(address(wallet)) == before);
        assert(vm.load(address(wallet), 0) == slot0);
        assert(vm.load(address(wallet), bytes32(uint256(1))) == slot1);
        assert(vm.load(address(wallet), bytes32(uint256(2))) == slot2);
        assert(address(wallet).codehash == codeHash);
        assert(address(wallet).balance == balance);
        assert(wallet.state() == State.Closed);
    }

    function send(bytes memory data, uint256 value) private returns (bool, bytes memory) {
        vm.deal(anySender(address(wallet)), value);
        return address(wallet).call{value: value}(data);
    }

    function isView(bytes4 selector) internal view returns (bool) {
        return selector == wallet.state.selector || selector == wallet.sessionKey.selector
            || selector == wallet.owner.selector || selector == wallet.operator.selector
            || selector == wallet.escrow.selector || selector == wallet.entryPoint.selector
            || selector == wallet.factory.selector || selector == wallet.challengeCommitment.selector
            || selector == wallet.computeCommitment.selector;
    }
}

/// @notice The same for every function of the wallet's interface, whichever these are.
abstract contract AnyFunctionCheck is ClosedChecks {
    /// @dev The contract whose functions are called, by name.
    function subjectName() internal pure virtual returns (string memory);

    /// @dev Every function by its own interface, views too, with any value: whatever it answers, nothing changes, and
    /// what does succeed is a view that was sent no ether.
    function check_AnyFunction(uint256 value) external {
        bytes memory data = svm.createCalldata(subjectName(), true);
        (bool success,) = callAny(data, value);
        if (!success) return;
        assert(value == 0);
        assert(data.length >= 4 && isView(firstFour(data)));
    }
}
