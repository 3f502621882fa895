// SPDX-License-Identifier: MIT
pragma solidity >=0.8.19;

import {Many} from "./Many.sol";

/// @notice And more: near the limit with the optimizer on.
contract Large is Many {
    Budget private _fuel;
    Budget private _school;
    Budget private _holiday;
    Budget private _rescue;
    Budget private _tithe;
    Budget private _upkeep;
    Budget private _repairs;

    function setFuel(uint128 limit, uint64 period, address payee, string calldata note) external open("fuel") {
        _fuel = Budget(limit, 0, uint64(block.timestamp), period, payee, note);
    }

    function payFuel(uint128 amount) external open("pay fuel") {
        if (block.timestamp > _fuel.renewed + _fuel.period) {
            _fuel.renewed = uint64(block.timestamp);
            _fuel.spent = 0;
        }
        _fuel.spent += amount;
        require(_fuel.spent <= _fuel.limit, "fuel: over the limit");
        payable(_fuel.payee).transfer(amount);
    }

    function raiseFuel(uint128 by) external open("raise fuel") {
        _fuel.limit += by;
    }

    function lowerFuel(uint128 by) external open("lower fuel") {
        _fuel.limit -= by;
    }

    function dropFuel() external open("drop fuel") {
        delete _fuel;
    }

    function leftFuel() external view returns (uint128) {
        return _fuel.limit - _fuel.spent;
    }

    function setSchool(uint128 limit, uint64 period, address payee, string calldata note) external open("school") {
        _school = Budget(limit, 0, uint64(block.timestamp), period, payee, note);
    }

    function paySchool(uint128 amount) external open("pay school") {
        if (block.timestamp > _school.renewed + _school.period) {
            _school.renewed = uint64(block.timestamp);
            _school.spent = 0;
        }
        _school.spent += amount;
        require(_school.spent <= _school.limit, "school: over the limit");
        payable(_school.payee).transfer(amount);
    }

    function raiseSchool(uint128 by) external open("raise school") {
        _school.limit += by;
    }

    function lowerSchool(uint128 by) external open("lower school") {
        _school.limit -= by;
    }

    function dropSchool() external open("drop school") {
        delete _school;
    }

    function leftSchool() external view returns (uint128) {
        return _school.limit - _school.spent;
    }

    function setHoliday(uint128 limit, uint64 period, address payee, string calldata note) external open("holiday") {
        _holiday = Budget(limit, 0, uint64(block.timestamp), period, payee, note);
    }

    function payHoliday(uint128 amount) external open("pay holiday") {
        if (block.timestamp > _holiday.renewed + _holiday.period) {
            _holiday.renewed = uint64(block.timestamp);
            _holiday.spent = 0;
        }
        _holiday.spent += amount;
        require(_holiday.spent <= _holiday.limit, "holiday: over the limit");
        payable(_holiday.payee).transfer(amount);
    }

    function raiseHoliday(uint128 by) external open("raise holiday") {
        _holiday.limit += by;
    }

    function lowerHoliday(uint128 by) external open("lower holiday") {
        _holiday.limit -= by;
    }

    function dropHoliday() external open("drop holiday") {
        delete _holiday;
    }

    function leftHoliday() external view returns (uint128) {
        return _holiday.limit - _holiday.spent;
    }

    function setRescue(uint128 limit, uint64 period, address payee, string calldata note) external open("rescue") {
        _rescue = Budget(limit, 0, uint64(block.timestamp), period, payee, note);
    }

    function payRescue(uint128 amount) external open("pay rescue") {
        if (block.timestamp > _rescue.renewed + _rescue.period) {
            _rescue.renewed = uint64(block.timestamp);
            _rescue.spent = 0;
        }
        _rescue.spent += amount;
        require(_rescue.spent <= _rescue.limit, "rescue: over the limit");
        payable(_rescue.payee).transfer(amount);
    }

    function raiseRescue(uint128 by) external open("raise rescue") {
        _rescue.limit += by;
    }

    function lowerRescue(uint128 by) external open("lower rescue") {
        _rescue.limit -= by;
    }

    function dropRescue() external open("drop rescue") {
        delete _rescue;
    }

    function leftRescue() external view returns (uint128) {
        return _rescue.limit - _rescue.spent;
    }

    function setTithe(uint128 limit, uint64 period, address payee, string calldata note) external open("tithe") {
        _tithe = Budget(limit, 0, uint64(block.timestamp), period, payee, note);
    }

    function payTithe(uint128 amount) external open("pay tithe") {
        if (block.timestamp > _tithe.renewed + _tithe.period) {
            _tithe.renewed = uint64(block.timestamp);
            _tithe.spent = 0;
        }
        _tithe.spent += amount;
        require(_tithe.spent <= _tithe.limit, "tithe: over the limit");
        payable(_tithe.payee).transfer(amount);
    }

    function raiseTithe(uint128 by) external open("raise tithe") {
        _tithe.limit += by;
    }

    function lowerTithe(uint128 by) external open("lower tithe") {
        _tithe.limit -= by;
    }

    function dropTithe() external open("drop tithe") {
        delete _tithe;
    }

    function leftTithe() external view returns (uint128) {
        return _tithe.limit - _tithe.spent;
    }

    function setUpkeep(uint128 limit, uint64 period, address payee, string calldata note) external open("upkeep") {
        _upkeep = Budget(limit, 0, uint64(block.timestamp), period, payee, note);
    }

    function payUpkeep(uint128 amount) external open("pay upkeep") {
        if (block.timestamp > _upkeep.renewed + _upkeep.period) {
            _upkeep.renewed = uint64(block.timestamp);
            _upkeep.spent = 0;
        }
        _upkeep.spent += amount;
        require(_upkeep.spent <= _upkeep.limit, "upkeep: over the limit");
        payable(_upkeep.payee).transfer(amount);
    }

    function raiseUpkeep(uint128 by) external open("raise upkeep") {
        _upkeep.limit += by;
    }

    function lowerUpkeep(uint128 by) external open("lower upkeep") {
        _upkeep.limit -= by;
    }

    function dropUpkeep() external open("drop upkeep") {
        delete _upkeep;
    }

    function leftUpkeep() external view returns (uint128) {
        return _upkeep.limit - _upkeep.spent;
    }

    function setRepairs(uint128 limit, uint64 period, address payee, string calldata note) external open("repairs") {
        _repairs = Budget(limit, 0, uint64(block.timestamp), period, payee, note);
    }

    function payRepairs(uint128 amount) external open("pay repairs") {
        if (block.timestamp > _repairs.renewed + _repairs.period) {
            _repairs.renewed = uint64(block.timestamp);
            _repairs.spent = 0;
        }
        _repairs.spent += amount;
        require(_repairs.spent <= _repairs.limit, "repairs: over the limit");
        payable(_repairs.payee).transfer(amount);
    }

    function raiseRepairs(uint128 by) external open("raise repairs") {
        _repairs.limit += by;
    }

    function lowerRepairs(uint128 by) external open("lower repairs") {
        _repairs.limit -= by;
    }

    function dropRepairs() external open("drop repairs") {
        delete _repairs;
    }

    function leftRepairs() external view returns (uint128) {
        return _repairs.limit - _repairs.spent;
    }
}
