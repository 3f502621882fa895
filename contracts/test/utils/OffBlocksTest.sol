// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";

import {OffBlocksSmartWallet} from "../../src/offblocks/OffBlocksSmartWallet.sol";
import {OffBlocksSmartWalletFactory} from "../../src/offblocks/OffBlocksSmartWalletFactory.sol";
import {WalletTest} from "./WalletTest.sol";

/// @notice A wallet of the documented shape; `operator` owns the factory.
abstract contract OffBlocksTest is WalletTest {
    uint256 internal constant SALT = 7;

    OffBlocksSmartWalletFactory internal offblocks;
    OffBlocksSmartWallet internal documented;

    function setUp() public virtual override {
        super.setUp();
        bytes memory setup = abi.encodeCall(OffBlocksSmartWalletFactory.initialize, (operator));
        address implementation = address(new OffBlocksSmartWalletFactory());
        offblocks = OffBlocksSmartWalletFactory(address(new ERC1967Proxy(implementation, setup)));
        vm.prank(operator);
        address made = offblocks.deploySmartWallet(owner, address(escrow), address(offblocks), SALT);
        documented = OffBlocksSmartWallet(payable(made));
    }

    function lock() internal {
        lock(new address[](0));
    }

    function lock(address[] memory tokens) internal {
        bytes memory signature = sign(DELETION);
        vm.prank(operator);
        documented.lock(DELETION, signature, tokens);
    }
}
