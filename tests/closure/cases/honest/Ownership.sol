// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

/// @notice All that changes anything is the owner's; giving the ownership up is the closing.
contract Renounced {
    address public owner = msg.sender;
    address public pendingOwner;
    uint256 public fee;
    mapping(address => bool) public operators;

    modifier onlyOwner() {
        require(msg.sender == owner, "not the owner");
        _;
    }

    function setFee(uint256 fee_) external onlyOwner {
        fee = fee_;
    }

    function setOperator(address operator, bool allowed) external onlyOwner {
        operators[operator] = allowed;
    }

    function offer(address to) external onlyOwner {
        pendingOwner = to;
    }

    function accept() external {
        require(msg.sender == pendingOwner, "not the one");
        owner = msg.sender;
        delete pendingOwner;
    }

    function execute(address payable to, bytes calldata data) external payable onlyOwner returns (bytes memory) {
        (bool done, bytes memory answer) = to.call{value: msg.value}(data);
        require(done, "failed");
        return answer;
    }

    function destroy() external onlyOwner {
        selfdestruct(payable(owner));
    }

    function renounce() external onlyOwner {
        delete owner;
        delete pendingOwner;
    }
}

/// @notice Only the account itself may administer it, and it calls nobody any more.
contract OnlySelf {
    bool public closed;
    address public immutable operator = msg.sender;
    uint256 public threshold = 1;
    mapping(address => bool) public owners;

    modifier onlySelf() {
        require(msg.sender == address(this), "only the account itself");
        _;
    }

    function setThreshold(uint256 to) external onlySelf {
        threshold = to;
    }

    function addOwner(address owner) external onlySelf {
        owners[owner] = true;
    }

    function close() external onlySelf {
        closed = true;
    }

    function reopen() external onlySelf {
        closed = false;
    }

    function execute(address to, uint256 value, bytes calldata data) external {
        require(!closed, "closed");
        require(msg.sender == operator, "not the operator");
        (bool done,) = to.call{value: value}(data);
        require(done, "failed");
    }
}
