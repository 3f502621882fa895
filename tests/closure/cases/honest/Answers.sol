// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

/// @notice Says no, rather than nothing, to all that ask for its authority once it is closed.
contract SaysNo {
    /// @dev Of EntryPoint 0.6.
    struct UserOperation {
        address sender;
        uint256 nonce;
        bytes initCode;
        bytes callData;
        uint256 callGasLimit;
        uint256 verificationGasLimit;
        uint256 preVerificationGas;
        uint256 maxFeePerGas;
        uint256 maxPriorityFeePerGas;
        bytes paymasterAndData;
        bytes signature;
    }

    /// @dev Of EntryPoint 0.7 and 0.8.
    struct PackedUserOperation {
        address sender;
        uint256 nonce;
        bytes initCode;
        bytes callData;
        bytes32 accountGasLimits;
        uint256 preVerificationGas;
        bytes32 gasFees;
        bytes paymasterAndData;
        bytes signature;
    }

    bool public closed;
    address public owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function close() external {
        require(msg.sender == owner && !closed, "refused");
        closed = true;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        if (closed || signature.length != 65) return 0xffffffff;
        (bytes32 r, bytes32 s) = abi.decode(signature[:64], (bytes32, bytes32));
        return ecrecover(hash, uint8(signature[64]), r, s) == owner ? bytes4(0x1626ba7e) : bytes4(0);
    }

    function isValidSignature(bytes calldata data, bytes calldata) external view returns (bytes4) {
        return !closed && data.length == 32 && tx.origin == owner ? bytes4(0x20c13b0b) : bytes4(0);
    }

    /// @dev 1: the signature is not valid.
    function validateUserOp(UserOperation calldata operation, bytes32 hash, uint256 missing) external returns (uint256) {
        if (closed) return 1;
        if (missing != 0) payable(msg.sender).transfer(missing);
        return operation.sender == address(this) && hash != 0 ? 0 : 1;
    }

    function validateUserOp(PackedUserOperation calldata operation, bytes32 hash, uint256 missing)
        external
        returns (uint256 answer)
    {
        answer = 1;
        if (!closed) {
            if (missing != 0) payable(msg.sender).transfer(missing);
            if (operation.signature.length == 65 && hash != 0) answer = 0;
        }
    }

    function onFlashLoan(address, address, uint256, uint256, bytes calldata) external view returns (bytes32) {
        require(!closed, "closed");
        return keccak256("ERC3156FlashBorrower.onFlashLoan");
    }
}

/// @notice A token that was paused for ever: its owner paused it and left.
contract PausedToken {
    string public constant name = "Paused";
    uint8 public constant decimals = 18;
    uint256 public totalSupply;
    address public owner = msg.sender;
    bool public paused;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    mapping(address => uint256) public nonces;

    event Transfer(address indexed from, address indexed to, uint256 amount);

    constructor() {
        totalSupply = balanceOf[msg.sender] = 1_000_000 ether;
    }

    modifier running() {
        require(!paused, "paused");
        _;
    }

    function transfer(address to, uint256 amount) external running returns (bool) {
        _move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        if (allowance[from][msg.sender] != type(uint256).max) allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
        return true;
    }

    function approve(address spender, uint256 amount) external running returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function permit(address from, address spender, uint256 amount, uint256 until, uint8 v, bytes32 r, bytes32 s)
        external
        running
    {
        require(block.timestamp <= until, "late");
        bytes32 digest = keccak256(abi.encode(address(this), block.chainid, from, spender, amount, nonces[from]++));
        address signer = ecrecover(digest, v, r, s);
        require(signer != address(0) && signer == from, "not signed");
        allowance[from][spender] = amount;
    }

    function mint(address to, uint256 amount) external {
        require(msg.sender == owner, "not the owner");
        totalSupply += amount;
        balanceOf[to] += amount;
    }

    function pauseForEver() external {
        require(msg.sender == owner, "not the owner");
        paused = true;
        owner = address(0);
    }

    function unpause() external {
        require(msg.sender == owner, "not the owner");
        paused = false;
    }

    function _move(address from, address to, uint256 amount) private {
        require(!paused, "paused");
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
    }
}
