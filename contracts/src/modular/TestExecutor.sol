// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    IERC7579Execution,
    IERC7579Module,
    MODULE_TYPE_EXECUTOR
} from "@openzeppelin/contracts/interfaces/draft-IERC7579.sol";

/// @title An executor module for devnets and tests: it does with an account what anybody asks it to.
contract TestExecutor is IERC7579Module {
    function onInstall(bytes calldata) external {}

    function onUninstall(bytes calldata) external {}

    function isModuleType(uint256 moduleTypeId) external pure returns (bool) {
        return moduleTypeId == MODULE_TYPE_EXECUTOR;
    }

    /// @notice One call as `account`, by ERC-7579's single mode.
    function run(address account, address target, uint256 value, bytes calldata data) external {
        IERC7579Execution(account).executeFromExecutor(bytes32(0), abi.encodePacked(target, value, data));
    }
}
