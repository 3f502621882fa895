// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

/// A wallet that closes properly. Each contract below adds one way back, under a name that tells nothing.
abstract contract Wallet {
    address public owner = msg.sender;
    bool internal shut;

    modifier whenOpen() {
        require(!shut, "closed");
        _;
    }

    modifier onlyOwner() {
        require(msg.sender == owner, "not the owner");
        _;
    }

    function closed() public view virtual returns (bool) {
        return shut;
    }

    function close() external virtual whenOpen onlyOwner {
        shut = true;
    }

    function execute(address target, bytes calldata data) external whenOpen onlyOwner returns (bytes memory) {
        (bool ok, bytes memory answer) = target.call(data);
        require(ok, "failed");
        return answer;
    }
}

contract InnocentName is Wallet {
    function refresh() external onlyOwner {
        shut = false;
    }
}

contract SecondFlag is Wallet {
    bool public paused;

    function setPaused(bool to) external whenOpen onlyOwner {
        paused = to;
    }

    function rescue(address payable to) external onlyOwner {
        require(!paused, "paused");
        (bool ok,) = to.call{value: address(this).balance}("");
        require(ok, "failed");
    }

    receive() external payable {}
}

contract UnpauseLeft is Wallet {
    function unpause() external onlyOwner {
        require(shut, "not paused");
        shut = false;
    }
}

contract Toggles is Wallet {
    function close() external override onlyOwner {
        shut = !shut;
    }
}

contract WrongBit is Wallet {
    uint256 public flags = 4;
    uint256 public number;

    function closed() public view override returns (bool) {
        return flags & 2 != 0;
    }

    function close() external override onlyOwner {
        flags |= 2;
    }

    function set(uint256 to) external {
        require(flags & 1 == 0, "closed");
        number = to;
    }
}

contract LyingGetter is Wallet {
    uint256 public number;

    function closed() public pure override returns (bool) {
        return true;
    }

    function close() external override onlyOwner {}

    function set(uint256 to) external onlyOwner {
        number = to;
    }
}

contract Countdown is Wallet {
    uint256 public lives = 1;

    function closed() public view override returns (bool) {
        return lives == 0;
    }

    function close() external override onlyOwner {
        unchecked {
            lives -= 1;
        }
    }
}

contract AnySlot is Wallet {
    function note(uint256 key, uint256 value) external {
        require(key > 255, "reserved");
        assembly {
            sstore(key, value)
        }
    }
}

contract LongArray is Wallet {
    uint256[] private notes;

    constructor() {
        assembly {
            sstore(notes.slot, not(0))
        }
    }

    /// The array's elements wrap around to every slot.
    function note(uint256 index, uint256 value) external {
        notes[index] = value;
    }
}

contract PerCaller is Wallet {
    mapping(address => bool) public closedOf;
    uint256 public number;

    function closed() public view override returns (bool) {
        return closedOf[address(this)];
    }

    function close() external override onlyOwner {
        closedOf[address(this)] = true;
        closedOf[msg.sender] = true;
    }

    function set(uint256 to) external {
        require(!closedOf[msg.sender], "closed");
        number = to;
    }
}

contract InitializerOpen is Wallet {
    bool private initialized;

    function initialize(address to) external {
        require(!initialized, "initialized");
        initialized = true;
        owner = to;
        shut = false;
    }
}

contract Reinitializer is Wallet {
    uint64 public version = 1;

    function reinitialize(uint64 to) external onlyOwner {
        require(to > version, "version");
        version = to;
        shut = false;
    }
}

contract PendingOwner is Wallet {
    address public pending;

    function offer(address to) external whenOpen onlyOwner {
        pending = to;
    }

    function close() external override whenOpen onlyOwner {
        shut = true;
        owner = address(0);
    }

    function accept() external {
        require(msg.sender == pending, "not pending");
        pending = address(0);
        owner = msg.sender;
    }

    function reopen() external onlyOwner {
        shut = false;
    }
}

contract RoleAdmin is Wallet {
    mapping(bytes32 => mapping(address => bool)) public hasRole;

    constructor(address admin) {
        hasRole[0][admin] = true;
    }

    function grantRole(bytes32 role, address to) external {
        require(hasRole[0][msg.sender], "not the admin");
        hasRole[role][to] = true;
    }

    function reopen() external {
        require(hasRole["opener"][msg.sender], "not an opener");
        shut = false;
    }
}

contract HiddenAdmin is Wallet {
    address private immutable ADMIN;

    constructor(address admin) {
        ADMIN = admin;
    }

    function sync() external {
        if (msg.sender == ADMIN) shut = false;
    }
}

contract HiddenAdminHash is Wallet {
    bytes32 private immutable ADMIN;

    constructor(address admin) {
        ADMIN = keccak256(abi.encode(admin));
    }

    function sync() external {
        if (keccak256(abi.encode(msg.sender)) == ADMIN) shut = false;
    }
}

contract PreimageGate is Wallet {
    bytes32 private constant GATE = keccak256("open sesame");

    function say(string calldata word) external {
        if (keccak256(bytes(word)) == GATE) shut = false;
    }
}

contract OriginOnly is Wallet {
    function refresh() external {
        require(tx.origin == owner, "not the owner's transaction");
        shut = false;
    }
}

contract Pointer is Wallet {
    function() internal view check = passes;
    uint256 public number;

    function passes() internal view {}

    function fails() internal pure {
        revert("closed");
    }

    /// Means to disable, but forgets the one thing that is looked at.
    function set(uint256 to) external {
        check();
        number = to;
    }

    function disable() external onlyOwner {
        check = fails;
    }
}

contract Timed is Wallet {
    uint256 public until;

    function closed() public view override returns (bool) {
        return block.timestamp < until;
    }

    function close() external override onlyOwner {
        until = block.timestamp + 36_500 days;
    }

    function set(address to) external onlyOwner {
        require(!closed(), "closed");
        owner = to;
    }
}

contract TwoSteps is Wallet {
    uint256 public asked;

    function ask() external onlyOwner {
        asked = block.timestamp;
    }

    function recover() external onlyOwner {
        require(asked != 0 && block.timestamp > asked + 30 days, "too early");
        shut = false;
    }
}

contract TokenMoves is Wallet {
    mapping(address => uint256) public balanceOf;

    constructor() {
        balanceOf[msg.sender] = 1000;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

contract Forwarded is Wallet {
    address public immutable forwarder;

    constructor(address forwarder_) {
        forwarder = forwarder_;
    }

    /// ERC-2771: the forwarder names the sender in the last 20 bytes.
    function sender() internal view returns (address) {
        if (msg.sender == forwarder && msg.data.length >= 24) return address(bytes20(msg.data[msg.data.length - 20:]));
        return msg.sender;
    }

    function refresh() external {
        require(sender() == owner, "not the owner");
        shut = false;
    }
}
