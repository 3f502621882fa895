// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

/// @notice Only views: loops, strings, mappings, dynamic arrays, structs, signed numbers, another contract's view.
contract ViewsOnly {
    struct Item {
        uint64 id;
        int128 change;
        string name;
        address[] holders;
    }

    string public name = "only views, and a name that is longer than thirty-one bytes is stored elsewhere";
    string public symbol = "short";
    uint256[] public numbers;
    mapping(address => mapping(uint256 => uint256)) public table;
    Item[] private _items;
    bytes32 public immutable root = keccak256("root");

    constructor() {
        numbers = [3, 1, 4, 1, 5, 9, 2, 6];
        table[msg.sender][7] = 8;
        Item storage item = _items.push();
        item.id = 12;
        item.change = -5;
        item.name = "an item";
        item.holders.push(msg.sender);
    }

    function sum() external view returns (uint256 total) {
        for (uint256 i = 0; i < numbers.length; ++i) {
            total += numbers[i];
        }
    }

    function sumOf(uint256[] calldata values) external pure returns (uint256 total) {
        for (uint256 i = 0; i < values.length; ++i) {
            total += values[i];
        }
    }

    function item(uint256 index) external view returns (Item memory) {
        return _items[index];
    }

    function concatenated(string calldata a, string memory b) external view returns (string memory) {
        return string(abi.encodePacked(name, a, b, symbol));
    }

    function verify(bytes32[] calldata proof, bytes32 leaf) external view returns (bool) {
        bytes32 node = leaf;
        for (uint256 i = 0; i < proof.length; ++i) {
            node = node < proof[i] ? keccak256(abi.encode(node, proof[i])) : keccak256(abi.encode(proof[i], node));
        }
        return node == root;
    }

    function power(int256 base, uint8 exponent) external pure returns (int256 result) {
        result = 1;
        while (exponent != 0) {
            result *= base;
            exponent -= 1;
        }
    }

    function sizeOf(address other) external view returns (uint256, bytes32, uint256) {
        return (other.code.length, other.codehash, other.balance);
    }

    function ask(address other, bytes calldata data) external view returns (bytes memory answer) {
        bool done;
        (done, answer) = other.staticcall(data);
        require(done, "no answer");
    }

    function sorted() external view returns (uint256[] memory values) {
        values = numbers;
        for (uint256 i = 1; i < values.length; ++i) {
            for (uint256 j = i; j > 0 && values[j - 1] > values[j]; --j) {
                (values[j - 1], values[j]) = (values[j], values[j - 1]);
            }
        }
    }
}

/// @notice Anybody may have it emit logs. Residue, and no more.
contract LogsOnly {
    event Said(address indexed who, bytes32 indexed topic, string text);
    event Counted(uint256 number) anonymous;

    function say(bytes32 topic, string calldata text) external {
        emit Said(msg.sender, topic, text);
        emit Counted(bytes(text).length);
    }

    fallback() external {
        emit Said(msg.sender, bytes32(0), string(msg.data));
    }
}

/// @notice Takes ether by every way there is, and never gives any back.
contract EtherOnly {
    receive() external payable {}

    fallback() external payable {}

    function deposit() external payable returns (uint256) {
        return address(this).balance;
    }
}

/// @notice Takes ether with an event, as wallets do, while everything else is closed.
contract EtherAndLog {
    event Received(address indexed from, uint256 amount);

    bool public closed;
    address public owner = msg.sender;

    receive() external payable {
        emit Received(msg.sender, msg.value);
    }

    function close() external {
        require(msg.sender == owner && !closed, "refused");
        closed = true;
    }

    function withdraw(address payable to) external {
        require(msg.sender == owner && !closed, "refused");
        to.transfer(address(this).balance);
    }
}

/// @notice Refuses everything by its fallback; the only function is guarded.
contract RevertingFallback {
    error Refused(bytes4 selector, uint256 value);

    bool private _closed;
    address private immutable _owner = msg.sender;

    function close() external {
        if (msg.sender != _owner || _closed) revert Refused(msg.sig, 0);
        _closed = true;
    }

    fallback() external payable {
        revert Refused(msg.sig, msg.value);
    }

    receive() external payable {
        assert(!_closed);
    }
}

interface IAsked {
    function answer(uint256 question) external view returns (uint256);
}

/// @notice What wallets answer to be sent things: the magic words of receivers give nobody any power.
contract Receiver {
    struct Order {
        address maker;
        bytes[] parts;
        uint16[3] shares;
    }

    address public immutable asked;

    constructor(address asked_) {
        asked = asked_;
    }

    function onERC721Received(address, address, uint256, bytes calldata) external pure returns (bytes4) {
        return this.onERC721Received.selector;
    }

    function onERC1155BatchReceived(address, address, uint256[] calldata, uint256[] calldata, bytes calldata)
        external
        pure
        returns (bytes4)
    {
        return this.onERC1155BatchReceived.selector;
    }

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == 0x01ffc9a7 || id == 0x150b7a02 || id == 0x4e2312e0;
    }

    function decoded(bytes calldata order) external pure returns (Order memory) {
        return abi.decode(order, (Order));
    }

    function hashOf(Order[] calldata orders) external view returns (bytes32) {
        return keccak256(abi.encode(orders, block.timestamp, msg.sender));
    }

    function tried(uint256 question) external view returns (uint256 result) {
        try IAsked(asked).answer(question) returns (uint256 value) {
            result = value;
        } catch Error(string memory text) {
            result = bytes(text).length;
        } catch (bytes memory data) {
            result = data.length << 128;
        }
    }

    function signer(bytes32 hash, uint8 v, bytes32 r, bytes32 s) external pure returns (address) {
        return ecrecover(hash, v, r, s);
    }

    function digest(bytes calldata data) external pure returns (bytes32, bytes20) {
        return (sha256(data), ripemd160(data));
    }
}

/// @notice Chooses by pointers to internal functions: jumps to places that stand in memory and in storage.
contract Pointers {
    bool public closed;
    address public owner = msg.sender;
    uint256 public value;
    function(uint256) internal returns (uint256) private _chosen = _double;

    function close() external {
        require(msg.sender == owner && !closed, "refused");
        closed = true;
        _chosen = _refuse;
    }

    function choose(bool other) external {
        require(msg.sender == owner && !closed, "refused");
        _chosen = other ? _double : _square;
    }

    function run(uint256 number) external returns (uint256) {
        return _chosen(number);
    }

    function either(bool first, uint256 number) external returns (uint256) {
        function(uint256) internal returns (uint256) picked = first ? _double : _square;
        return picked(number);
    }

    function _double(uint256 number) private returns (uint256) {
        require(!closed, "closed");
        value = number * 2;
        return value;
    }

    function _square(uint256 number) private returns (uint256) {
        require(!closed, "closed");
        value = number * number;
        return value;
    }

    function _refuse(uint256) private pure returns (uint256) {
        revert("closed");
    }
}
