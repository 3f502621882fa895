// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

/// Counter-examples: what looks like acting and is not.
abstract contract Wallet {
    address public owner = msg.sender;
    bool public closed;

    function close() external {
        require(msg.sender == owner, "not the owner");
        require(!closed, "closed");
        closed = true;
    }
}

contract LogsOnly is Wallet {
    event Noted(address indexed by, bytes data);

    fallback(bytes calldata data) external returns (bytes memory) {
        emit Noted(msg.sender, data);
        return "";
    }
}

contract Undone is Wallet {
    function probe(address to, bytes calldata data) external {
        closed = false;
        (bool ok,) = to.call(data);
        ok;
        revert("only asked");
    }

    function destroy() external {
        payable(owner).transfer(address(this).balance);
        assert(false);
    }
}
