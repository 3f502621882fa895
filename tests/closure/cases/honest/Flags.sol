// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

/// @notice The flag at an ERC-7201 namespace's place.
contract Namespaced {
    /// @custom:storage-location erc7201:cases.wallet
    struct Wallet {
        address owner;
        uint64 nonce;
        bool closed;
        mapping(address => uint256) spent;
    }

    // keccak256(abi.encode(uint256(keccak256("cases.wallet")) - 1)) & ~bytes32(uint256(0xff)), computed as it is used.
    function _wallet() private pure returns (Wallet storage wallet) {
        bytes32 place = keccak256(abi.encode(uint256(keccak256("cases.wallet")) - 1)) & ~bytes32(uint256(0xff));
        assembly {
            wallet.slot := place
        }
    }

    constructor() {
        _wallet().owner = msg.sender;
    }

    modifier open() {
        require(!_wallet().closed, "closed");
        _;
    }

    function close() external open {
        require(msg.sender == _wallet().owner, "not the owner");
        _wallet().closed = true;
    }

    function spend(address to, uint256 amount) external open {
        Wallet storage wallet = _wallet();
        require(msg.sender == wallet.owner, "not the owner");
        wallet.nonce += 1;
        wallet.spent[to] += amount;
        payable(to).transfer(amount);
    }
}

/// @notice The flag in a mapping, under a constant key.
contract MappedFlag {
    bytes32 public constant CLOSED = keccak256("CLOSED");

    mapping(bytes32 => bool) public flags;
    mapping(bytes32 => mapping(address => bool)) public roles;
    uint256 public value;

    constructor() {
        roles["admin"][msg.sender] = true;
    }

    function close() external {
        require(!flags[CLOSED] && roles["admin"][msg.sender], "refused");
        flags[CLOSED] = true;
    }

    function grant(bytes32 role, address to) external {
        require(!flags[CLOSED], "closed");
        require(roles["admin"][msg.sender], "refused");
        roles[role][to] = true;
    }

    function set(uint256 to) external {
        require(roles["setter"][msg.sender], "refused");
        require(!flags[keccak256("CLOSED")], "closed");
        value = to;
    }
}

/// @notice The state shares its slot with an address and numbers, and is neither at the slot's beginning nor its end.
contract PackedState {
    enum State { None, Created, Active, Suspended, Closed }

    error Wrong(State expected, State actual);

    uint32 public version = 7;
    address public owner = msg.sender;
    State public state = State.Created;
    uint40 public since = uint40(block.timestamp);
    int16 public balance = -3;

    modifier only(State expected) {
        if (state != expected) revert Wrong(expected, state);
        require(msg.sender == owner, "not the owner");
        _;
    }

    function activate() external only(State.Created) {
        _set(State.Active);
    }

    function suspend() external only(State.Active) {
        _set(State.Suspended);
    }

    function resume() external only(State.Suspended) {
        _set(State.Active);
    }

    function close() external only(State.Active) {
        _set(State.Closed);
    }

    function setOwner(address to) external {
        require(uint8(state) < uint8(State.Closed), "closed");
        owner = to;
    }

    function adjust(int16 by) external only(State.Active) {
        balance += by;
    }

    function _set(State to) private {
        state = to;
        since = uint40(block.timestamp);
    }
}

/// @notice Open while a word is not zero: closing leaves nothing in the slot, which reads as zero.
contract ActiveFlag {
    address public owner = msg.sender;
    uint256 public value = 5;
    bool public active = true;

    function close() external {
        require(active && msg.sender == owner, "refused");
        delete active;
        delete owner;
    }

    function set(uint256 to) external {
        require(active, "closed");
        value = to;
    }

    receive() external payable {
        require(active, "closed");
    }
}

/// @notice A counter at its end: checked arithmetic refuses every further step.
contract Exhausted {
    uint256 public steps;
    uint8 public small = 250;

    function close() external {
        steps = type(uint256).max;
        small = 255;
    }

    function step() external returns (uint256) {
        return ++steps;
    }

    function grow() external {
        small += 1;
    }
}

/// @notice Closed by a constant of its code, from the beginning; what it could do stands there all the same.
contract BornClosed {
    bool public immutable closed;
    uint256 public value;

    constructor(bool closed_) {
        closed = closed_;
    }

    function set(uint256 to) external {
        require(!closed, "closed");
        value = to;
    }

    function run(address module, bytes calldata data) external {
        require(!closed, "closed");
        (bool done,) = module.delegatecall(data);
        require(done, "failed");
    }
}

/// @notice Signed and shifted words decide, and decide for closed.
contract ComputedGuard {
    int256 public depth;
    uint256 public bits;
    uint256 public value;

    function close() external {
        depth = type(int256).min;
        bits = 1 << 255;
    }

    function bySign(uint256 to) external {
        require(depth >= -10 && depth / 3 >= 0, "closed");
        value = to;
    }

    function byShift(uint256 to) external {
        require(bits >> 255 == 0, "closed");
        value = to;
    }

    function byBytes(uint256 to) external {
        require(uint8(bytes32(bits)[0]) & 0x80 == 0, "closed");
        value = to;
    }

    function byPower(uint256 to) external {
        unchecked {
            require(bits * 2 != 0, "closed");
            value = to ** 2;
        }
    }

    function byModulus(uint256 to) external {
        require(addmod(bits, bits, type(uint256).max) == 0 && mulmod(bits, 2, 3) == 7, "closed");
        value = to;
    }
}
