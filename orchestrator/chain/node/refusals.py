"""What a node's refusal means: passing or lasting, and what to do about it. Pure; one table, each row with its source.

Nodes, gateways and providers agree on hardly any code, so the words decide first, then the code, then the HTTP status.
A contract's own words reach the answer of a call that reverts; they are kept from being read as the node's.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """The kinds of refusals that are treated differently."""

    RATE = "rate_limit"
    UNWELL = "unwell"
    """The node, or what stands before it, is in trouble of its own."""
    BEHIND = "behind"
    """A block that others have: one of several nodes behind an address lags."""
    RANGE = "log_range"
    """More blocks than ``eth_getLogs`` takes."""
    RESULTS = "too_much"
    """More results, bytes or time than an answer may have: a smaller question may be answered."""
    BATCH = "batch"
    PLAN = "plan"
    KEY = "key"
    PRUNED = "pruned"
    METHOD = "method"
    ABSENT = "absent"
    """There is no such account: Besu refuses instead of proving it."""
    REVERTED = "reverted"
    PARAMS = "params"
    OTHER = "other"


PASSING: Final = frozenset({Kind.RATE, Kind.UNWELL, Kind.BEHIND})
"""The same question may be answered later. What lasts beyond patience is an operator's all the same."""


def executes(method: str) -> bool:
    """Whether an error of the method may hold text that a contract chose."""
    return method in ("eth_call", "eth_estimateGas") or method.startswith("debug_trace")


@dataclass(frozen=True, slots=True)
class Row:
    """A refusal as it is met: its words (a regular expression over lower case), else its codes, else its statuses."""

    kind: Kind
    source: str
    words: str = ""
    codes: tuple[int, ...] = ()
    statuses: tuple[int, ...] = ()
    widen: str = ""
    """For pruned state: what makes the node keep more."""


_BESU = "besu RpcErrorType.java"
_PROXYD = "ethereum-optimism/infra proxyd/backend.go"
_RETH = "reth crates/rpc/rpc-eth-types/src/error/mod.rs"
_PONDER = "ponder packages/utils/src/getLogsRetryHelper.ts"

