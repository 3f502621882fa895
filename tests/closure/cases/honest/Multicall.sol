// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

library Words {
    function top(uint256 word) internal pure returns (uint256 bit) {
        while (word > 1) {
            word >>= 1;
            bit += 1;
        }
    }

    function bound(uint256 word, uint256 low, uint256 high) internal pure returns (uint256) {
        return word < low ? low : word > high ? high : word;
    }
}

library Store {
    struct Book {
        uint256[] entries;
        mapping(uint256 => uint256) index;
        bool closed;
    }

    error BookClosed();

    function write(Book storage book, uint256 entry) internal {
        if (book.closed) revert BookClosed();
        book.entries.push(entry);
        book.index[entry] = book.entries.length;
    }
}

/// @notice Several calls in one, by delegate calls to itself; each function is guarded.
contract Multicall {
    bool public closed;
    address public owner = msg.sender;
    uint256 public a;
    uint256 public b;

    modifier guarded() {
        require(!closed, "closed");
        require(msg.sender == owner, "not the owner");
        _;
    }

    function multicall(bytes[] calldata calls) external returns (bytes[] memory answers) {
        answers = new bytes[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool done, bytes memory answer) = address(this).delegatecall(calls[i]);
            require(done, "failed");
            answers[i] = answer;
        }
    }

    function setA(uint256 to) external guarded {
        a = to;
    }

    function setB(uint256 to) external guarded {
        b = to;
    }

    function close() external guarded {
        closed = true;
    }
}

/// @notice As `Multicall`, but guarded itself too: what wallets mostly do.
contract GuardedMulticall is Multicall {
    function batch(bytes[] calldata calls) external guarded {
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool done, bytes memory answer) = address(this).delegatecall(calls[i]);
            if (!done) {
                assembly {
                    revert(add(answer, 32), mload(answer))
                }
            }
        }
    }
}

/// @notice Internal libraries do the work, the guard included.
contract LibraryUser {
    using Words for uint256;
    using Store for Store.Book;

    Store.Book private _book;
    address public immutable keeper = msg.sender;

    function close() external {
        require(msg.sender == keeper, "not the keeper");
        _book.closed = true;
    }

    function write(uint256 entry) external {
        _book.write(entry.bound(1, 1 << 200));
    }

    function writeTop(uint256 entry) external {
        _book.write(entry.top());
    }

    function read(uint256 at) external view returns (uint256) {
        return _book.entries[at].top();
    }

    function count() external view returns (uint256) {
        return _book.entries.length;
    }
}

/// @notice A multisignature wallet, closed by its signers.
contract Multisig {
    struct Proposal {
        address to;
        uint256 value;
        bytes data;
        bool executed;
        uint256 confirmations;
    }

    error WalletIsClosed();

    address[] public owners;
    mapping(address => bool) public isOwner;
    uint256 public required;
    bool public closed;
    Proposal[] public proposals;
    mapping(uint256 => mapping(address => bool)) public confirmed;

    constructor(address[] memory owners_, uint256 required_) payable {
        for (uint256 i = 0; i < owners_.length; ++i) {
            isOwner[owners_[i]] = true;
        }
        owners = owners_;
        required = required_;
    }

    modifier open() {
        if (closed) revert WalletIsClosed();
        _;
    }

    modifier onlyOwner() {
        require(isOwner[msg.sender], "not an owner");
        _;
    }

    modifier onlySelf() {
        require(msg.sender == address(this), "only the wallet itself");
        _;
    }

    receive() external payable open {}

    function propose(address to, uint256 value, bytes calldata data) external open onlyOwner returns (uint256 id) {
        id = proposals.length;
        proposals.push(Proposal(to, value, data, false, 0));
    }

    function confirm(uint256 id) external open onlyOwner {
        require(!confirmed[id][msg.sender], "confirmed");
        confirmed[id][msg.sender] = true;
        proposals[id].confirmations += 1;
    }

    function execute(uint256 id) external open onlyOwner {
        Proposal storage proposal = proposals[id];
        require(!proposal.executed && proposal.confirmations >= required, "not yet");
        proposal.executed = true;
        (bool done,) = proposal.to.call{value: proposal.value}(proposal.data);
        require(done, "failed");
    }

    function setRequired(uint256 to) external onlySelf {
        required = to;
    }

    function close() external onlySelf {
        closed = true;
    }
}
