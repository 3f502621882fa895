// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {TestToken} from "../../src/TestToken.sol";

// Parties that misbehave, each in one way.

/// @notice Answers false instead of moving anything.
contract FalseToken is TestToken {
    function transfer(address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @notice Refuses every transfer.
contract RevertingToken is TestToken {
    error Refused();

    function transfer(address, uint256) public pure override returns (bool) {
        revert Refused();
    }
}

/// @notice Answers true and moves half.
contract StickyToken is TestToken {
    function transfer(address to, uint256 amount) public override returns (bool) {
        return super.transfer(to, amount / 2);
    }
}

/// @notice Moves all and answers nothing, as some old tokens do.
contract SilentToken {
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }
}

/// @notice Calls back into whoever wants it, in the middle of a transfer.
contract CallbackToken is TestToken {
    address private immutable _target;

    constructor(address target) {
        _target = target;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        ICallback(_target).onCallback();
        return super.transfer(to, amount);
    }
}

interface ICallback {
    function onCallback() external;
}

/// @notice Takes no ether.
contract NoEther {
    error NotWanted();

    receive() external payable {
        revert NotWanted();
    }
}

/// @notice On receiving ether, calls its sender with what it was given, and keeps the answer.
contract CallBackOnEther {
    bytes private _data;
    bool public succeeded;
    bytes public answer;

    function setData(bytes calldata data) external {
        _data = data;
    }

    receive() external payable {
        (succeeded, answer) = msg.sender.call(_data);
    }
}

/// @notice Something to be called: keeps what it got, or fails with it.
contract Target {
    error Failed(uint256 number);

    uint256 public number;

    function set(uint256 number_) external payable returns (uint256) {
        number = number_;
        return number_ + 1;
    }

    function fail(uint256 number_) external pure {
        revert Failed(number_);
    }
}
