# pragma version >=0.4.0
"""
@notice Few functions: dispatched one after the other, or by a table with one bucket.
"""

owner: public(address)
closed: public(bool)
value: public(uint256)


@deploy
def __init__():
    self.owner = msg.sender


@external
def close():
    assert msg.sender == self.owner
    self.closed = True


@external
def set(to: uint256):
    assert not self.closed
    self.value = to
