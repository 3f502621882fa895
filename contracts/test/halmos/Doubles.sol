// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SmartWallet} from "../../src/SmartWallet.sol";

// Wallets that stay closed as long as nobody knows the word. No random test finds it; the solver must.

bytes32 constant WORD = keccak256("open sesame");

/// @notice Has a way back to Active.
contract ReopeningWallet is SmartWallet {
    constructor(address owner_, address operator_, address escrow_, address entryPoint_)
        SmartWallet(owner_, operator_, escrow_, entryPoint_)
    {}

    function reinstate(bytes32 word) external {
        if (word != WORD) revert();
        assembly ("memory-safe") {
            sstore(0, 1)
        }
    }
}

/// @notice Stays closed, and keeps books in a slot that no getter shows.
contract WritingWallet is SmartWallet {
    constructor(address owner_, address operator_, address escrow_, address entryPoint_)
        SmartWallet(owner_, operator_, escrow_, entryPoint_)
    {}

    function keep(bytes32 word) external {
        if (word != WORD) revert();
        assembly ("memory-safe") {
            sstore(77, word)
        }
    }
}

/// @notice Stays closed, and pays whoever knows the word.
contract PayingWallet is SmartWallet {
    constructor(address owner_, address operator_, address escrow_, address entryPoint_)
        SmartWallet(owner_, operator_, escrow_, entryPoint_)
    {}

    function withdraw(bytes32 word) external {
        if (word != WORD) revert();
        (bool sent,) = msg.sender.call{value: 1}("");
        sent;
    }
}

/// @notice Stays closed, and answers ERC-1271's question, by a function that is no view of the wallet.
contract AnsweringWallet is SmartWallet {
    constructor(address owner_, address operator_, address escrow_, address entryPoint_)
        SmartWallet(owner_, operator_, escrow_, entryPoint_)
    {}

    function isValidSignature(bytes calldata, bytes calldata) external pure returns (bytes4) {
        return 0x20c13b0b;
    }
}
