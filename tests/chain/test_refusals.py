"""What refusals mean: real sentences of nodes and providers, with code, HTTP status and method as they were met."""

from __future__ import annotations

import pytest

from orchestrator.chain.node.failure import RpcFailure, as_error, read_failure
from orchestrator.chain.node.refusals import TABLE, Kind, classify, named_limit, named_pause, suggested_span
from orchestrator.errors import Disposition

LOGS, CALL, PROOF, BATCH = "eth_getLogs", "eth_call", "eth_getProof", ""

FREE_TIER = (
    "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. Based on your "
    "parameters, this block range should work: [0x1a30dfd, 0x1a30e06]. Upgrade to PAYG for expanded block range."
)
RESPONSE_SIZE = (
    "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the "
    "response size, or you can request any block range with a cap of 10K logs in the response."
)
TIMEOUT = "Request timeout on the free tier, please upgrade your tier to the paid one"
# fmt: off
RATES = [
    (CALL, -32005, "daily request count exceeded, request rate limited", 429),
    (CALL, -32005, "exceeded project rate limit", 429),
    (CALL, -32007, "15/second request limit reached - reduce calls per second or upgrade your account at q.com", 200),
    (CALL, -32005, "You've exceeded the RPS limit available on the current plan.", 429),
    (CALL, 429, "Your app has exceeded its compute units per second capacity. If you have retries enabled, …", 200),
    (CALL, -32016, "over rate limit", 200),
    (CALL, -32017, "sender is over rate limit", 429),
    (CALL, -32029, "Too Many Requests, Please apply an API key or contact us to receive a higher rate limit", 200),
    (CALL, -32090, "Too many requests, reason: call rate limit exhausted, retry in 10m0s", 200),
    (CALL, -32012, "credits limited to 6000/sec", 200),
    (CALL, -32005, "limit exceeded", 200),
    (LOGS, 0, "error code: 1015", 429),
    (LOGS, -32007, "slow down", 200),
    (BATCH, 0, "rate limit exceeded", 200),
]
UNWELL = [
    (PROOF, 30, TIMEOUT, 200),
    (CALL, -32011, "no backend is currently healthy to serve traffic", 200),
    (CALL, -32010, "backend offline", 503),
    (CALL, -32000, "upstream connect error or disconnect/reset before headers", 200),
    (PROOF, -32002, "request timed out", 200),
    (PROOF, -32603, "Timeout expired", 200),
    (CALL, -32046, "Cannot fulfill request", 200),
    (CALL, 0, "", 502),
    (CALL, -32000, "service temporarily unavailable", 200),
]
BEHIND = [
    (CALL, -32000, "header not found", 200),
    (CALL, -39001, "Unknown block", 200),
    (CALL, -32001, "block not found: 0x18b94ad", 200),
    (LOGS, -32602, "block range extends beyond current head block", 200),
    (LOGS, -32000, "request beyond head block: requested 15538375, head 15538374", 200),
    (LOGS, -32000, "One of the blocks specified in filter (fromBlock, toBlock or blockHash) cannot be found.", 200),
    (CALL, -32000, "hash is not currently canonical", 200),
    (CALL, -32008, "Initial sync is still in progress", 200),
    (CALL, -32019, "block is out of range", 400),
]
RANGES = [  # with what was asked, and the limit that the sentence names
    (-32602, "range 1000000 exceeds limit of 10000", 200, 1_000_000, 10_000),
    (-32614, "eth_getLogs is limited to a 10,000 range", 413, 1_000_000, 10_000),
    (-32600, "eth_getLogs is limited to a 10 block range", 400, 1_000_000, 10),
    (-32600, FREE_TIER, 400, 100_000, 10),
    (35, "ranges over 10000 blocks are not supported on freetier", 400, 1_000_000, 10_000),
    (-32602, "query exceeds max block range 100000", 200, 1_000_000, 100_000),
    (-32602, "query block range exceeds server limit, narrow your filter: 1000", 200, 1_000_000, 1000),
    (-32000, "requested too many blocks from 1 to 5000, maximum is set to 2048", 200, 5000, 2048),
    (-32000, "block range is larger than max block range, block range = 5120, max block range = 5000", 200, 5120, 5000),
    (-32701, "exceed maximum block range: 50000", 200, 1_000_000, 50_000),
    (-32005, "Requested range exceeds maximum RPC range limit", 200, 1_000_000, None),
    (-32000, "maximum [from, to] blocks distance: 10000", 200, 1_000_000, 10_000),
    (-32000, "query must be smaller than size 1024", 200, 1_000_000, 1024),
    (-32603, "block range is too wide (maximum 1024)", 200, 1_000_000, 1024),
    (-32600, "block range too high", 200, 1_000_000, None),
    (-32000, "exceeds the range allowed for your plan (60000 > 10000)", 200, 60_000, 10_000),
    (-32000, "Block range limit exceeded. See more details at https://docs.example/#2000-blocks", 200, 60_000, None),
    (-32000, "please limit the query to at most 1,000 blocks", 200, 60_000, 1000),
    (-32000, "eth_getLogs range is too large, max is 10k blocks", 200, 60_000, 10_000),
    (-32000, "block range is bigger than maxBlockRange", 200, 60_000, None),
    (-32602, "invalid params: range 9009594 is bigger than range limit 2000", 200, 9_009_594, 2000),
    (-32005, "block range too large, max range: 5000", 200, 60_000, 5000),
]
RESULTS = [
    (LOGS, 30, TIMEOUT, 408),
    (LOGS, -32005, "query returned more than 10000 results", 200),
    (LOGS, -32005, "query returned more than 10000 results. Try with this block range [0x4D2, 0x4D9].", 200),
    (LOGS, -32602, RESPONSE_SIZE, 200),
    (LOGS, -32602, "query exceeds max results 20000, retry with the range 1-2000", 200),
    (LOGS, -32000, "logs matched by query exceeds limit of 10000", 200),
    (LOGS, -32005, "Too many logs requested. Max logs per response is 20000", 200),
    (LOGS, -32000, "query timeout of 10 seconds exceeded", 200),
    (LOGS, -32002, "request timed out", 200),
    (LOGS, -32005, "limit exceeded", 200),
    (LOGS, -32020, "backend response too large", 500),
    (CALL, -32000, "execution aborted (timeout = 5s)", 200),
    (CALL, -32003, "response too large", 200),
    (CALL, -32000, "response size should not greater than 10000000 bytes", 200),
]
BATCHES = [
    (-32600, "batch too large"),
    (-32010, "The batch request was too large"),
    (-32005, "Batched requests are not supported by this server"),
    (-32014, "too many RPC calls in batch request"),
    (31, "Batch of more than 3 requests are not allowed on free tier, to use this feature register paid account"),
    (-32005, "Number of requests exceeds max batch size"),
    (-32000, "batch limit 100 exceeded (can increase by --rpc.batch.limit). Requested batch of size: 120"),
    (0, "Batches are not supported"),
    (-32203, "Batch request amount 101 exceeds max 100"),
    (-32202, "Batch requests are disabled"),
    (-32601, "Batch requests are not supported"),
    (-32600, "invalid json: cannot unmarshal array into Go value of type main.Request"),
    (-32021, "request body too large"),
]
PLANS = [
    (PROOF, -32600, "eth_getProof is not available on the Free tier - upgrade to Pay As You Go, or Enterprise", 400),
    (PROOF, -32002, "Archive, Debug and Trace requests are not available on your current plan.", 403),
    (PROOF, -32002, "project ID does not have access to archive state", 403),
    (LOGS, -32701, "Please specify an address in your request or order a dedicated full node here", 200),
    (PROOF, 0, "", 402),
]
PRUNED = [
    ("World state unavailable", "--bonsai-historical-block-limit"),
    ("distance to target block exceeds maximum proof window", "--rpc.eth-proof-window"),
    ("missing trie node 1234 (path ) state 0x11 is not available", "--gcmode=archive"),
    ("historical state 0x12 is not available", "--gcmode=archive"),
    ("No state available for block 0x11", "--Pruning.Mode"),
    ("requested block is too old, block must be within 1000 blocks of the head", "--rpc.maxgetproofrewindblockcount"),
    ("old data not available due to pruning", "--prune.mode"),
    ("state at block #1 is pruned", "--prune.mode"),
]
OTHERS = [
    (PROOF, -32000, "Account not found", 200, Kind.ABSENT),
    (PROOF, -32601, "the method eth_getProof does not exist/is not available", 200, Kind.METHOD),
    (PROOF, -32601, "rpc method is not whitelisted", 403, Kind.METHOD),
    (PROOF, -32601, "Method eth_getProof cannot be found", 200, Kind.METHOD),
    ("debug_traceCall", -32601, "the method debug_traceCall is unavailable", 200, Kind.METHOD),
    (PROOF, -32600, "Unsupported method: eth_getProof", 400, Kind.METHOD),
    (PROOF, -32604, "Method not enabled", 200, Kind.METHOD),
    (PROOF, -32600, "Must be authenticated!", 401, Kind.KEY),
    (PROOF, -32000, "Unauthorized: You must authenticate your request with an API key", 403, Kind.KEY),
    (CALL, 3, "execution reverted: rate limit exceeded", 200, Kind.REVERTED),
    (CALL, -32000, "execution reverted: header not found", 200, Kind.REVERTED),
    (CALL, -32603, "Error: VM Exception while processing transaction: reverted with reason string 'busy'", 200,
     Kind.REVERTED),
    (CALL, -32015, "VM execution error.", 200, Kind.REVERTED),
    (CALL, -32602, "invalid argument 1: hex string expected", 200, Kind.PARAMS),
    (CALL, -32603, "Internal error", 200, Kind.OTHER),
    (CALL, -32000, "computer says no", 200, Kind.OTHER),
]
# fmt: on
KINDS = [
    *((Kind.RATE, *row) for row in RATES),
    *((Kind.UNWELL, *row) for row in UNWELL),
    *((Kind.BEHIND, *row) for row in BEHIND),
    *((Kind.RANGE, LOGS, *row[:3]) for row in RANGES),
    *((Kind.RESULTS, *row) for row in RESULTS),
    *((Kind.BATCH, BATCH, *row, 200) for row in BATCHES),
    *((Kind.PLAN, *row) for row in PLANS),
    *((Kind.PRUNED, PROOF, -32000, words, 200) for words, _ in PRUNED),
    *((row[4], *row[:4]) for row in OTHERS),
]


