"""Adversaries that reach out, or are reached through others: calls, modules, proxies, answers, signatures."""

from __future__ import annotations

from functools import partial

from coincurve import PrivateKey
from eth_hash.auto import keccak

from tests.closure.cases.act import CLOSE, Act, Adversary, Call, act, closes
from tests.closure.cases.adversaries_state import trap
from tests.closure.cases.assembler import assemble
from tests.closure.cases.case import Case, Deploy, Encoded, Send, SetBalance, SetCode, Step, private_key

CLEARS = assemble("0 0 SSTORE STOP")
"""The smallest module that opens: slot 0 becomes 0."""
DESTROYS = assemble("CALLER SELFDESTRUCT")
DESTROYER_AT = 0xDE57201000000000000000000000000000000001
CLEARS_AT, DELEGATED_AT = 0xC1EA125000000000000000000000000000000001, 0x7702000000000000000000000000000000000001

call = partial(trap, "Calls")
delegate = partial(trap, "Delegates")
proxy = partial(trap, "Proxies")
run = act(Call("run()"))

CALLS = (
    call(
        "SessionPath",
        "The path of the session key was forgotten.",
        act(Call("executeAs(address,bytes)", ("witness", b""), sender="session"), shows="touched witness"),
        setup=closes("session", before=(Deploy("witness", "Witness"),)),
        opcode="CALL",
    ),
    call(
        "ApproveLeft",
        "Approvals can still be given.",
        act(Call("approve(address,address,uint256)", ("token", "anyone", 7), sender="owner"), shows="touched token"),
        setup=closes(before=(Deploy("token", "Witness"),)),
        opcode="CALL",
    ),
    call(
        "Sweep",
        "Ether that came later still leaves, if only to the owner.",
        act(Call("sweep()"), shows="ether"),
        setup=(*closes(), Send("account", value=5)),
        opcode="CALL",
    ),
    call(
        "Heartbeat",
        "Calls one fixed contract, with nothing, and ignores the answer.",
        act(Call("beat()"), shows="touched monitor"),
        setup=closes("monitor", before=(Deploy("monitor", "Witness"),)),
        opcode="CALL",
    ),
    call(
        "OracleDecides",
        "Another contract says whether it is closed.",
        act(Call("set(bool)", (False,), to="oracle"), Call("set(uint256)", (7,))),
        setup=closes("oracle", before=(Deploy("oracle", "Oracle"),)),
        confirmed=False,
    ),
    call(
        "Destroyable",
        "The owner may still destroy it, and take what it has.",
        act(Call("retire()", sender="owner"), shows="ether"),
        setup=(*closes(), Send("account", value=5)),
        opcode="SELFDESTRUCT",
    ),
    call(
        "Creates",
        "Creates a child, which calls whom it is told.",
        act(Call("spawn(address)", ("witness",)), shows="touched witness"),
        setup=closes(before=(Deploy("witness", "Witness"),)),
        opcode="CREATE",
    ),
    call(
        "Creates2",
        "Creates a child at an address known before, which calls whom it is told.",
        act(Call("spawn(address,bytes32)", ("witness", bytes(32))), shows="touched witness"),
        setup=closes(before=(Deploy("witness", "Witness"),)),
        opcode="CREATE2",
    ),
    call(
        "StarvedGuard",
        "The guard asks with too little gas, and takes silence for a no.",
        act(Call("set(uint256)", (7,))),
    ),
    call(
        "ReturnBomb",
        "Opens for whoever answers at great length.",
        act(Call("ask(address)", ("bomb",))),
        setup=closes(before=(Deploy("bomb", "Bomb"),)),
    ),
    call(
        "CallerAnswers",
        "Opens to a caller who answers 42.",
        act(Call("go(address)", ("account",), to="answerer")),
        setup=closes(before=(Deploy("answerer", "Answerer"),)),
        confirmed=False,
    ),
    call(
        "RevertingBranch",
        "What fails in an inner call is caught in the outer one, and opens.",
        act(Call("use(uint256)", (3,))),
    ),
)

