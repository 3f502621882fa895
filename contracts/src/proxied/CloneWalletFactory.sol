// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {ProxiedWalletFactory} from "./ProxiedWalletFactory.sol";

/// @title Wallets that are ERC-1167 clones: the implementation stands in their code.
contract CloneWalletFactory is ProxiedWalletFactory {
    constructor(address operator_, address entryPoint_) ProxiedWalletFactory(operator_, entryPoint_) {}

    function _deploy(address implementation, bytes32 salt_) internal override returns (address) {
        return Clones.cloneDeterministic(implementation, salt_);
    }

    function _predict(address implementation, bytes32 salt_) internal view override returns (address) {
        return Clones.predictDeterministicAddress(implementation, salt_, address(this));
    }
}
