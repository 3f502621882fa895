// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

interface IPrice {
    function price() external returns (uint256);
}

abstract contract Guarded {
    uint256 internal lock = 1;
    bool public closed;
    address public owner = msg.sender;
    uint256 public counter;

    modifier nonReentrant() {
        require(lock == 1, "locked");
        lock = 2;
        _;
        lock = 1;
    }

    modifier open() {
        require(!closed, "closed");
        _;
    }

    modifier onlyOwner() {
        require(msg.sender == owner, "not the owner");
        _;
    }
}

/// @notice The lock is taken before the closed flag is looked at.
contract LockBeforeCheck is Guarded {
    function close() external nonReentrant open onlyOwner {
        closed = true;
    }

    function count(uint256 by) external nonReentrant open onlyOwner {
        counter += by;
    }

    function execute(address target, bytes calldata data) external nonReentrant open onlyOwner {
        (bool done,) = target.call(data);
        require(done, "failed");
    }

    receive() external payable nonReentrant open {}
}

/// @notice Somebody else is called before the closed flag is looked at: the failure takes the call back.
contract CallBeforeCheck is Guarded {
    IPrice public immutable source;

    constructor(IPrice source_) {
        source = source_;
    }

    function close() external onlyOwner {
        require(!closed, "closed");
        closed = true;
    }

    function buy() external payable {
        uint256 price = source.price();
        require(msg.value >= price, "too little");
        require(!closed, "closed");
        counter += 1;
    }

    function poke(address target, bytes calldata data) external {
        (bool done,) = target.call(data);
        if (done) counter = 7;
        if (closed) revert("closed");
        counter += 2;
    }
}

/// @notice A price that changes whenever it is asked for.
contract Price is IPrice {
    uint256 public asked;

    function price() external returns (uint256) {
        return ++asked;
    }
}

/// @notice Taking and giving back the lock succeeds in the closed state too, and changes nothing.
contract LockOnly is Guarded {
    function close() external onlyOwner nonReentrant {
        require(!closed, "closed");
        closed = true;
    }

    function ping(uint256 value) external nonReentrant returns (uint256) {
        return value + counter;
    }

    function touch() external nonReentrant {
        counter = counter;
        closed = closed || counter > 5;
    }
}

/// @notice Closing again is no error: it writes what is there.
contract IdempotentClose is Guarded {
    function close() external onlyOwner {
        closed = true;
        counter = 0;
    }

    function count() external onlyOwner open {
        counter += 1;
    }
}

/// @notice The checks in another order: time, owner, amount, closed last; and by an internal function at the end.
contract CheckLast is Guarded {
    function close() external onlyOwner open {
        closed = true;
    }

    function _check() internal view {
        if (closed) revert("closed");
    }

    function early(uint256 amount, uint256 until) external onlyOwner nonReentrant {
        require(block.timestamp <= until, "late");
        require(amount < 1 ether, "too much");
        counter += amount;
        lock = 2;
        _check();
    }

    function mixed(bytes32 word) external payable nonReentrant onlyOwner open {
        require(msg.value == uint256(keccak256(abi.encode(word))) % 7, "wrong");
        counter = uint256(word);
    }
}

/// @notice The lock is written, somebody is called, and only then the flag is looked at: whoever is called meets the
/// lock, and whatever it does the flag stays.
contract LockCallCheck is Guarded {
    function close() external onlyOwner {
        require(!closed, "closed");
        closed = true;
    }

    function poke(address target, bytes calldata data) external nonReentrant returns (bytes memory answer) {
        bool done;
        (done, answer) = target.call(data);
        require(done, "failed");
        require(!closed, "closed");
        counter += 1;
    }
}