DELEGATES = (
    delegate(
        "ModuleInSlot",
        "A module is still installed, and runs on the account's storage.",
        act(Call("run(bytes)", (Encoded("refresh()"),))),
        setup=closes("module", before=(Deploy("module", "Module"),)),
    ),
    delegate(
        "ModuleFromCalldata",
        "The owner names any module.",
        act(Call("run(address,bytes)", ("module", b""), sender="owner")),
        setup=closes(before=(Deploy("module", "Module"),)),
        opcode="DELEGATECALL",
    ),
    delegate(
        "FixedTarget",
        "Always the same module, in the code itself, and it opens.",
        run,
        name="adversary_module_in_code",
        setup=closes("module", before=(Deploy("module", "Module"),)),
    ),
    delegate(
        "FixedTarget",
        "Always the same module, and it destroys the account.",
        act(Call("run()"), shows="ether"),
        name="adversary_module_destroys",
        setup=(
            *closes(f"0x{DESTROYER_AT:040x}", before=(SetCode("destroyer", DESTROYS, address=DESTROYER_AT),)),
            SetBalance("account", 5),
        ),
        opcode="SELFDESTRUCT",
    ),
    delegate(
        "EmptyTarget",
        "Delegates to an address that has no code, until somebody creates it.",
        act(Call("born()", to="nursery"), Call("run()")),
        setup=closes("nursery", before=(Deploy("nursery", "Nursery"),)),
        opcode="DELEGATECALL",
    ),
    delegate(
        "FixedTarget",
        "Delegates to an account that is delegated itself (EIP-7702): its key chooses the code.",
        act(Call("run()"), on="anvil"),
        name="adversary_delegated_target",
        setup=closes(
            f"0x{DELEGATED_AT:040x}",
            before=(
                SetCode("module", CLEARS, address=CLEARS_AT),
                SetCode("target", bytes.fromhex("ef0100") + CLEARS_AT.to_bytes(20), address=DELEGATED_AT),
            ),
        ),
        opcode="DELEGATECALL",
    ),
    delegate(
        "Precompile",
        "Delegates to a precompile, which answers though it has no code, and believes the answer.",
        act(Call("run(bytes)", ((42).to_bytes(32),))),
        opcodes=("DELEGATECALL",),
    ),
    delegate(
        "PrecompileFails",
        "Delegates to a precompile, which fails though it has no code.",
        act(Call("run(bytes)", (b"x",))),
        opcodes=("DELEGATECALL",),
    ),
    delegate(
        "OutOfGas",
        "Opens when a delegate call fails that has no way to fail, but for want of gas.",
        act(Call("run()", gas=1_000_000)),
        setup=closes("heavy", before=(Deploy("heavy", "Heavy"),)),
    ),
    delegate("Recursion", "Calls itself until that fails, and then opens.", run),
    delegate(
        "Diamond",
        "Functions come from a mapping of facets (EIP-2535).",
        act(Call("refresh()")),
        setup=closes("module", before=(Deploy("module", "Module"),)),
        opcode="DELEGATECALL",
        opcodes=("SSTORE",),
    ),
    delegate(
        "Passes",
        "Delegates to a fixed contract, which delegates to whom the calldata names.",
        act(Call("run(bytes)", (CLEARS_AT.to_bytes(20),))),
        name="adversary_nested_delegate",
        setup=closes("nested", before=(Deploy("nested", "Nested"), SetCode("module", CLEARS, address=CLEARS_AT))),
        opcode="DELEGATECALL",
    ),
)

INITIALIZED = (Send("account", "initialize()"), CLOSE)


def behind(implementation: str, *args: object, through: str = "Proxy") -> tuple[Step, ...]:
    """An implementation, a proxy to it as the account, initialized and closed through the proxy."""
    return (
        Deploy("implementation", implementation),
        Deploy("account", through, ("implementation", *args)),
        *INITIALIZED,
    )