# fmt: off
TABLE: Final = (
    # A block that is not there yet, before the rows on ranges, which share words with it.
    Row(Kind.BEHIND, "geth eth/filters/api.go; execution-apis#875",
        r"beyond (the )?(current )?head|after last accepted"),
    Row(Kind.BEHIND, "geth internal/ethapi/api.go; " + _RETH,
        r"^header (for hash )?not found|^(unknown|no such|missing) block|^(parent |requested )?block not found"),
    Row(Kind.BEHIND, "erigon rpc/jsonrpc; nethermind BlockFinderExtensions.cs; go-ethereum#27353",
        r"block (number )?\S+ (was |is )?not found|cannot be found|could not find block|block hash not found"),
    Row(Kind.BEHIND, "geth eth/api_backend.go (EIP-1898)", r"not currently canonical|hash is not canonical"),
    Row(Kind.BEHIND, "coreth eth/api_backend.go", r"cannot query unfinalized"),
    Row(Kind.BEHIND, _PROXYD, r"block is out of range", (-32019,)),
    Row(Kind.BEHIND, _BESU, r"initial sync is still in progress|node is (still )?syncing", (-32008, -39001)),
    # Rates.
    Row(Kind.RATE, "docs.alchemy.com/reference/throughput", r"compute units|capacity limit", (429,), (429,)),
    Row(Kind.RATE, "docs.metamask.io/services, status-go#4807",
        r"request rate|rate.?limit|requests? count exceeded|exceeded project"),
    Row(Kind.RATE, "quicknode.com/docs error references; mud#1522",
        r"request limit reached|credits limited|(requests?|calls)( per |/)(second|sec|minute)", (-32007, -32012)),
    Row(Kind.RATE, "docs.chainstack.com/docs/limits", r"rps limit|exceeded the rps|quota"),
    Row(Kind.RATE, _PROXYD, r"over capacity", (-32016, -32017)),
    Row(Kind.RATE, "OnFinality, Ankr and polygon-rpc.com",
        r"too many (requests|connections)|throttl|retry in \d|slow down", (-32029, -32090, -32097)),
    Row(Kind.RATE, "Cloudflare's error page", r"error (code:? )?1015"),
    # Batches.
    Row(Kind.BATCH, "geth rpc/errors.go, erigon rpc/handler.go", r"batch (is )?too (large|big)|batch limit"),
    Row(Kind.BATCH, _BESU + "; nethermind#5122", r"exceeds max batch|batch size (limit|too)|batch.{0,20} exceed"),
    Row(Kind.BATCH, "jsonrpsee types/src/error.rs",
        r"batch(ed)? requests? (was too large|(is |are )?(not supported|disabled|not allowed))"),
    Row(Kind.BATCH, "gateways without batches", r"batch(es|ing|ed)?( requests?| calls?)?( is| are)? (not|un|dis)"),
    Row(Kind.BATCH, "drpc.org; subql#1852",
        r"batch of more than|too many .{0,12}(in|per) .{0,8}batch|cannot unmarshal array"),
    Row(Kind.BATCH, _PROXYD, r"request body too large|payload too large|request entity too large", (-32014, -32021)),
    # More than an answer may have.
    Row(Kind.RESULTS, "docs.metamask.io eth_getLogs, zksync-era",
        r"(returned|returns) (more than|too many)|more than [\d,]+ results"),
    Row(Kind.RESULTS, "reth logs_utils.rs, arbitrum (" + _PONDER + ")",
        r"max results|matched by query exceeds|too many (logs|results)"),
    Row(Kind.RESULTS, "docs.alchemy.com eth_getLogs, geth rpc/errors.go, 1rpc, " + _PROXYD,
        r"response (size|too|is too)|result (set )?(size|too)|size (limit )?exceeded", (-32020,), (413,)),
    Row(Kind.RESULTS, "frontier client/rpc, erigon", r"query timeout|query (duration|took|timed)"),
    # Ranges of blocks. Their sentences name plans, so they stand before the plans.
    Row(Kind.RANGE, "docs.alchemy.com eth_getLogs; boundless#838", r"up to an? [\d,.k]+ block range"),
    Row(Kind.RANGE, "quicknode.com/docs eth_getLogs; arbitrum-sdk#609",
        r"limited to an? [\d,.k]+( blocks?)? range", (-32614,)),
    Row(Kind.RANGE, "INFURA/infura#237, Tenderly boba_legacy#827",
        r"range .{0,24}(exceeds|bigger|greater|larger) (than )?(the )?(range )?(limit|max)"),
    Row(Kind.RANGE, "reth logs_utils.rs, bsc, erigon#20424, besu",
        r"(exceeds?|exceeded) .{0,12}(max|range|server limit)|range .{0,20}exceed|maximum block range"),
    Row(Kind.RANGE, _PONDER, r"range (is )?(too|bigger|greater|larger)|too many blocks|blocks distance|block range"),
    Row(Kind.RANGE, "Blast, dRPC, thirdweb (" + _PONDER + ")",
        r"range allowed for|ranges? over \d|number of requested blocks|at most [\d,.k]+ blocks|smaller than size"),
    Row(Kind.RANGE, "BlockPI, Cloudflare (" + _PONDER + ")", r"limited to [\d,.k]+ block|max range:? \d"),
    Row(Kind.RANGE, "go-ethereum eth/filters; harmony", r"block range limit|invalid epoch range|range limit"),
    # Time, before plans: dRPC's sentence names them.
    Row(Kind.UNWELL, "geth rpc/errors.go, besu; drpc.org", r"time(d)? ?out|deadline exceeded"),
    # Plans and keys.
    Row(Kind.PLAN, "docs.alchemy.com, dRPC",
        r"(free|your|current|this|growth|developer)[ -]?(tier|plan)|freetier|paid plan"),
    Row(Kind.PLAN, "docs.chainstack.com/docs/limits, Infura (archive)",
        r"(not|un)available (on|in|for) .{0,24}(plan|tier)|upgrade (your|to)|does not have access to|premium|"
        r"dedicated (full )?node", (), (402,)),
    Row(Kind.KEY, "Alchemy, Ankr, Infura; besu",
        r"must be authenticated|unauthorized|invalid (project|api|app).?(id|key)|api key|forbidden",
        (-40100,), (401, 403)),
    # A state that is no longer kept.
    Row(Kind.PRUNED, "reth#14952, reth#26615", r"proof window", (), (),
        "Reth proves nothing below the head by default: --rpc.eth-proof-window=N widens it to N blocks"),
    Row(Kind.PRUNED, "geth triedb, core/state", r"missing trie node|historical state|state histor", (), (),
        "Geth: --history.state=0 (path scheme, with --history.trienode for proofs) or --gcmode=archive keeps all"),
    Row(Kind.PRUNED, _BESU, r"world ?state (is )?(un|not )available", (), (),
        "Besu: --bonsai-historical-block-limit=N widens it, or --data-storage-format=FOREST keeps all"),
    Row(Kind.PRUNED, "nethermind Nethermind.JsonRpc", r"no state available|no historical", (), (),
        "Nethermind: --Pruning.Mode=None keeps all"),
    Row(Kind.PRUNED, "erigon rpc/jsonrpc/eth_call.go", r"requested block is too old|too old", (), (),
        "Erigon: --rpc.maxgetproofrewindblockcount.limit=N, and --prune.include-commitment-history for proofs"),
    Row(Kind.PRUNED, "erigon, EIP-4444 (4444), reth",
        r"prun|old data not available|state .{0,80}(not |un)available|archive", (4444,), (),
        "Erigon and Reth: run without --prune.mode or --full"),
    # The rest.
    Row(Kind.ABSENT, _BESU, r"^account not found"),
    Row(Kind.METHOD, "geth rpc/errors.go; proxyd; besu; EIP-1474",
        r"method .{0,64}(does not exist|not (found|available|supported|enabled|whitelisted|allowed)|disabled)|"
        r"unsupported method|does not exist/is",
        (-32604, -32004)),
    Row(Kind.UNWELL, _PROXYD, r"no backend|backend|gateway time|bad gateway", (-32010, -32011, -32013, -32018),
        (408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529)),
    Row(Kind.UNWELL, "cloudflare-eth.com, dRPC, gateways",
        r"cannot fulfill|temporar|unavailable|overload|upstream|try again|busy|no (available|healthy)|"
        r"connection (refused|reset)", (-32046,)),
    Row(Kind.BEHIND, "EIP-1474 (resource not found), reth", r"", (-32001,)),
    Row(Kind.PARAMS, "JSON-RPC 2.0", r"", (-32602, -32600)),
)
# fmt: on
_WORDS: Final = tuple((re.compile(row.words), row) for row in TABLE if row.words)
_BY_CODE: Final = {code: row for row in reversed(TABLE) for code in row.codes}
_BY_STATUS: Final = {status: row for row in reversed(TABLE) for status in row.statuses}
_REVERT: Final = re.compile(
    r"revert|vm (exception|(execution )?error)|out of gas|invalid (opcode|jump)|stack (under|over)flow|"
    r"bad (jump|instruction)|^(error: )?(gas (uint64|required|limit)|insufficient|intrinsic|execution error|"
    r"transaction processing could not be completed)"
)
"""Gateways and chains put their own words before the first ones ("rpc error: code = Unknown desc = …")."""
_REVERT_CODES: Final = frozenset({3, -32015})
"""Geth and those after it; Parity and Nethermind (``VM execution error``)."""
_NO_METHOD: Final = -32601
"""JSON-RPC 2.0, and the one code that all agree on: it decides before all words but those on batches."""
_LIMIT_EXCEEDED: Final = -32005
"""EIP-1474: of which limit, only the words and the method say."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a refusal means, and for pruned state what would widen what the node keeps."""

    kind: Kind
    widen: str = ""


