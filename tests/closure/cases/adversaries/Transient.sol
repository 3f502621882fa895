// SPDX-License-Identifier: MIT
pragma solidity >=0.8.24;

contract Switch {
    address public owner = msg.sender;
    bool public closed;

    function close() external {
        require(msg.sender == owner && !closed, "not now");
        closed = true;
    }

    function arm() external {
        assembly {
            tstore(7, 1)
        }
    }

    /// Open to whoever armed it in the same transaction.
    function use() external {
        bool armed;
        assembly {
            armed := tload(7)
        }
        require(armed, "closed");
        closed = false;
    }
}

contract Attacker {
    function go(Switch account) external {
        account.arm();
        account.use();
    }
}

/// Closed until the end of the transaction that closed it.
contract Forgetful {
    address public owner = msg.sender;
    uint256 public number;

    function close() external {
        require(msg.sender == owner, "not the owner");
        assembly {
            tstore(0, 1)
        }
    }

    function closed() public view returns (bool is_) {
        assembly {
            is_ := tload(0)
        }
    }

    function set(uint256 to) external {
        require(!closed(), "closed");
        number = to;
    }
}
