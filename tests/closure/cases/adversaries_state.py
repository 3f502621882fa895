"""Adversaries that find a way back by themselves: a forgotten function, a hidden entrance, a change in the world."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.closure.cases.act import Act, Adversary, Call, act, closes
from tests.closure.cases.case import NEW, SOLIDITY, AnalysisResult, Case, Deploy, Encoded, Send, Step

GWEI, ETHER = 10**9, 10**18
REFRESH = act(Call("refresh()", sender="owner"))


def trap(
    file: str,
    contract: str,
    why: str,
    how: Act | None,
    *,
    name: str = "",
    setup: tuple[Step, ...] | None = None,
    opcode: str = "SSTORE",
    opcodes: tuple[str, ...] = (),
    confirmed: bool = True,
    analysis: AnalysisResult = "acting",
    reason: str | None = None,
    configurations: tuple[str, ...] = SOLIDITY,
) -> Adversary:
    """A Solidity contract that acts. ``confirmed``: whether one ordinary call at the proven block shows it."""
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in contract).strip("_")
    case = Case(
        name or f"adversary_{words}",
        f"adversaries/{file}.sol",
        contract,
        closes() if setup is None else setup,
        why,
        analysis=analysis,
        opcode=opcode if analysis == "acting" else None,
        opcodes=opcodes,
        confirmed=confirmed if analysis == "acting" else None,
        verdict="reversible" if confirmed and analysis == "acting" else "inconclusive",
        configurations=configurations,
        reason=reason,
    )
    return Adversary(case, how)


administration = partial(trap, "Administration")
environment = partial(trap, "Environment")
entrance = partial(trap, "Entrances")


def draws(contract: str, why: str, *, confirmed: bool, **world: Any) -> Adversary:
    return environment(contract, why, act(Call("draw()", **world)), confirmed=confirmed)


ADMINISTRATION = (
    administration("InnocentName", "The owner reopens under a name that tells nothing.", REFRESH),
    administration(
        "SecondFlag",
        "Of two flags only one is set by closing, and one path looks at the other.",
        act(Call("rescue(address)", ("friend",), sender="owner"), shows="ether"),
        setup=(*closes(), Send("account", value=5)),
        opcode="CALL",
    ),
    administration("UnpauseLeft", "Closed is no more than paused.", act(Call("unpause()", sender="owner"))),
    administration("Toggles", "Closing twice opens.", act(Call("close()", sender="owner"))),
    administration("WrongBit", "Closing sets one bit, the guard tests another.", act(Call("set(uint256)", (7,)))),
    administration(
        "LyingGetter", "The getter always says closed, and nothing is.", act(Call("set(uint256)", (7,), sender="owner"))
    ),
    administration("Countdown", "The counter wraps around from closed.", act(Call("close()", sender="owner"))),
    administration(
        "AnySlot", "Every slot but the reserved ones can be written.", act(Call("note(uint256,uint256)", (256, 1)))
    ),
    administration(
        "LongArray",
        "An array as long as the storage reaches every slot.",
        act(Call("note(uint256,uint256)", (3, 9))),
    ),
    administration(
        "PerCaller",
        "Closed for the account and its owner, open for everybody else.",
        act(Call("set(uint256)", (7,))),
    ),
    administration(
        "InitializerOpen", "The initializer was never locked.", act(Call("initialize(address)", ("anyone",)))
    ),
    administration(
        "Reinitializer", "A higher version initializes again.", act(Call("reinitialize(uint64)", (2,), sender="owner"))
    ),
    administration(
        "PendingOwner",
        "Renounced, but an owner who was offered the place may still accept.",
        act(Call("accept()", sender="heir"), Call("reopen()", sender="heir")),
        setup=(
            Deploy("account", sender="owner"),
            Send("account", "offer(address)", ("heir",)),
            Send("account", "close()"),
        ),
    ),
    administration(
        "RoleAdmin",
        "Who has the role is a secret of a mapping, so no caller can be named; there is one.",
        act(
            Call("grantRole(bytes32,address)", (b"opener".ljust(32, b"\0"), "anyone"), sender="admin"),
            Call("reopen()"),
        ),
        setup=closes("admin"),
        confirmed=False,
    ),
    administration(
        "HiddenAdmin",
        "A second administrator, in the code alone.",
        act(Call("sync()", sender="hidden")),
        setup=closes("hidden"),
    ),
    administration(
        "HiddenAdminHash",
        "A second administrator, of whom the code holds but the hash.",
        act(Call("sync()", sender="hidden")),
        setup=closes("hidden"),
        confirmed=False,
    ),
    administration(
        "PreimageGate",
        "Open to whoever knows the word.",
        act(Call("say(string)", ("open sesame",))),
        confirmed=False,
    ),
    administration("OriginOnly", "The owner's transaction is let through.", REFRESH),
    administration(
        "Pointer",
        "The guard is a function pointer, which closing left alone.",
        act(Call("set(uint256)", (7,))),
    ),
    administration(
        "Timed",
        "Closed for a hundred years only.",
        act(Call("set(address)", ("anyone",), sender="owner", timestamp=5_000_000_000)),
    ),
    administration(
        "TwoSteps",
        "Recovery in two steps, thirty days apart.",
        act(Call("ask()", sender="owner"), Call("recover()", sender="owner", timestamp=1_900_000_000)),
    ),
    administration(
        "TokenMoves",
        "What the contract keeps account of still moves.",
        act(Call("transfer(address,uint256)", ("anyone", 5), sender="owner")),
    ),
    administration(
        "Forwarded",
        "A trusted forwarder may speak for the owner (ERC-2771).",
        REFRESH,
        setup=closes("forwarder"),
    ),
)

ENVIRONMENT = (
    environment("TimeBomb", "Opens by itself at a time.", act(Call("tick()", timestamp=2_000_000_001))),
    environment("BlockBomb", "Opens at odd blocks, later.", act(Call("tick()", number=5_000_001))),
    draws("Lottery", "Opens in one block of 1,024, by its randomness.", confirmed=False, prevrandao=777),
    draws("BlockhashLottery", "Opens in one block of 1,024, by the hash before it.", confirmed=False, number=2218),
    draws("GasPrice", "Opens when gas is dear.", confirmed=False, gas_price=1001 * GWEI),
    draws("GasRich", "Opens when there is much gas.", confirmed=True, gas=12_000_000),
    draws("GasPoor", "Opens when there is little gas.", confirmed=True, gas=55_000),
    environment(
        "BaseFee",
        "Opens when blocks are full.",
        act(Call("draw()", base_fee=3001 * GWEI, gas_price=3001 * GWEI), on="anvil"),
        confirmed=False,
    ),
    draws("OtherChain", "Opens should the chain split and take another id.", confirmed=False, chain_id=987_654_321),
    draws("CoinbaseCaller", "Opens to who builds the block.", confirmed=True, coinbase="anyone"),
    environment("Balance", "Opens when it is rich.", act(Call("give()", value=6 * ETHER))),
    environment("Value", "Opens for a magic sum.", act(Call("give()", value=1337))),
    environment(
        "ContractCaller",
        "Opens to contracts.",
        act(Call("relay(address,bytes)", ("account", Encoded("meet()")), to="relay")),
        setup=closes(before=(Deploy("relay", "Relay"),)),
    ),
    environment(
        "OriginDiffers",
        "Opens when a contract stands between.",
        act(Call("relay(address,bytes)", ("account", Encoded("meet()")), to="relay")),
        setup=closes(before=(Deploy("relay", "Relay"),)),
        confirmed=False,
    ),
    environment("OwnCode", "Opens because it has code.", act(Call("meet()"))),
)

ENTRANCES = (
    entrance("FallbackHook", "The fallback opens to the owner.", act(Call(data=b"\xde\xad\xbe\xef", sender="owner"))),
    entrance("ReceiveMagic", "Ether alone opens, if it is the right sum.", act(Call(value=ETHER * 1337 // 100_000))),
    entrance("ShortCalldata", "Calldata too short for any selector opens.", act(Call(data=b"abc"))),
    entrance("LongCalldata", "Calldata of more than 10,000 bytes opens.", act(Call("ping()", append=bytes(10_000)))),
    entrance("LastByte", "The last byte of the calldata opens.", act(Call("ping(bytes)", (bytes(120) + b"*",)))),
    entrance(
        "ReadsAnySlot",
        "Asks for a slot that holds the flag, and any may be named.",
        act(Call("prove(uint256)", (0,))),
    ),
    entrance("CountsUp", "Acts in the 78th round of a loop.", act(Call("count(uint256)", (78,)))),
    entrance(
        "CountsFar",
        "Acts after a loop of exactly 100,000 rounds, which fit into a block, and which no search finds.",
        act(Call("count(uint256)", (100_000,), gas=16_000_000)),
        confirmed=False,
        configurations=("solc-0.8.19-optimized", "solc-0.8.37-ir"),
    ),
    entrance(
        "Multicall",
        "A function that is reachable only from within a multicall, where a lock is taken.",
        act(Call("multicall(bytes[])", ([Encoded("inner()")],))),
    ),
    entrance(
        "SelfCall",
        "Only the account itself may reopen, and anybody can make it call itself.",
        act(Call("poke(bytes)", (Encoded("reopen()"),))),
        opcode="CALL",
    ),
    entrance(
        "Reenter",
        "Open for as long as it calls out: who is called takes the ether.",
        act(Call("flash(address)", ("thief",)), shows="ether"),
        setup=(*closes(before=(Deploy("thief", "Thief"),)), Send("account", value=5)),
        opcode="CALL",
    ),
)

TRANSIENT = (
    trap(
        "Transient",
        "Switch",
        "A switch in transient storage, thrown in the same transaction.",
        act(Call("go(address)", ("account",), to="attacker")),
        name="adversary_transient_switch",
        setup=closes(before=(Deploy("attacker", "Attacker"),)),
        confirmed=False,
        configurations=NEW,
    ),
    trap(
        "Transient",
        "Forgetful",
        "The flag itself is transient.",
        act(Call("set(uint256)", (7,))),
        name="adversary_transient_flag",
        configurations=NEW,
    ),
)

ADVERSARIES = (*ADMINISTRATION, *ENVIRONMENT, *ENTRANCES, *TRANSIENT)
