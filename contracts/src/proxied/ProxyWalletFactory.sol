// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";

import {SmartWallet} from "../SmartWallet.sol";
import {ProxiedWalletFactory} from "./ProxiedWalletFactory.sol";

/// @title Wallets that are ERC-1967 proxies without an admin: the implementation stands in their storage, and nothing
/// in the code of either writes there.
contract ProxyWalletFactory is ProxiedWalletFactory {
    constructor(address operator_, address entryPoint_) ProxiedWalletFactory(operator_, entryPoint_) {}

    /// @dev The proxy insists on a call when it is made. It gets one that changes nothing and is always the same, so
    /// that owner and account alone decide the address.
    function _deploy(address implementation, bytes32 salt_) internal override returns (address) {
        return address(new ERC1967Proxy{salt: salt_}(implementation, abi.encodeCall(SmartWallet.state, ())));
    }
}
