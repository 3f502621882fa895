# pragma version >=0.4.0
"""
@notice Only views and pure functions, with loops over lists, and a default function that refuses.
"""

numbers: DynArray[uint256, 32]
table: public(HashMap[uint256, HashMap[address, int128]])
TITLE: constant(String[32]) = "only views"


@deploy
def __init__():
    self.numbers = [2, 7, 1, 8, 2, 8]
    self.table[4][msg.sender] = -9


@external
@view
def total() -> uint256:
    result: uint256 = 0
    for number: uint256 in self.numbers:
        result += number
    return result


@external
@pure
def total_of(values: DynArray[uint256, 16]) -> uint256:
    result: uint256 = 0
    for value: uint256 in values:
        result += value
    return result


@external
@pure
def title() -> String[32]:
    return TITLE


@external
@view
def at(index: uint256) -> uint256:
    return self.numbers[index]


@external
@pure
def root(number: uint256) -> uint256:
    return isqrt(number)


@external
@pure
def power(base: uint256) -> uint256:
    return base ** 3


@external
@pure
def halves(number: int256) -> int256:
    return number // 2


@external
@view
def size(other: address) -> (uint256, bytes32):
    return (other.codesize, other.codehash)


@external
@payable
def __default__():
    raise "refused"
