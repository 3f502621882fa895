// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Account} from "@openzeppelin/contracts/account/Account.sol";
import {PackedUserOperation} from "@openzeppelin/contracts/interfaces/IERC4337.sol";
import {MODULE_TYPE_EXECUTOR} from "@openzeppelin/contracts/interfaces/draft-IERC7579.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {
    ChallengeMismatch,
    ExecutorAlreadyInstalled,
    NotExecutor,
    NotOperator,
    WalletClosed,
    WrongSigner,
    WrongState
} from "../../src/Errors.sol";
import {Purpose, State} from "../../src/Types.sol";
import {ModularWallet} from "../../src/modular/ModularWallet.sol";
import {ModularWalletFactory} from "../../src/modular/ModularWalletFactory.sol";
import {TestExecutor} from "../../src/modular/TestExecutor.sol";
import {Target} from "../utils/Doubles.sol";
import {WalletTest} from "../utils/WalletTest.sol";

contract ModularLifeTest is WalletTest {
    bytes32 private constant SALT = keccak256("salt");

    ModularWalletFactory private _factory;
    ModularWallet private _wallet;
    TestExecutor private _executor;
    Target private _target;

    function setUp() public override {
        super.setUp();
        _factory = new ModularWalletFactory(operator, entryPoint);
        _wallet = deployModular(SALT);
        _executor = new TestExecutor();
        _target = new Target();
    }

    function deployModular(bytes32 salt) private returns (ModularWallet) {
        vm.prank(operator);
        return ModularWallet(payable(_factory.deployModularWallet(owner, ACCOUNT_ID, salt, keccak256(CREATION))));
    }

    function start() private {
        bytes memory signature = sign(CREATION);
        vm.prank(operator);
        _wallet.activate(CREATION, signature);
    }

    function end() private {
        vm.prank(operator);
        _wallet.commitChallenge(Purpose.Deletion, keccak256(DELETION));
        bytes memory signature = sign(DELETION);
        vm.prank(operator);
        _wallet.close(DELETION, signature, one(address(token)));
    }

    function install() private {
        vm.prank(owner);
        _wallet.installModule(MODULE_TYPE_EXECUTOR, address(_executor), "");
    }

    function uninstall() private {
        vm.prank(owner);
        _wallet.uninstallModule(MODULE_TYPE_EXECUTOR, address(_executor), "");
    }

    function run(uint256 number) private {
        _executor.run(address(_wallet), address(_target), 0, abi.encodeCall(Target.set, (number)));
    }

    function test_FromCreationToClosedWithNothingLeft() public {
        vm.assertEq(_factory.predictModularWallet(owner, SALT), address(_wallet));
        start();
        vm.prank(operator);
        _wallet.deactivate();
        vm.assertEq(uint256(_wallet.state()), uint256(State.Inactive));
        vm.prank(operator);
        _wallet.reactivate();
        vm.deal(address(_wallet), 4);
        vm.deal(owner, 0);
        token.mint(address(_wallet), 6);
        end();
        vm.assertEq(owner.balance, 4);
        vm.assertEq(token.balanceOf(owner), 6);
        vm.assertEq(vm.load(address(_wallet), 0), bytes32(uint256(3)));
        vm.assertEq(_wallet.challengeCommitment(Purpose.Deletion), 0);
    }

    function test_AnExecutorActsForItAlsoWhenItIsClosed() public {
        start();
        install();
        run(1);
        end();
        vm.assertEq(vm.load(address(_wallet), 0), bytes32(uint256(uint160(address(_executor))) << 8 | 3));
        run(2);
        vm.assertEq(_target.number(), 2);
        expectNamed(WalletClosed.selector);
        uninstall();
    }

    function test_AnExecutorThatWasUninstalledDoesNotActAnyMore() public {
        start();
        install();
        uninstall();
        vm.expectRevert(abi.encodeWithSelector(NotExecutor.selector, address(0), address(_executor)));
        run(1);
        end();
        vm.expectRevert(abi.encodeWithSelector(NotExecutor.selector, address(0), address(_executor)));
        run(1);
    }

    function test_RevertWhen_ASecondExecutorIsInstalled() public {
        start();
        install();
        TestExecutor second = new TestExecutor();
        vm.expectRevert(abi.encodeWithSelector(ExecutorAlreadyInstalled.selector, address(_executor)));
        vm.prank(owner);
        _wallet.installModule(MODULE_TYPE_EXECUTOR, address(second), "");
    }

    function test_AClosedAccountRefusesEveryOtherCall() public {
        start();
        install();
        end();
        PackedUserOperation memory op = userOp(sign(DELETION));
        bytes[11] memory calls = [
            bytes(""),
            hex"12345678",
            abi.encodeCall(_wallet.commitChallenge, (Purpose.Deletion, bytes32(0))),
            abi.encodeCall(_wallet.activate, (CREATION, sign(CREATION))),
            abi.encodeCall(_wallet.deactivate, ()),
            abi.encodeCall(_wallet.reactivate, ()),
            abi.encodeCall(_wallet.close, (DELETION, sign(DELETION), new address[](0))),
            abi.encodeCall(_wallet.execute, (bytes32(0), "")),
            abi.encodeCall(_wallet.installModule, (MODULE_TYPE_EXECUTOR, stranger, "")),
            abi.encodeCall(_wallet.isValidSignature, (bytes32(0), sign(DELETION))),
            abi.encodeCall(_wallet.validateUserOp, (op, bytes32(0), 0))
        ];
        address[4] memory callers = [owner, operator, entryPoint, address(_executor)];
        for (uint256 i = 0; i < calls.length; ++i) {
            for (uint256 j = 0; j < callers.length; ++j) {
                vm.prank(callers[j]);
                (bool success, bytes memory answer) = address(_wallet).call(calls[i]);
                vm.assertFalse(success, "a call to a closed account succeeded");
                vm.assertEq(answer, abi.encodeWithSelector(WalletClosed.selector));
            }
        }
    }

    function test_TheOwnerExecutesAndAnswersWhileActive() public {
        bytes memory call_ = abi.encodePacked(address(_target), uint256(0), abi.encodeCall(Target.set, (3)));
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, State.Active, State.Created));
        vm.prank(owner);
        _wallet.execute(bytes32(0), call_);
        start();
        vm.prank(owner);
        _wallet.execute(bytes32(0), call_);
        vm.assertEq(_target.number(), 3);
        vm.expectRevert(abi.encodeWithSelector(Account.AccountUnauthorized.selector, stranger));
        vm.prank(stranger);
        _wallet.execute(bytes32(0), call_);

        bytes32 hash = keccak256("operation");
        bytes memory signature = signDigest(OWNER_KEY, MessageHashUtils.toEthSignedMessageHash(hash));
        vm.prank(entryPoint);
        vm.assertEq(_wallet.validateUserOp(userOp(signature), hash, 0), 0);
        vm.prank(entryPoint);
        vm.assertEq(_wallet.validateUserOp(userOp(sign(OWNER_KEY + 1, "other")), hash, 0), 1);
    }

    function testFuzz_RevertWhen_AnotherKeySigned(uint256 key) public {
        key = 1 + key % (2 ** 255);
        vm.assume(key != OWNER_KEY);
        bytes memory signature = sign(key, CREATION);
        vm.expectRevert(abi.encodeWithSelector(WrongSigner.selector, owner, vm.addr(key)));
        vm.prank(operator);
        _wallet.activate(CREATION, signature);
    }

    function test_RevertWhen_TheChallengeIsNotTheCommittedOne() public {
        bytes memory signature = sign(DELETION);
        bytes32 expected = _wallet.computeCommitment(Purpose.Creation, keccak256(CREATION));
        bytes32 actual = _wallet.computeCommitment(Purpose.Creation, keccak256(DELETION));
        vm.expectRevert(abi.encodeWithSelector(ChallengeMismatch.selector, expected, actual));
        vm.prank(operator);
        _wallet.activate(DELETION, signature);
    }

    function testFuzz_RevertWhen_CallerIsNotTheOperator(address caller) public {
        vm.assume(caller != operator);
        vm.expectRevert(abi.encodeWithSelector(NotOperator.selector, operator, caller));
        vm.prank(caller);
        _factory.deployModularWallet(owner, ACCOUNT_ID, SALT, bytes32(0));
        vm.expectRevert(abi.encodeWithSelector(NotOperator.selector, operator, caller));
        vm.prank(caller);
        _wallet.commitChallenge(Purpose.Deletion, bytes32(0));
    }

    function test_AnotherSaltGivesTheAccountAnotherWallet() public {
        ModularWallet second = deployModular(keccak256("another"));
        vm.assertFalse(address(second) == address(_wallet), "the same wallet");
    }
}
