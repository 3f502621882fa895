"""The honest contracts: closed for ever, whatever anybody does, and to be proven so."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from eth_hash.auto import keccak

from tests.closure.cases.case import (
    NEW,
    RAW,
    SOLIDITY,
    VYPER,
    Case,
    Deploy,
    Encoded,
    Send,
    SetBalance,
    SetCode,
    SetStorage,
    Signed,
    Step,
)

ETHER = 10**18
NOBODY = "0x0000000000000000000000000000000000000000"
IMPLEMENTATION = 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC


def solidity(
    name: str, source: str, contract: str, why: str, *setup: Step, configurations: tuple[str, ...] = SOLIDITY
) -> Case:
    return Case(name, f"honest/{source}.sol", contract, setup, why, configurations=configurations)


def vyper(name: str, source: str, why: str, *setup: Step) -> Case:
    return Case(name, f"honest/{source}.vy", source, setup, why, configurations=VYPER)


def raw(name: str, code: str, why: str, *more: Step) -> Case:
    """``code`` in hexadecimal, with spaces between the instructions."""
    return Case(name, "raw", "", (SetCode("account", bytes.fromhex(code)), *more), why, configurations=RAW)


def deploy(*args: object, value: int = 0) -> Deploy:
    return Deploy("account", args=args, sender="owner", value=value)


CLOSE = Send("account", "close()")

# ------------------------------------------------------------------------------------------------- the project's wallet

CREATION, DELETION = sha256(b"creation challenge").digest()[:16], sha256(b"deletion challenge").digest()[:16]
DEPLOYMENT = Deploy("account", args=("owner", "operator", "escrow", "entry point"), sender="factory")
ACTIVATION: tuple[Step, ...] = (
    Send("account", "commitChallenge(uint8,bytes32)", (0, keccak(CREATION)), sender="factory"),
    Send("account", "activate(bytes,bytes)", (CREATION, Signed(CREATION)), sender="operator"),
)
CLOSING: tuple[Step, ...] = (
    Send("account", "commitChallenge(uint8,bytes32)", (1, keccak(DELETION)), sender="operator"),
    Send("account", "close(bytes,bytes,address[])", (DELETION, Signed(DELETION), []), sender="operator"),
)


def wallet(name: str, why: str, *setup: Step) -> tuple[Case, Case]:
    """As the package ships it, and compiled in other ways."""
    return (
        Case(f"shipped_smart_wallet_{name}", "artifact:SmartWallet", "SmartWallet", setup, why, configurations=RAW),
        Case(f"smart_wallet_{name}", "wallet/SmartWallet.sol", "SmartWallet", setup, why, configurations=NEW),
    )


def with_parties(escrow: str, entry_point: str) -> Deploy:
    return Deploy("account", args=("owner", "operator", escrow, entry_point), sender="factory")


WALLETS = (
    *wallet("from_active", "Created, activated, closed: the ordinary way.", DEPLOYMENT, *ACTIVATION, *CLOSING),
    *wallet(
        "from_created",
        "Closed before it was ever active; the creation commitment is gone too.",
        DEPLOYMENT,
        ACTIVATION[0],
        *CLOSING,
    ),
    *wallet(
        "from_inactive",
        "Closed while it was suspended.",
        DEPLOYMENT,
        *ACTIVATION,
        Send("account", "deactivate()", sender="operator"),
        *CLOSING,
    ),
    *wallet("without_escrow", "The escrow is 0x0.", with_parties(NOBODY, "entry point"), *ACTIVATION, *CLOSING),
    *wallet("without_entry_point", "The entry point is 0x0.", with_parties("escrow", NOBODY), *ACTIVATION, *CLOSING),
    *wallet("without_either", "Escrow and entry point are 0x0.", with_parties(NOBODY, NOBODY), *ACTIVATION, *CLOSING),
    *wallet(
        "one_party",
        "Owner, operator, factory, escrow and entry point are one account.",
        Deploy("account", args=("owner",) * 4, sender="owner"),
        *(
            Send(step.to, step.signature, step.args, "owner")
            for step in (*ACTIVATION, *CLOSING)
            if isinstance(step, Send)
        ),
    ),
    *wallet(
        "session_key",
        "A session key was set while it was active.",
        DEPLOYMENT,
        *ACTIVATION,
        Send("account", "setSessionKey(address)", ("session",)),
        *CLOSING,
    ),
    *wallet(
        "emptied",
        "It held ether, which went to the owner at the closing.",
        DEPLOYMENT,
        *ACTIVATION,
        SetBalance("account", 3 * ETHER),
        *CLOSING,
    ),
    *wallet(
        "with_balance",
        "Ether was forced in after the closing, and is locked.",
        DEPLOYMENT,
        *ACTIVATION,
        *CLOSING,
        SetBalance("account", 5 * ETHER),
    ),
    *wallet(
        "reissued",
        "The deletion challenge was issued twice; and after the closing everything was tried.",
        DEPLOYMENT,
        *ACTIVATION,
        Send("account", "commitChallenge(uint8,bytes32)", (1, keccak(b"older")), sender="operator"),
        *CLOSING,
        *(
            Send(step.to, step.signature, step.args, step.sender, fails=True)
            for step in (*ACTIVATION, *CLOSING)
            if isinstance(step, Send)
        ),
    ),
)

BY_FACTORY: tuple[Step, ...] = (
    Deploy("wallet factory", "SmartWalletFactory", ("operator", "entry point"), sender="operator"),
    Send(
        "wallet factory",
        "deploySmartWallet(address,address,bytes16,bytes32)",
        ("owner", "escrow", bytes(range(16)), keccak(CREATION)),
        sender="operator",
        answer="account",
    ),
    ACTIVATION[1],
    *CLOSING,
)
WALLETS += tuple(
    replace(each, source=source)
    for each, source in zip(
        wallet("by_factory", "Made by CREATE2 by the factory, as the platform makes it.", *BY_FACTORY),
        ("artifact:SmartWalletFactory", "wallet/SmartWalletFactory.sol"),
        strict=True,
    )
)

# ------------------------------------------------------------------------------------------------------------- solidity

PROXIED = Deploy("implementation", "Implementation")
INITIALIZED = Encoded("initialize(address)", ("owner",))

ORDINARY = (
    solidity("closable", "Closable", "Closable", "An ordinary ownable, pausable, closable wallet.", deploy(), CLOSE),
    solidity(
        "closable_while_paused",
        "Closable",
        "Closable",
        "Paused first, then closed.",
        deploy(),
        Send("account", "pause()"),
        CLOSE,
    ),
    solidity(
        "closable_with_balance",
        "Closable",
        "Closable",
        "Ether in it when it closed, and ether forced in afterwards.",
        deploy(value=2 * ETHER),
        CLOSE,
        SetBalance("account", ETHER),
    ),
    solidity(
        "closable_with_session",
        "Closable",
        "Closable",
        "A session and a limit stand in its storage.",
        deploy(),
        Send("account", "setSession(address,uint256)", ("session", 2**40)),
        Send("account", "setLimit(address,uint256)", ("token", ETHER)),
        CLOSE,
    ),
    solidity(
        "closable_by_new_owner",
        "Closable",
        "Closable",
        "The owner was another at first.",
        deploy(),
        Send("account", "transferOwnership(address)", ("heir",)),
        Send("account", "close()", sender="heir"),
    ),
    solidity(
        "lock_before_check",
        "Locks",
        "LockBeforeCheck",
        "The re-entrancy lock is written before the flag is checked, and taken back by the failure.",
        deploy(),
        CLOSE,
    ),
    solidity(
        "call_before_check",
        "Locks",
        "CallBeforeCheck",
        "Somebody is called before the flag is checked: the failure takes it back.",
        Deploy("price", "Price"),
        deploy("price"),
        CLOSE,
    ),
    solidity(
        "lock_call_check",
        "Locks",
        "LockCallCheck",
        "Somebody is called while the lock is written, before the flag is checked.",
        deploy(),
        CLOSE,
    ),
    solidity(
        "lock_only",
        "Locks",
        "LockOnly",
        "Functions that succeed: a lock 1, 2, 1, and words written as they were.",
        deploy(),
        CLOSE,
    ),
    solidity(
        "idempotent_close",
        "Locks",
        "IdempotentClose",
        "close() succeeds again and writes what is there.",
        deploy(),
        Send("account", "count()"),
        CLOSE,
        CLOSE,
    ),
    solidity(
        "check_last", "Locks", "CheckLast", "The flag is the last thing that is checked, after writes.", deploy(), CLOSE
    ),
    solidity(
        "renounced_owner",
        "Ownership",
        "Renounced",
        "The owner is 0x0, which nobody is; selfdestruct and execute stand behind it.",
        deploy(),
        Send("account", "setFee(uint256)", (5,)),
        Send("account", "renounce()"),
    ),
    solidity(
        "only_self",
        "Ownership",
        "OnlySelf",
        "Only the account itself may reopen it, and it calls nobody any more.",
        deploy(),
        Send("account", "execute(address,uint256,bytes)", ("account", 0, Encoded("close()"))),
    ),
    solidity("closed_flag_namespaced", "Flags", "Namespaced", "The flag at an ERC-7201 place.", deploy(), CLOSE),
    solidity(
        "closed_flag_in_mapping",
        "Flags",
        "MappedFlag",
        "The flag in a mapping under a constant key; the roles in mappings under unknown ones.",
        deploy(),
        Send("account", "grant(bytes32,address)", (b"setter".ljust(32, b"\0"), "setter")),
        Send("account", "set(uint256)", (9,), sender="setter"),
        CLOSE,
    ),
    solidity(
        "packed_state",
        "Flags",
        "PackedState",
        "An enum in the middle of a slot with an address and numbers.",
        deploy(),
        Send("account", "activate()"),
        Send("account", "adjust(int16)", (-7,)),
        CLOSE,
    ),
    solidity(
        "active_flag_deleted",
        "Flags",
        "ActiveFlag",
        "Closed is zero: the slots that decide are empty.",
        deploy(),
        CLOSE,
    ),
    solidity(
        "exhausted_counter",
        "Flags",
        "Exhausted",
        "Checked arithmetic refuses every step beyond the end.",
        deploy(),
        CLOSE,
    ),
    solidity("born_closed", "Flags", "BornClosed", "The flag is a constant in the code.", deploy(True)),
    solidity(
        "computed_guard",
        "Flags",
        "ComputedGuard",
        "Signed division, shifts, bytes, powers and wide modular arithmetic decide, for closed.",
        deploy(),
        CLOSE,
    ),
    solidity("views_only", "Inert", "ViewsOnly", "Loops, strings, mappings, arrays: nothing that writes.", deploy()),
    solidity("logs_only", "Inert", "LogsOnly", "Emits logs for everybody.", deploy()),
    solidity(
        "ether_only", "Inert", "EtherOnly", "Takes ether in every way; answers every question with nothing.", deploy()
    ),
    solidity(
        "ether_and_log",
        "Inert",
        "EtherAndLog",
        "Closed, while receive() still takes ether and logs it.",
        deploy(),
        CLOSE,
    ),
    solidity("reverting_fallback", "Inert", "RevertingFallback", "The fallback refuses everything.", deploy(), CLOSE),
    solidity(
        "says_no",
        "Answers",
        "SaysNo",
        "Asked for a signature or a user operation it says no instead of failing.",
        deploy("owner"),
        CLOSE,
    ),
    solidity(
        "paused_token",
        "Answers",
        "PausedToken",
        "A token paused by an owner who then left.",
        deploy(),
        Send("account", "transfer(address,uint256)", ("friend", 5)),
        Send("account", "pauseForEver()"),
    ),
    solidity(
        "multicall",
        "Multicall",
        "Multicall",
        "Delegate calls to itself, by anybody; each function is guarded.",
        deploy(),
        Send("account", "multicall(bytes[])", ([Encoded("setA(uint256)", (1,)), Encoded("setB(uint256)", (2,))],)),
        Send("account", "multicall(bytes[])", ([Encoded("close()")],)),
    ),
    solidity(
        "multicall_guarded",
        "Multicall",
        "GuardedMulticall",
        "As multicall, with a guarded one beside it.",
        deploy(),
        CLOSE,
    ),
    solidity(
        "library_user",
        "Multicall",
        "LibraryUser",
        "Internal libraries with loops; the guard is in one.",
        deploy(),
        Send("account", "write(uint256)", (77,)),
        CLOSE,
    ),
    solidity(
        "multisig",
        "Multicall",
        "Multisig",
        "A multisignature wallet that closed itself by a proposal.",
        deploy(["owner", "second"], 2, value=ETHER),
        Send("account", "propose(address,uint256,bytes)", ("account", 0, Encoded("close()"))),
        Send("account", "confirm(uint256)", (0,)),
        Send("account", "confirm(uint256)", (0,), sender="second"),
        Send("account", "execute(uint256)", (0,)),
    ),
    solidity("many_functions", "Many", "Many", "Many functions: for the number of steps.", deploy(), CLOSE),
    solidity(
        "very_many_functions",
        "Large",
        "Large",
        "Near the limit of 24,576 bytes with the optimizer on; beyond it with the optimizer off.",
        deploy(),
        CLOSE,
        configurations=tuple(each for each in SOLIDITY if each.endswith("optimized")),
    ),
    solidity(
        "no_preimage_of_zero",
        "Limits",
        "NoPreimage",
        "Opens for bytes whose hash is zero: to find any is as hard as to forge a slot of a mapping.",
        deploy(bytes(32)),
    ),
    solidity(
        "receiver",
        "Inert",
        "Receiver",
        "Answers of a receiver of tokens, try and catch, nested arrays, precompiles.",
        deploy("asked"),
    ),
    solidity("internal_pointers", "Inert", "Pointers", "Jumps to places kept in storage and memory.", deploy(), CLOSE),
    solidity(
        "transient_lock",
        "Modern",
        "TransientLock",
        "The lock is transient storage, which alone changes nothing.",
        deploy(),
        CLOSE,
        configurations=NEW,
    ),
)

PROXIES = (
    solidity(
        "eip1167_clone",
        "Proxies",
        "Cloner",
        "A minimal clone; the implementation guards all, and itself was never initialized.",
        PROXIED,
        Deploy("cloner"),
        Send("cloner", "clone(address,bytes32)", ("implementation", bytes(32)), answer="account"),
        Send("account", "initialize(address)", ("owner",)),
        CLOSE,
    ),
    solidity(
        "eip1967_proxy",
        "Proxies",
        "Proxy",
        "The implementation guards all, its upgrade included.",
        PROXIED,
        deploy("implementation", INITIALIZED),
        CLOSE,
    ),
    solidity(
        "eip1967_upgraded_proxy",
        "Proxies",
        "Proxy",
        "Upgraded while it was open, then closed.",
        PROXIED,
        Deploy("newer", "Implementation"),
        deploy("implementation", INITIALIZED),
        Send("account", "upgradeTo(address)", ("newer",)),
        CLOSE,
    ),
    solidity(
        "transparent_proxy_resigned",
        "Proxies",
        "Transparent",
        "The administrator has resigned, and the implementation is closed.",
        PROXIED,
        deploy("implementation", "administrator", INITIALIZED),
        CLOSE,
        Send("account", data=keccak(b"changeAdmin(address)")[:4] + bytes(32), sender="administrator"),
    ),
    solidity(
        "immutable_proxy",
        "Proxies",
        "ImmutableProxy",
        "The implementation's address is in the code.",
        PROXIED,
        deploy("implementation", INITIALIZED),
        CLOSE,
    ),
    solidity(
        "proxy_of_proxy",
        "Proxies",
        "Proxy",
        "A proxy whose implementation is a clone-like proxy: two delegate calls deep.",
        PROXIED,
        Deploy("middle", "ImmutableProxy", ("implementation", Encoded("initialize(address)", ("nobody",)))),
        deploy("middle", INITIALIZED),
        CLOSE,
    ),
)

OPENZEPPELIN = (
    solidity(
        "openzeppelin5_renounced",
        "OpenZeppelin5",
        "Vault",
        "Ownable2Step and Pausable, renounced.",
        deploy(value=ETHER),
        Send("account", "renounceOwnership()"),
        configurations=NEW,
    ),
    solidity(
        "openzeppelin5_uups",
        "OpenZeppelin5",
        "WalletProxy",
        "UUPS; closing forbids the upgrade.",
        Deploy("implementation", "Wallet"),
        deploy("implementation", INITIALIZED),
        Send("account", "set(uint256)", (4,)),
        CLOSE,
        configurations=NEW,
    ),
    solidity(
        "openzeppelin4_renounced",
        "OpenZeppelin4",
        "Vault",
        "Ownable, Pausable and ReentrancyGuard, renounced.",
        deploy(value=ETHER),
        Send("account", "renounceOwnership()"),
    ),
    solidity(
        "openzeppelin4_uups",
        "OpenZeppelin4",
        "WalletProxy",
        "UUPS; closing forbids the upgrade.",
        Deploy("implementation", "Wallet"),
        deploy("implementation", INITIALIZED),
        Send("account", "set(uint256)", (4,)),
        CLOSE,
    ),
)

# ---------------------------------------------------------------------------------------------------------------- vyper

VYPERS = (
    vyper(
        "vyper_closable",
        "Closable",
        "Many functions: the default dispatch is a jump table.",
        deploy("operator", value=ETHER),
        Send("account", "set_name(string)", ("a name of the wallet that is long enough for two words",)),
        Send("account", "add_friend(address)", ("friend",)),
        CLOSE,
    ),
    vyper("vyper_small", "Small", "Few functions.", deploy(), Send("account", "set(uint256)", (3,)), CLOSE),
    vyper("vyper_views", "Views", "Views with loops and a default function that refuses.", deploy()),
)

# ------------------------------------------------------------------------------------------------------------------ raw

RAWS = (
    raw("raw_stop", "00", "Does nothing, successfully."),
    raw("raw_invalid", "fe", "INVALID is a failure, and a defined one."),
    raw("raw_revert", "6000 6000 fd", "Refuses all."),
    raw("raw_same_value", "6007 6003 55 00", "Writes the value that is there.", SetStorage("account", {3: 7})),
    raw(
        "raw_there_and_back",
        "6008 6003 55 6007 6003 55 00",
        "Writes another value and then the one that was there.",
        SetStorage("account", {3: 7}),
    ),
    raw(
        "raw_underflow_before_write", "6001 55 00", "The write fails: there is one word on the stack, and it needs two."
    ),
    raw("raw_falls_off_the_end", "6005", "Code that ends without STOP stops."),
    raw("raw_push_off_the_end", "7f 60", "A push whose data the code ends in pushes zeroes."),
    raw("raw_write_behind_revert", "6000 6000 fd 5b 33 6000 55 00", "A write that no jump reaches."),
    raw(
        "raw_static_call_only",
        "6020 6000 6000 6000 33 5a fa 50 00",
        "Asks its caller something by STATICCALL, and does nothing with the answer.",
    ),
    raw("raw_transient_only", "34 33 5d 33 5c 50 00", "Writes transient storage and nothing else."),
    raw("raw_write_and_fail", "6000 35 6000 55 fe", "Writes what it is told, and then always fails."),
)

CASES = (*WALLETS, *ORDINARY, *PROXIES, *OPENZEPPELIN, *VYPERS, *RAWS)

# --------------------------------------------------------------------------------------------------------------- limits
# Closed for ever in truth, and beyond what the analysis can tell: the price of never erring towards "irreversible".


def limit(name: str, contract: str, opcode: str, why: str, *setup: Step) -> Case:
    return Case(
        f"limit_{name}",
        "honest/Limits.sol",
        contract,
        setup,
        why,
        analysis="acting",
        opcode=opcode,
        confirmed=False,
        verdict="inconclusive",
    )


LIMITS = (
    limit(
        "expired", "Expired", "SSTORE", "Time is unknown: that it never goes back is not used.", deploy(1_700_000_000)
    ),
    limit(
        "roles_renounced",
        "Roles",
        "SSTORE",
        "A mapping's slot of an unknown account is unknown, even where all are empty.",
        deploy(),
        Send("account", "renounce(bytes32)", (b"admin".ljust(32, b"\0"),)),
    ),
    limit(
        "no_preimage",
        "NoPreimage",
        "SSTORE",
        "Whether anybody knows bytes with this hash cannot be told.",
        deploy(b"\xff" * 32),
    ),
    limit(
        "registry",
        "Registered",
        "SSTORE",
        "Another contract's answer is unknown.",
        Deploy("registry", "Registry"),
        deploy("registry"),
        CLOSE,
    ),
    limit("rich", "Rich", "SSTORE", "Balances are unknown, also beyond all the ether that there is.", deploy()),
    limit(
        "diamond",
        "Diamond",
        "DELEGATECALL",
        "The module for an unknown selector is unknown, even where there is none.",
        deploy(),
        Send("account", "renounce()"),
    ),
    limit(
        "administrator_renounced",
        "Administered",
        "SSTORE",
        "The administrator is a contract, which obeys nobody any more: other contracts' code is not looked into.",
        Deploy("administrator", "Administrator", sender="owner"),
        deploy("administrator"),
        Send("administrator", "set(address,uint256)", ("account", 6)),
        Send("administrator", "renounce()"),
    ),
)
