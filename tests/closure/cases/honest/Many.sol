// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

/// @notice A wallet with many functions: near the limit of 24,576 bytes with the optimizer off. It is here for its size:
/// each budget has the same six functions.
contract Many {
    error IsClosed(string what);
    error Refused(address expected, address actual, string what);

    struct Budget {
        uint128 limit;
        uint128 spent;
        uint64 renewed;
        uint64 period;
        address payee;
        string note;
    }

    address public owner;
    bool public closed;
    mapping(address => bool) public guardians;
    Budget private _rent;
    Budget private _salary;
    Budget private _groceries;
    Budget private _insurance;
    Budget private _pension;

    constructor() payable {
        owner = msg.sender;
    }

    modifier open(string memory what) {
        if (closed) revert IsClosed(what);
        if (msg.sender != owner && !guardians[msg.sender]) revert Refused(owner, msg.sender, what);
        _;
    }

    function close() external open("close") {
        closed = true;
    }

    function setGuardian(address who, bool trusted) external open("guardian") {
        guardians[who] = trusted;
    }

    receive() external payable open("receive") {}

    function setRent(uint128 limit, uint64 period, address payee, string calldata note) external open("rent") {
        _rent = Budget(limit, 0, uint64(block.timestamp), period, payee, note);
    }

    function payRent(uint128 amount) external open("pay rent") {
        if (block.timestamp > _rent.renewed + _rent.period) {
            _rent.renewed = uint64(block.timestamp);
            _rent.spent = 0;
        }
        _rent.spent += amount;
        require(_rent.spent <= _rent.limit, "rent: over the limit");
        payable(_rent.payee).transfer(amount);
    }

    function raiseRent(uint128 by) external open("raise rent") {
        _rent.limit += by;
    }

    function lowerRent(uint128 by) external open("lower rent") {
        _rent.limit -= by;
    }

    function dropRent() external open("drop rent") {
        delete _rent;
    }

    function leftRent() external view returns (uint128) {
        return _rent.limit - _rent.spent;
    }

    function setSalary(uint128 limit, uint64 period, address payee, string calldata note) external open("salary") {
        _salary = Budget(limit, 0, uint64(block.timestamp), period, payee, note);
    }

    function paySalary(uint128 amount) external open("pay salary") {
        if (block.timestamp > _salary.renewed + _salary.period) {
            _salary.renewed = uint64(block.timestamp);
            _salary.spent = 0;
        }
        _salary.spent += amount;
        require(_salary.spent <= _salary.limit, "salary: over the limit");
        payable(_salary.payee).transfer(amount);
    }

    function raiseSalary(uint128 by) external open("raise salary") {
        _salary.limit += by;
    }

    function lowerSalary(uint128 by) external open("lower salary") {
        _salary.limit -= by;
    }

    function dropSalary() external open("drop salary") {
        delete _salary;
    }

    function leftSalary() external view returns (uint128) {
        return _salary.limit - _salary.spent;
    }

    function setGroceries(uint128 limit, uint64 period, address payee, string calldata note) external open("groceries") {
        _groceries = Budget(limit, 0, uint64(block.timestamp), period, payee, note);
    }

    function payGroceries(uint128 amount) external open("pay groceries") {
        if (block.timestamp > _groceries.renewed + _groceries.period) {
            _groceries.renewed = uint64(block.timestamp);
            _groceries.spent = 0;
        }
        _groceries.spent += amount;
        require(_groceries.spent <= _groceries.limit, "groceries: over the limit");
        payable(_groceries.payee).transfer(amount);
    }

    function raiseGroceries(uint128 by) external open("raise groceries") {
        _groceries.limit += by;
    }

    function lowerGroceries(uint128 by) external open("lower groceries") {
        _groceries.limit -= by;
    }

    function dropGroceries() external open("drop groceries") {
        delete _groceries;
    }

    function leftGroceries() external view returns (uint128) {
        return _groceries.limit - _groceries.spent;
    }

    function setInsurance(uint128 limit, uint64 period, address payee, string calldata note) external open("insurance") {
        _insurance = Budget(limit, 0, uint64(block.timestamp), period, payee, note);
    }

    function payInsurance(uint128 amount) external open("pay insurance") {
        if (block.timestamp > _insurance.renewed + _insurance.period) {
            _insurance.renewed = uint64(block.timestamp);
            _insurance.spent = 0;
        }
        _insurance.spent += amount;
        require(_insurance.spent <= _insurance.limit, "insurance: over the limit");
        payable(_insurance.payee).transfer(amount);
    }

    function raiseInsurance(uint128 by) external open("raise insurance") {
        _insurance.limit += by;
    }

    function lowerInsurance(uint128 by) external open("lower insurance") {
        _insurance.limit -= by;
    }

    function dropInsurance() external open("drop insurance") {
        delete _insurance;
    }

    function leftInsurance() external view returns (uint128) {
        return _insurance.limit - _insurance.spent;
    }

    function setPension(uint128 limit, uint64 period, address payee, string calldata note) external open("pension") {
        _pension = Budget(limit, 0, uint64(block.timestamp), period, payee, note);
    }

    function payPension(uint128 amount) external open("pay pension") {
        if (block.timestamp > _pension.renewed + _pension.period) {
            _pension.renewed = uint64(block.timestamp);
            _pension.spent = 0;
        }
        _pension.spent += amount;
        require(_pension.spent <= _pension.limit, "pension: over the limit");
        payable(_pension.payee).transfer(amount);
    }

    function raisePension(uint128 by) external open("raise pension") {
        _pension.limit += by;
    }

    function lowerPension(uint128 by) external open("lower pension") {
        _pension.limit -= by;
    }

    function dropPension() external open("drop pension") {
        delete _pension;
    }

    function leftPension() external view returns (uint128) {
        return _pension.limit - _pension.spent;
    }
}