PROXIES = (
    proxy(
        "UupsOpen",
        "The implementation is guarded, but for its upgrade (UUPS).",
        act(
            Call("upgradeTo(address)", ("reopener",), sender="owner"),
            Call("reopen()"),
        ),
        setup=(Deploy("reopener", "Reopener"), *behind("UupsOpen")),
    ),
    proxy(
        "Transparent",
        "The implementation is guarded, and the proxy's administrator replaces it.",
        act(Call("upgradeTo(address)", ("reopener",), sender="admin"), Call("reopen()")),
        setup=(Deploy("reopener", "Reopener"), *behind("Guarded", "admin", through="Transparent")),
    ),
    proxy(
        "BeaconProxy",
        "The implementation is guarded, and a beacon decides which it is.",
        act(Call("upgradeTo(address)", ("reopener",), to="beacon"), Call("reopen()")),
        setup=(
            Deploy("reopener", "Reopener"),
            Deploy("implementation", "Guarded"),
            Deploy("beacon", "Beacon", ("implementation",)),
            Deploy("account", "BeaconProxy", ("beacon",)),
            *INITIALIZED,
        ),
        opcode="DELEGATECALL",
    ),
    proxy(
        "Clone",
        "A minimal proxy (EIP-1167) to an implementation that is open.",
        act(Call("migrate(uint256)", (7,), sender="owner")),
        setup=behind("OpenImplementation", through="Clone"),
    ),
    proxy(
        "CollidingProxy",
        "Proxy and implementation keep their flags in different slots; one is set, the other is asked.",
        act(Call("set(uint256)", (7,))),
        setup=(
            Deploy("implementation", "CollidingImplementation"),
            Deploy("account", "CollidingProxy", ("implementation",)),
            CLOSE,
        ),
    ),
)

DIGEST = keccak(b"reopen")


def signed(digest: bytes) -> tuple[int, int, int]:
    """The owner's signature: r, s, v."""
    signature = PrivateKey(private_key("owner")).sign_recoverable(digest, hasher=None)
    return int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]), 27 + signature[64]


SIGNATURE = signed(DIGEST)
ERC1271 = Call("isValidSignature(bytes32,bytes)", (bytes(32), bytes(65)))
FIRST_FOUR, ADDRESS = ((1 << 32) - 1) << 224, (1 << 160) - 1
MAGIC = 0x1626BA7E << 224
OPERATION_7 = "validateUserOp((address,uint256,bytes,bytes,bytes32,uint256,bytes32,bytes,bytes),bytes32,uint256)"
OPERATION_6 = (
    "validateUserOp((address,uint256,bytes,bytes,uint256,uint256,uint256,uint256,uint256,bytes,bytes),bytes32,uint256)"
)
EMPTY_7 = (("anyone", 0, b"", b"", bytes(32), 0, bytes(32), b"", b""), bytes(32), 0)
EMPTY_6 = (("anyone", 0, b"", b"", 0, 0, 0, 0, 0, b"", b""), bytes(32), 0)


def answers(
    contract: str,
    why: str,
    how: Act | None = None,
    *,
    name: str = "",
    authority: str = "isValidSignature(bytes32,bytes)",
    confirmed: bool = True,
    setup: tuple[Step, ...] = (),
) -> Adversary:
    """Inert, and yet somebody is told yes."""
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in contract)
    case = Case(
        name or f"answers{words}",
        "adversaries/Answers.sol",
        contract,
        setup or closes(),
        why,
        authority=authority,
        confirmed=confirmed,
        verdict="reversible" if confirmed else "inconclusive",
    )
    return Adversary(case, how or act(ERC1271, shows="answer", answer=MAGIC, mask=FIRST_FOUR))


