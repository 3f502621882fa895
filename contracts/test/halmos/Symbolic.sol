// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice Those of the cheat codes that these checks use, of halmos and of forge, whose names halmos knows too.
interface Svm {
    function createUint256(string calldata name) external pure returns (uint256);
    function createAddress(string calldata name) external pure returns (address);
    function createCalldata(string calldata contractName, bool withViews) external pure returns (bytes memory);
    function enableSymbolicStorage(address account) external;
    function snapshotStorage(address account) external view returns (uint256);
}

interface SymbolicVm {
    function assume(bool condition) external pure;
    function prank(address sender, address origin) external;
    function deal(address account, uint256 wei_) external;
    function load(address account, bytes32 slot) external view returns (bytes32);
    function warp(uint256 timestamp) external;
    function roll(uint256 number) external;
    function chainId(uint256 id) external;
    function fee(uint256 wei_) external;
}

/// @notice A world in which every value is every value: whoever calls, with whatever, whenever.
abstract contract Symbolic {
    Svm internal constant svm = Svm(address(uint160(uint256(keccak256("svm cheat code")))));
    SymbolicVm internal constant vm = SymbolicVm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @dev Any time and any block. The chain's id too: the argument is not for one chain.
    function anyMoment() internal {
        vm.warp(svm.createUint256("timestamp"));
        vm.roll(svm.createUint256("number"));
        vm.fee(svm.createUint256("fee"));
        uint256 chainId = svm.createUint256("chainId");
        vm.assume(chainId < 1 << 64);
        vm.chainId(chainId);
    }

    /// @dev Any caller that can be one: 0x0 has no key, and a closed wallet makes no call that could be to itself.
    function anySender(address wallet) internal returns (address sender) {
        sender = svm.createAddress("sender");
        address origin = svm.createAddress("origin");
        vm.assume(sender != address(0) && sender != wallet);
        vm.assume(origin != address(0) && origin != wallet);
        vm.prank(sender, origin);
    }

    function firstFour(bytes memory data) internal pure returns (bytes4 word) {
        assembly ("memory-safe") {
            word := and(mload(add(data, 0x20)), shl(224, 0xffffffff))
        }
    }
}