@pytest.mark.parametrize(("kind", "method", "code", "message", "status"), KINDS)
def test_each_refusal_is_of_its_kind(kind, method, code, message, status):
    assert classify(method, code, message, status).kind is kind
    error = as_error(RpcFailure(method, code, message, status), "http://node")
    passing = kind in (Kind.RATE, Kind.UNWELL, Kind.BEHIND)
    assert error.disposition is (Disposition.RETRY if passing else Disposition.OPERATOR)
    assert message in error.message


@pytest.mark.parametrize(("code", "message", "status", "asked", "limit"), RANGES)
def test_the_limit_is_taken_from_its_sentence(code, message, status, asked, limit):
    assert named_limit(message, asked) == limit


@pytest.mark.parametrize(("message", "flag"), PRUNED)
def test_pruned_state_names_the_flag_that_keeps_more(message, flag):
    failure = RpcFailure(PROOF, -32000, message)
    assert flag in failure.meaning.widen
    assert flag in (as_error(failure, "http://node").fix or "")


def test_limits_of_batches_are_taken_from_their_sentence():
    assert named_limit("Batch of more than 3 requests are not allowed on free tier", 100) == 3
    assert named_limit("Batch request amount 101 exceeds max 100", 102) == 100
    assert named_limit("batch limit 100 exceeded. Requested batch of size: 120", 120) == 100
    assert named_limit("Batches are not supported", 100) is None


