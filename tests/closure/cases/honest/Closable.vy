# pragma version >=0.4.0
"""
@notice An ordinary wallet in Vyper, with more functions than one page of its jump table.
"""

event Deposited:
    sender: indexed(address)
    amount: uint256

struct Limit:
    daily: uint256
    spent: uint256
    day: uint256

owner: public(address)
closed: public(bool)
paused: public(bool)
session: public(address)
nonce: public(uint256)
limits: public(HashMap[address, Limit])
friends: public(DynArray[address, 8])
name: public(String[64])
OPERATOR: public(immutable(address))


@deploy
@payable
def __init__(operator: address):
    OPERATOR = operator
    self.owner = msg.sender
    self.name = "a wallet"


@internal
@view
def _open():
    assert not self.closed, "closed"


@internal
@view
def _only_owner():
    self._open()
    assert msg.sender == self.owner, "not the owner"


@external
@payable
def __default__():
    self._open()
    log Deposited(sender=msg.sender, amount=msg.value)


@external
def close():
    self._only_owner()
    self.closed = True
    self.session = empty(address)
    send(self.owner, self.balance)


@external
def pause():
    self._only_owner()
    self.paused = True


@external
def unpause():
    self._only_owner()
    self.paused = False


@external
def set_owner(to: address):
    self._only_owner()
    self.owner = to


@external
def set_session(key: address):
    self._only_owner()
    self.session = key


@external
def set_name(to: String[64]):
    self._only_owner()
    self.name = to


@external
def set_limit(token: address, daily: uint256):
    self._only_owner()
    self.limits[token] = Limit(daily=daily, spent=0, day=block.timestamp // 86400)


@external
def add_friend(friend: address):
    self._only_owner()
    self.friends.append(friend)


@external
def remove_friend():
    self._only_owner()
    self.friends.pop()


@external
@nonreentrant
def execute(target: address, amount: uint256, data: Bytes[1024]) -> Bytes[1024]:
    self._only_owner()
    assert not self.paused, "paused"
    self.nonce += 1
    return raw_call(target, data, value=amount, max_outsize=1024)


@external
@nonreentrant
def spend(token: address, to: address, amount: uint256):
    assert msg.sender in [self.owner, self.session, OPERATOR], "refused"
    self._open()
    day: uint256 = block.timestamp // 86400
    if self.limits[token].day != day:
        self.limits[token].day = day
        self.limits[token].spent = 0
    self.limits[token].spent += amount
    assert self.limits[token].spent <= self.limits[token].daily, "too much"
    extcall IERC20(token).transfer(to, amount)


@external
@view
def is_friend(who: address) -> bool:
    for friend: address in self.friends:
        if friend == who:
            return True
    return False


@external
@view
def digest(text: String[64]) -> bytes32:
    return keccak256(concat(convert(self.name, Bytes[64]), convert(text, Bytes[64])))


@external
@view
def isValidSignature(hash: bytes32, signature: Bytes[65]) -> bytes4:
    self._open()
    r: uint256 = convert(slice(signature, 0, 32), uint256)
    s: uint256 = convert(slice(signature, 32, 32), uint256)
    v: uint256 = convert(slice(signature, 64, 1), uint256)
    if ecrecover(hash, v, r, s) == self.owner:
        return 0x1626ba7e
    return 0xffffffff


interface IERC20:
    def transfer(to: address, amount: uint256) -> bool: nonpayable
