// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    EtherTransferFailed,
    NotFactoryOwner,
    TokenRemains,
    TokenTransferFailed,
    WalletClosed,
    WrongSigner
} from "../../src/Errors.sol";
import {OffBlocksSmartWallet} from "../../src/offblocks/OffBlocksSmartWallet.sol";
import {CallbackToken, FalseToken, ICallback, NoEther, StickyToken} from "../utils/Doubles.sol";
import {OffBlocksTest} from "../utils/OffBlocksTest.sol";

contract LockTest is OffBlocksTest, ICallback {
    bytes private _answer;

    /// @dev What a hostile token reaches in the middle of the locking, as the factory's owner.
    function onCallback() external {
        vm.prank(operator);
        (bool success, bytes memory answer) = address(documented).call(abi.encodeCall(documented.pause, ()));
        vm.assertFalse(success, "a call into a wallet that is being locked succeeded");
        _answer = answer;
    }

    function expectLockReverts(bytes memory reason, address[] memory tokens) private {
        bytes memory signature = sign(DELETION);
        vm.expectRevert(reason);
        vm.prank(operator);
        documented.lock(DELETION, signature, tokens);
    }

    function testFuzz_SendsAllToTheOwnerWhoOwnsNothingAfterwards(uint128 etherAmount, uint128 amount, bool isPaused)
        public
    {
        vm.deal(address(documented), etherAmount);
        vm.deal(owner, 0);
        token.mint(address(documented), amount);
        if (isPaused) {
            vm.prank(operator);
            documented.pause();
        }
        lock(one(address(token)));
        vm.assertEq(vm.load(address(documented), 0), bytes32(uint256(2) << 160));
        vm.assertEq(documented.owner(), address(0));
        vm.assertTrue(documented.locked(), "locked");
        vm.assertFalse(documented.paused(), "paused");
        vm.assertEq(owner.balance, etherAmount);
        vm.assertEq(token.balanceOf(owner), amount);
    }

    function test_ALockedWalletRefusesEveryCall() public {
        lock();
        vm.deal(owner, 1 ether);
        bytes memory signature = sign(DELETION);
        bytes[11] memory calls = [
            bytes(""),
            abi.encodeCall(documented.pause, ()),
            abi.encodeCall(documented.unpause, ()),
            abi.encodeCall(documented.lock, (DELETION, signature, new address[](0))),
            abi.encodeCall(documented.approveToken, (address(token), 1, 0, signature)),
            abi.encodeCall(documented.deposit, (address(token), 1)),
            abi.encodeCall(documented.requestWithdrawal, (address(token), 1)),
            abi.encodeCall(documented.withdraw, (address(token))),
            abi.encodeCall(documented.transferOwnership, (owner)),
            abi.encodeCall(documented.renounceOwnership, ()),
            abi.encodeWithSelector(documented.pause.selector, uint256(1))
        ];
        address[3] memory callers = [owner, operator, address(0)];
        for (uint256 i = 0; i < calls.length; ++i) {
            for (uint256 j = 0; j < callers.length; ++j) {
                vm.prank(callers[j]);
                (bool success, bytes memory answer) = address(documented).call(calls[i]);
                vm.assertFalse(success, "a call to a locked wallet succeeded");
                vm.assertEq(answer, abi.encodeWithSelector(WalletClosed.selector));
            }
        }
    }

    function test_IsLockedBeforeItCallsAnybody() public {
        CallbackToken hostile = new CallbackToken(address(this));
        hostile.mint(address(documented), 1);
        lock(one(address(hostile)));
        vm.assertEq(_answer, abi.encodeWithSelector(WalletClosed.selector));
    }

    function testFuzz_RevertWhen_CallerDoesNotOwnTheFactory(address caller) public {
        vm.assume(caller != operator);
        bytes memory signature = sign(DELETION);
        vm.expectRevert(abi.encodeWithSelector(NotFactoryOwner.selector, operator, caller));
        vm.prank(caller);
        documented.lock(DELETION, signature, new address[](0));
    }

    function testFuzz_RevertWhen_AnotherKeySigned(uint256 key) public {
        key = 1 + key % (2 ** 255);
        vm.assume(key != OWNER_KEY);
        bytes memory signature = sign(key, DELETION);
        vm.expectRevert(abi.encodeWithSelector(WrongSigner.selector, owner, vm.addr(key)));
        vm.prank(operator);
        documented.lock(DELETION, signature, new address[](0));
    }

    function test_RevertWhen_NobodyOwnsItAndTheSignatureIsMalformed() public {
        vm.prank(owner);
        documented.renounceOwnership();
        vm.expectRevert(abi.encodeWithSelector(WrongSigner.selector, address(0), address(0)));
        vm.prank(operator);
        documented.lock(DELETION, "short", new address[](0));
    }

    function test_RevertWhen_ATransferFails() public {
        FalseToken refused = new FalseToken();
        refused.mint(address(documented), 3);
        expectLockReverts(
            abi.encodeWithSelector(TokenTransferFailed.selector, address(refused), 3), one(address(refused))
        );
        StickyToken sticky = new StickyToken();
        sticky.mint(address(documented), 4);
        expectLockReverts(abi.encodeWithSelector(TokenRemains.selector, address(sticky), 0, 2), one(address(sticky)));
        vm.deal(address(documented), 5);
        vm.etch(owner, address(new NoEther()).code);
        expectLockReverts(abi.encodeWithSelector(EtherTransferFailed.selector, owner, 5), new address[](0));
        vm.assertEq(uint256(documented.status()), uint256(OffBlocksSmartWallet.Status.Active));
    }

    function test_OneSignatureServesInEveryWalletOfTheOwner() public {
        vm.prank(operator);
        address second = offblocks.deploySmartWallet(owner, address(escrow), address(offblocks), SALT + 1);
        lock();
        documented = OffBlocksSmartWallet(payable(second));
        lock();
        vm.assertTrue(documented.locked(), "the second one");
    }
}