ANSWERS = (
    answers("Always", "Every signature is valid."),
    answers(
        "Recovered",
        "What the owner signed stays valid (here a signature made after closing, as any made before).",
        act(
            Call("isValidSignature(bytes32,bytes)", (DIGEST, b"".join(each.to_bytes(32) for each in SIGNATURE))),
            shows="answer",
            answer=MAGIC,
            mask=FIRST_FOUR,
        ),
        confirmed=False,
    ),
    answers("ByFallback", "The fallback answers every question, this one too."),
    answers("FromStorage", "The answer lies in a slot."),
    answers("ByByte", "The answer is put together byte by byte."),
    answers("Echo", "Sends back what it is sent: the question's selector is its answer."),
    answers(
        "Implementation",
        "The answer comes from behind a proxy.",
        name="answers_behind_proxy",
        setup=(
            Deploy("implementation", "Implementation"),
            Deploy("account", "Proxy", ("implementation",)),
            *INITIALIZED,
        ),
    ),
    answers(
        "AsksValidator",
        "Another contract gives the answer.",
        setup=closes("validator", before=(Deploy("validator", "Validator"),)),
    ),
    answers(
        "Presigned",
        "What the owner approved before is valid for ever; the hash is a secret of a mapping.",
        act(
            Call("isValidSignature(bytes32,bytes)", (b"\x07" * 32, b"")),
            shows="answer",
            answer=MAGIC,
            mask=FIRST_FOUR,
        ),
        setup=(Deploy("account", sender="owner"), Send("account", "approve(bytes32)", (b"\x07" * 32,)), CLOSE),
        confirmed=False,
    ),
    answers(
        "Legacy",
        "The older question, with the message itself, is answered.",
        act(
            Call("isValidSignature(bytes,bytes)", (b"", b"")),
            shows="answer",
            answer=0x20C13B0B << 224,
            mask=FIRST_FOUR,
        ),
        authority="isValidSignature(bytes,bytes)",
    ),
    answers(
        "UserOperation7",
        "Every user operation is valid (EntryPoint 0.7 and 0.8).",
        act(Call(OPERATION_7, EMPTY_7), shows="answer", answer=0, mask=ADDRESS),
        authority="validateUserOp, EntryPoint 0.7 and 0.8",
    ),
    answers(
        "UserOperation6",
        "User operations are valid for the EntryPoint (0.6), from a time on.",
        act(Call(OPERATION_6, EMPTY_6, sender="entry point"), shows="answer", answer=0, mask=ADDRESS),
        authority="validateUserOp, EntryPoint 0.6",
        setup=closes("entry point"),
    ),
    answers(
        "FlashLoan",
        "Anybody can take a flash loan in its name (ERC-3156).",
        act(
            Call("onFlashLoan(address,address,uint256,uint256,bytes)", ("anyone", "anyone", 0, 0, b"")),
            shows="answer",
            answer=0x439148F0BBC682CA079E46D6E2C2F0C1E3B820F1A291B069D8882ABF8CF18DD9,
        ),
        authority="onFlashLoan(address,address,uint256,uint256,bytes)",
    ),
)

SIGNATURES = (
    trap(
        "Signatures",
        "OwnerZero",
        "Nobody is the owner, and nobody is who a bad signature is by.",
        act(Call("reopen(bytes32,bytes32,uint8)", (bytes(32), bytes(32), 0))),
    ),
    trap(
        "Signatures",
        "SignedByOwner",
        "The owner's signature reopens, whoever brings it.",
        act(
            Call("reopen(bytes32,bytes32,uint8)", (SIGNATURE[0].to_bytes(32), SIGNATURE[1].to_bytes(32), SIGNATURE[2]))
        ),
        confirmed=False,
    ),
)


def counter(contract: str, file: str, why: str, name: str) -> Adversary:
    return Adversary(Case(name, f"adversaries/{file}.sol", contract, closes(), why), None)


COUNTER_EXAMPLES = (
    counter("LogsOnly", "Inert", "It logs whatever it is told, and nothing more.", "counter_logs_only"),
    counter("Undone", "Inert", "Writes, calls and sends, and undoes all of it.", "counter_undone"),
    counter(
        "RevertsMagic", "Answers", "The magic value in the data of a failure is no answer.", "counter_reverts_magic"
    ),
)

ADVERSARIES = (*CALLS, *DELEGATES, *PROXIES, *ANSWERS, *SIGNATURES, *COUNTER_EXAMPLES)
