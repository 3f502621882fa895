// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";

import {SmartWallet} from "../SmartWallet.sol";
import {ProxiedWalletFactory} from "./ProxiedWalletFactory.sol";

/// @title Wallets that are ERC-1967 proxies without an admin: the implementation stands in their storage, and nothing
/// in the code of either writes there.
contract ProxyWalletFactory is ProxiedWalletFactory {
    constructor(address operator_, address entryPoint_) ProxiedWalletFactory(operator_, entryPoint_) {}

    function _deploy(address implementation, bytes32 salt_) internal override returns (address) {
        return address(new ERC1967Proxy{salt: salt_}(implementation, _firstCall()));
    }

    function _predict(address implementation, bytes32 salt_) internal view override returns (address) {
        bytes memory arguments = abi.encode(implementation, _firstCall());
        bytes32 initCodeHash = keccak256(abi.encodePacked(type(ERC1967Proxy).creationCode, arguments));
        return Create2.computeAddress(salt_, initCodeHash);
    }

    /// @dev The proxy insists on a call when it is made. It gets one that changes nothing and is always the same, so
    /// that owner and account alone decide the address.
    function _firstCall() private pure returns (bytes memory) {
        return abi.encodeCall(SmartWallet.state, ());
    }
}