def classify(method: str, code: int, message: str, status: int = 200) -> Meaning:
    """What the refusal of a call of ``method`` (of a whole request: "") means. ``status`` is HTTP's."""
    words = message.lower()
    executing = executes(method)
    if (executing or not method) and (code in _REVERT_CODES or _REVERT.search(words)):
        return Meaning(Kind.REVERTED)
    searching = method == "eth_getLogs"
    rows = ((pattern, row) for pattern, row in _WORDS if row.kind is not Kind.RANGE or method in ("eth_getLogs", ""))
    row = next((row for pattern, row in rows if pattern.search(words)), None)
    if code == _NO_METHOD and (row is None or row.kind is not Kind.BATCH):
        return Meaning(Kind.METHOD)
    if row is None and code == _LIMIT_EXCEEDED:
        return Meaning(Kind.RESULTS if searching else Kind.RATE)
    row = row or _BY_CODE.get(code) or _BY_STATUS.get(status)
    if row is None:
        return Meaning(Kind.OTHER)
    if (searching or executing) and row.kind is Kind.UNWELL and "time" in words:
        return Meaning(Kind.RESULTS)  # it takes too long: fewer blocks take less, and a contract can wish it so
    return Meaning(row.kind, row.widen)


_SUGGESTED: Final = re.compile(
    r"\[\s*(0x[0-9a-f]{1,16}|\d{1,18})\s*,\s*(0x[0-9a-f]{1,16}|\d{1,18})\s*\]|range (\d{1,18})-(\d{1,18})"
)
_NUMBER: Final = re.compile(
    r"(?<![\w.#])(\d[\d,_]{0,14})\s?(k\b)?(?!\w)(?!\s*(?:results?|logs?|seconds?|sec\b|s\b|ms\b|bytes|mb\b|%))"
)


