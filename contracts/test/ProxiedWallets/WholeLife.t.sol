// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AlreadyDeployed, NotOperator, WalletClosed, ZeroAddress} from "../../src/Errors.sol";
import {SmartWallet} from "../../src/SmartWallet.sol";
import {Purpose, State} from "../../src/Types.sol";
import {CloneWalletFactory} from "../../src/proxied/CloneWalletFactory.sol";
import {ProxiedWalletFactory} from "../../src/proxied/ProxiedWalletFactory.sol";
import {ProxyWalletFactory} from "../../src/proxied/ProxyWalletFactory.sol";
import {WalletTest} from "../utils/WalletTest.sol";

/// @notice `SmartWallet`'s life, as the code of clones and of proxies.
abstract contract WholeLife is WalletTest {
    ProxiedWalletFactory internal proxied;

    function makeFactory() internal virtual returns (ProxiedWalletFactory);

    function setUp() public override {
        super.setUp();
        proxied = makeFactory();
        wallet = deployProxied(ACCOUNT_ID);
    }

    function deployProxied(bytes16 accountId) private returns (SmartWallet) {
        vm.prank(operator);
        address made = proxied.deploySmartWallet(owner, address(escrow), accountId, keccak256(CREATION));
        return SmartWallet(payable(made));
    }

    function test_HasItsOwnStateAndTheSameImmutables() public {
        SmartWallet second = deployProxied(bytes16(uint128(2)));
        SmartWallet implementation = SmartWallet(payable(proxied.implementationOf(owner, address(escrow))));
        vm.assertFalse(address(second) == address(wallet), "two wallets");
        activate();
        vm.assertEq(uint256(wallet.state()), uint256(State.Active));
        vm.assertEq(uint256(second.state()), uint256(State.Created));
        vm.assertEq(uint256(implementation.state()), uint256(State.Created));
        vm.assertEq(implementation.challengeCommitment(Purpose.Creation), 0);
        vm.assertEq(second.owner(), owner);
        vm.assertEq(second.factory(), address(proxied));
        vm.assertTrue(wallet.challengeCommitment(Purpose.Creation) == 0, "used up");
    }

    function test_ClosesForGood() public {
        activate();
        deactivate();
        vm.deal(address(wallet), 5);
        vm.deal(owner, 0);
        close();
        vm.assertEq(owner.balance, 5);
        vm.assertEq(slot(0), bytes32(uint256(3)));
        expectNamed(WalletClosed.selector);
        deactivate();
        (bool success,) = address(wallet).call{value: 1}("");
        vm.assertFalse(success, "took ether");
    }

    function test_ClosingTheImplementationLeavesItsWalletsOpen() public {
        activate();
        SmartWallet mine = wallet;
        wallet = SmartWallet(payable(proxied.implementationOf(owner, address(escrow))));
        close();
        wallet = mine;
        assertState(State.Active);
        deactivate();
        assertState(State.Inactive);
    }

    function test_ACommitmentIsOfOneWallet() public {
        commitDeletion();
        bytes32 mine = slot(2);
        wallet = deployProxied(bytes16(uint128(2)));
        commitDeletion();
        vm.assertFalse(slot(2) == mine, "bound to the wallet, not to its code");
    }

    function test_RevertWhen_TheAccountHasAWallet() public {
        vm.expectRevert(abi.encodeWithSelector(AlreadyDeployed.selector, ACCOUNT_ID, address(wallet)));
        vm.prank(operator);
        proxied.deploySmartWallet(stranger, address(escrow), ACCOUNT_ID, keccak256(CREATION));
    }

    function testFuzz_RevertWhen_CallerIsNotTheOperator(address caller) public {
        vm.assume(caller != operator);
        vm.expectRevert(abi.encodeWithSelector(NotOperator.selector, operator, caller));
        vm.prank(caller);
        proxied.deploySmartWallet(owner, address(escrow), bytes16(uint128(2)), keccak256(CREATION));
    }

    function testFuzz_WhereItWasPredicted(address walletOwner, address escrow_, bytes16 accountId) public {
        vm.assume(walletOwner != address(0) && accountId != ACCOUNT_ID);
        address predicted = proxied.predictSmartWallet(walletOwner, escrow_, accountId);
        vm.prank(operator);
        vm.assertEq(proxied.deploySmartWallet(walletOwner, escrow_, accountId, keccak256(CREATION)), predicted);
        vm.assertEq(proxied.walletOf(accountId), predicted);
    }

    function test_OneImplementationForEachOwner() public view {
        address first = proxied.implementationOf(owner, address(escrow));
        vm.assertTrue(first.code.length != 0, "deployed with the first wallet");
        vm.assertFalse(proxied.implementationOf(stranger, address(escrow)) == first, "another owner's");
        vm.assertEq(address(proxied.implementationOf(stranger, address(escrow))).code.length, 0);
    }
}

contract CloneLifeTest is WholeLife {
    function makeFactory() internal override returns (ProxiedWalletFactory) {
        return new CloneWalletFactory(operator, entryPoint);
    }

    function test_ItsCodeIsThePublishedClone() public view {
        address implementation = proxied.implementationOf(owner, address(escrow));
        bytes memory expected =
            abi.encodePacked(hex"363d3d373d3d3d363d73", implementation, hex"5af43d82803e903d91602b57fd5bf3");
        vm.assertEq(address(wallet).code, expected);
    }

    function test_RevertWhen_ItHasNoOperator() public {
        vm.expectRevert(abi.encodeWithSelector(ZeroAddress.selector, "operator"));
        new CloneWalletFactory(address(0), entryPoint);
    }
}

contract ProxyLifeTest is WholeLife {
    bytes32 private constant IMPLEMENTATION_SLOT = bytes32(uint256(keccak256("eip1967.proxy.implementation")) - 1);
    bytes32 private constant ADMIN_SLOT = bytes32(uint256(keccak256("eip1967.proxy.admin")) - 1);

    function makeFactory() internal override returns (ProxiedWalletFactory) {
        return new ProxyWalletFactory(operator, entryPoint);
    }

    function test_ItsSlotNamesTheImplementationAndNoAdmin() public view {
        uint160 implementation = uint160(proxied.implementationOf(owner, address(escrow)));
        vm.assertEq(vm.load(address(wallet), IMPLEMENTATION_SLOT), bytes32(uint256(implementation)));
        vm.assertEq(vm.load(address(wallet), ADMIN_SLOT), 0);
    }
}
