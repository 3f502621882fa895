// SPDX-License-Identifier: MIT
pragma solidity >=0.8.28;

/// @notice The lock is transient storage, taken before the flag is looked at.
contract TransientLock {
    bool private transient _locked;
    bool public closed;
    address public owner = msg.sender;
    uint256 public value;

    modifier nonReentrant() {
        require(!_locked, "locked");
        _locked = true;
        _;
        _locked = false;
    }

    function close() external nonReentrant {
        require(msg.sender == owner && !closed, "refused");
        closed = true;
    }

    function set(uint256 to) external nonReentrant {
        require(!closed, "closed");
        value = to;
    }

    /// @dev Transient storage alone changes nothing that lasts.
    function lockOnly() external nonReentrant returns (uint256) {
        return value;
    }

    function copied(bytes memory data) external view returns (bytes memory) {
        require(!closed, "closed");
        return bytes.concat(data, data);
    }
}