def test_the_blocks_that_were_asked_for_are_no_limit():
    words = "block range 100-20000000 is too large"
    assert named_limit(words, 19_999_901, besides=(100, 20_000_000)) is None
    assert named_limit(f"{words}, max 2000", 19_999_901, besides=(100, 20_000_000)) == 2000


def test_a_range_is_suggested():
    assert suggested_span("Try with this block range [0x4D2, 0x4D9].", 1000) == 8
    assert suggested_span("retry with the range 1-2000", 5000) == 2000
    assert suggested_span("retry with the range 1-2000", 2000) is None
    assert suggested_span("Try with this block range [0x9, 0x1].", 1000) is None


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Too many requests, reason: call rate limit exhausted, retry in 10m0s", 600),
        ("please retry in 1.5s", 1.5),
        ("try again after 250ms", 0.25),
        ("rate limited, wait 2 seconds", 2),
        ("over rate limit", None),
    ],
)
def test_a_pause_is_taken_from_its_sentence(message, seconds):
    assert named_pause(message) == seconds


def test_a_contracts_words_are_never_the_nodes():
    """Else a token could keep a wallet's preflight waiting for ever."""
    for words in ("too many requests", "header not found", "try again", "missing trie node"):
        for prefix in (
            "execution reverted: ",
            "VM Exception while processing transaction: revert ",
            "reverted: ",
            "rpc error: code = Unknown desc = execution reverted: ",
            "message execution failed (exit=[33], revert reason=[Error(",
            "err: out of gas: ",
        ):
            for method in (CALL, "debug_traceTransaction", BATCH):
                assert classify(method, -32000, prefix + words).kind is Kind.REVERTED
        assert classify(CALL, 3, words).kind is Kind.REVERTED
        assert classify(BATCH, 3, words).kind is Kind.REVERTED, "some calls of a batch may be the contract's"


def test_each_row_of_the_table_has_a_source_and_something_to_go_by():
    for row in TABLE:
        assert row.source
        assert row.words or row.codes or row.statuses
        assert (row.kind is Kind.PRUNED) == bool(row.widen)


def test_error_objects_of_any_shape_are_read():
    assert read_failure("rate limit exceeded", CALL, 200).kind is Kind.RATE
    assert read_failure({"code": "-32601", "message": "no"}, CALL, 200).code == -32601
    payload = {"code": -32602, "message": "invalid params", "data": {"payload": "range 9 is bigger than range limit 2"}}
    assert read_failure(payload, LOGS, 200).kind is Kind.RANGE
    for odd in (None, 5, [], {}, {"code": True, "message": " "}, {"code": 2**80, "message": ["x"]}):
        failure = read_failure(odd, CALL, 200)
        assert (failure.code, failure.message) == (0, "no reason given")
