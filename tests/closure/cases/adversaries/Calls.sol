// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

abstract contract Wallet {
    address public owner = msg.sender;
    bool public closed;

    modifier onlyOwner() {
        require(msg.sender == owner, "not the owner");
        _;
    }

    function close() external onlyOwner {
        require(!closed, "closed");
        closed = true;
    }

    receive() external payable {}
}

/// Notes that it was called, so that a test can see it.
contract Witness {
    uint256 public calls;
    mapping(address => mapping(address => uint256)) public allowance;

    function approve(address spender, uint256 amount) external returns (bool) {
        calls += 1;
        allowance[msg.sender][spender] = amount;
        return true;
    }

    fallback() external payable {
        calls += 1;
    }
}

contract SessionPath is Wallet {
    address public immutable session;

    constructor(address session_) {
        session = session_;
    }

    function executeAs(address target, bytes calldata data) external {
        require(msg.sender == session, "not the session key");
        (bool ok,) = target.call(data);
        require(ok, "failed");
    }
}

contract ApproveLeft is Wallet {
    function approve(address token, address spender, uint256 amount) external onlyOwner {
        (bool ok,) = token.call(abi.encodeWithSignature("approve(address,uint256)", spender, amount));
        require(ok, "failed");
    }
}

contract Sweep is Wallet {
    /// Even to the owner, even what came later: it acts.
    function sweep() external {
        payable(owner).transfer(address(this).balance);
    }
}

contract Heartbeat is Wallet {
    address private immutable MONITOR;

    constructor(address monitor) {
        MONITOR = monitor;
    }

    function beat() external {
        (bool ok,) = MONITOR.call("");
        ok;
    }
}

contract Oracle {
    bool public stopped = true;

    function set(bool to) external {
        stopped = to;
    }
}

contract OracleDecides is Wallet {
    Oracle private immutable ORACLE;
    uint256 public number;

    constructor(Oracle oracle) {
        ORACLE = oracle;
    }

    function set(uint256 to) external {
        require(!ORACLE.stopped(), "closed");
        number = to;
    }
}

contract Destroyable is Wallet {
    function retire() external onlyOwner {
        selfdestruct(payable(msg.sender));
    }
}

contract Child {
    constructor(address target) {
        (bool ok,) = target.call("");
        require(ok, "failed");
    }
}

contract Creates is Wallet {
    function spawn(address target) external {
        new Child(target);
    }
}

contract Creates2 is Wallet {
    function spawn(address target, bytes32 salt) external {
        new Child{salt: salt}(target);
    }
}

contract StarvedGuard is Wallet {
    uint256 public number;

    /// Asks itself whether it is closed, with too little gas to be told; a failure reads as no.
    function set(uint256 to) external {
        (bool ok, bytes memory answer) = address(this).staticcall{gas: 60}(abi.encodeWithSignature("closed()"));
        if (ok && abi.decode(answer, (bool))) revert("closed");
        number = to;
    }
}

contract ReturnBomb is Wallet {
    /// Whoever answers with more than 100,000 bytes is believed.
    function ask(address other) external {
        uint256 size;
        assembly {
            pop(staticcall(gas(), other, 0, 0, 0, 0))
            size := returndatasize()
        }
        if (size > 100_000) closed = false;
    }
}

/// Answers every call with 200,000 bytes.
contract Bomb {
    fallback() external {
        assembly {
            return(0, 200000)
        }
    }
}

contract CallerAnswers is Wallet {
    function ask() external {
        (bool ok, bytes memory answer) = msg.sender.staticcall("");
        if (ok && answer.length == 32 && abi.decode(answer, (uint256)) == 42) closed = false;
    }
}

/// Asks, and gives the answer itself.
contract Answerer {
    function go(CallerAnswers account) external {
        account.ask();
    }

    fallback() external {
        assembly {
            mstore(0, 42)
            return(0, 32)
        }
    }
}

contract RevertingBranch is Wallet {
    function look(uint256 index) external view returns (uint256) {
        require(index < 10, "too far");
        if (index == 3) assert(false);
        return index;
    }

    /// What fails inside is caught outside.
    function use(uint256 index) external {
        try this.look(index) {
            return;
        } catch Error(string memory) {
            revert("too far");
        } catch {
            closed = false;
        }
    }
}
