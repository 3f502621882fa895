// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

interface IToken {
    function transfer(address to, uint256 amount) external returns (bool);
    function balanceOf(address holder) external view returns (uint256);
}

/// @notice An ordinary wallet: owned, can be paused, can be closed for ever.
contract Closable {
    error IsClosed();
    error IsPaused();
    error NotOwner(address expected, address actual);
    error CallFailed(bytes answer);

    event Deposited(address indexed from, uint256 amount);
    event Executed(address indexed target, uint256 value, bytes data);

    address public owner;
    bool public paused;
    bool public closed;
    address public sessionKey;
    uint256 public sessionUntil;
    mapping(address => uint256) public limits;

    constructor() payable {
        owner = msg.sender;
    }

    modifier open() {
        if (closed) revert IsClosed();
        _;
    }

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(owner, msg.sender);
        _;
    }

    modifier running() {
        if (paused) revert IsPaused();
        _;
    }

    receive() external payable open {
        emit Deposited(msg.sender, msg.value);
    }

    fallback() external payable open {
        revert CallFailed(msg.data);
    }

    function pause() external open onlyOwner {
        paused = true;
    }

    function unpause() external open onlyOwner {
        paused = false;
    }

    function close() external open onlyOwner {
        closed = true;
        sessionKey = address(0);
        (bool sent, bytes memory answer) = owner.call{value: address(this).balance}("");
        if (!sent) revert CallFailed(answer);
    }

    function transferOwnership(address to) external open onlyOwner {
        owner = to;
    }

    function setSession(address key, uint256 until) external open onlyOwner {
        sessionKey = key;
        sessionUntil = until;
    }

    function setLimit(address token, uint256 limit) external open onlyOwner running {
        limits[token] = limit;
    }

    function execute(address target, uint256 value, bytes calldata data)
        external
        payable
        open
        onlyOwner
        running
        returns (bytes memory answer)
    {
        bool done;
        (done, answer) = target.call{value: value}(data);
        if (!done) revert CallFailed(answer);
        emit Executed(target, value, data);
    }

    function executeBatch(address[] calldata targets, uint256[] calldata values, bytes[] calldata data)
        external
        open
        onlyOwner
        running
    {
        for (uint256 i = 0; i < targets.length; ++i) {
            (bool done, bytes memory answer) = targets[i].call{value: values[i]}(data[i]);
            if (!done) revert CallFailed(answer);
        }
    }

    function pay(IToken token, address to, uint256 amount) external open running {
        if (msg.sender != owner && (msg.sender != sessionKey || block.timestamp > sessionUntil)) {
            revert NotOwner(owner, msg.sender);
        }
        if (amount > limits[address(token)]) revert IsPaused();
        limits[address(token)] -= amount;
        token.transfer(to, amount);
    }

    function balance(IToken token) external view returns (uint256) {
        return token.balanceOf(address(this));
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view open returns (bytes4) {
        (bytes32 r, bytes32 s) = abi.decode(signature[:64], (bytes32, bytes32));
        address signer = ecrecover(hash, uint8(signature[64]), r, s);
        return signer != address(0) && signer == owner ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}