def suggested_span(message: str, asked: int) -> int | None:
    """The blocks of the range that a sentence suggests instead of ``asked`` blocks, if it suggests fewer."""
    pair = _SUGGESTED.search(message.lower())
    if pair is None:
        return None
    low, high = (int(part, 0) for part in pair.groups() if part is not None)
    return high - low + 1 if 0 <= high - low < asked - 1 else None


def named_limit(message: str, asked: int, *, besides: Collection[int] = ()) -> int | None:
    """The limit that a sentence names, of ``asked`` blocks or calls; None where it names none below that.

    The largest number below what was asked (and below its last block less the first), ``besides`` the blocks that were
    asked for: the others are block numbers. A wrong guess is refused again, and then halved.
    """
    if (span := suggested_span(message, asked)) is not None:
        return span
    words = re.sub(r"https?://\S+", " ", message.lower())
    found = []
    for number, thousand in _NUMBER.findall(words):
        digits = number.replace(",", "").replace("_", "")
        found.append(int(digits) * (1000 if thousand else 1))
    return max((number for number in found if 0 < number < asked - 1 and number not in besides), default=None)


_RETRY: Final = re.compile(r"(?:retry|try again|wait)\D{0,16}((?:\d{1,6}(?:\.\d+)?\s?(?:h|ms|m|s)[a-z]*\s?)+)")
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)\s?(h|ms|m|s)")
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def named_pause(message: str) -> float | None:
    """The seconds after which a sentence asks to come again ("retry in 10m0s"), if it does."""
    match = _RETRY.search(message.lower())
    return None if match is None else sum(float(n) * _UNITS[unit] for n, unit in _SPAN.findall(match[1]))
