// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SmartWallet} from "../../src/SmartWallet.sol";
import {AnyFunctionCheck, ClosedChecks} from "./ClosedChecks.sol";
import {AnsweringWallet, PayingWallet, ReopeningWallet, WritingWallet} from "./Doubles.sol";

// What the checks are worth: our wallet's own checks, of wallets that are not what they seem. Each must FAIL.

/// @notice Found by a check that does not know what to look for.
/// @custom:halmos --early-exit
contract ReopeningFound is AnyFunctionCheck {
    function subject() internal override returns (SmartWallet) {
        return new ReopeningWallet(owner, operator, escrow, entryPoint);
    }

    function subjectName() internal pure override returns (string memory) {
        return "ReopeningWallet";
    }
}

contract WritingFound is ClosedChecks {
    function subject() internal override returns (SmartWallet) {
        return new WritingWallet(owner, operator, escrow, entryPoint);
    }

    function check_Keep(bytes32 word) external {
        callAny(abi.encodeCall(WritingWallet.keep, (word)), 0);
    }
}

contract PayingFound is ClosedChecks {
    function subject() internal override returns (SmartWallet) {
        return new PayingWallet(owner, operator, escrow, entryPoint);
    }

    function check_Withdraw(bytes32 word) external {
        callAny(abi.encodeCall(PayingWallet.withdraw, (word)), 0);
    }
}

/// @notice It changes nothing: found because a function that is no view of the wallet succeeds.
/// @custom:halmos --early-exit
contract AnsweringFound is AnyFunctionCheck {
    function subject() internal override returns (SmartWallet) {
        return new AnsweringWallet(owner, operator, escrow, entryPoint);
    }

    function subjectName() internal pure override returns (string memory) {
        return "AnsweringWallet";
    }
}
