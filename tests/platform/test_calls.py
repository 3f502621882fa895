"""Each call: what is sent, and what its answers become."""

from __future__ import annotations

import base64
import json
import re
import uuid
from contextlib import nullcontext

import pytest

from orchestrator.errors import (
    MalformedAnswer,
    PlatformError,
    PlatformRefused,
    PlatformUnreachable,
    UncertainAnswer,
    UnsupportedChain,
)
from orchestrator.models import AccountStatus, ChainAccount
from orchestrator.platform import PlatformClient, answers
from orchestrator.ports.platform import Submission

ID = "4f4b3c1e-4c3a-4a57-9b1e-3c1f6f8c0a11"
CUSTOMER = "9d2e7d7a-51c5-4c55-8d5c-0a8f1a1b2c3d"
OWNER = "eip155:31337:0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
ACCOUNT = f"/accounts/{ID}"


def key() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def submission(challenge_text):
    return Submission(ChainAccount.parse(OWNER), challenge_text, bytes(range(64)) + b"\x1b")


# --- accounts ------------------------------------------------------------------------------------------------------


async def test_account(server, client, reply, account_json):
    server.on(
        "GET", ACCOUNT, reply(value=account_json(ID, type="CARD_ACCOUNT", status="active", chainId=OWNER.lower()))
    )
    account = await client.account(ID)
    assert account.status is AccountStatus.ACTIVE
    assert str(account.wallet) == OWNER
    assert account.updated_at.isoformat() == "2024-01-12T15:07:17.358440+00:00"
    assert account.currencies == ("EUR",)


async def test_unknown_account(client):
    with pytest.raises(PlatformRefused) as caught:
        await client.account(ID)
    assert (caught.value.code, caught.value.status) == ("account_not_found", 404)
    assert f"GET /v1{ACCOUNT} at 127.0.0.1" in caught.value.message


async def test_an_answer_about_another_account_is_refused(server, client, reply, account_json):
    server.on("GET", ACCOUNT, reply(value=account_json()))
    with pytest.raises(MalformedAnswer, match=f"field id: expected {ID}"):
        await client.account(ID)


async def test_create_account(server, client, reply, account_json, challenge_text):
    path = f"/customers/{CUSTOMER}/accounts"
    server.on("POST", path, reply(201, account_json(ID, customerId=CUSTOMER, challenge=challenge_text)))
    used = key()
    account, challenge = await client.create_account(CUSTOMER, "EUR", key=used)
    assert account.id == ID
    assert challenge == challenge_text
    (seen,) = server.calls("POST", path)
    assert json.loads(seen.body) == {"type": "card_account", "currencies": ["EUR"]}
    assert seen.header("idempotency-key") == used
    assert seen.header("content-type") == "application/json"


async def test_create_account_refusals(server, client, reply):
    path = f"/customers/{CUSTOMER}/accounts"
    with pytest.raises(PlatformRefused) as caught:
        await client.create_account(CUSTOMER, "EUR", key=key())
    assert caught.value.code == "customer_not_found"
    customer = {"id": CUSTOMER, "externalId": "x", "chainId": OWNER, "status": "initiating"}
    server.on("GET", f"/customers/{CUSTOMER}", reply(value=customer))
    server.on("POST", path, reply(400, {"message": "cannot"}))
    with pytest.raises(PlatformRefused) as caught:
        await client.create_account(CUSTOMER, "EUR", key=key())
    assert caught.value.code == "customer_not_active"
    assert "'initiating', expected 'active'" in caught.value.message
    server.on("GET", f"/customers/{CUSTOMER}", reply(value=customer | {"status": "active"}))
    server.on("POST", path, reply(400, {"code": "currency_unsupported", "message": "cannot"}))
    with pytest.raises(PlatformRefused) as caught:
        await client.create_account(CUSTOMER, "XXX", key=key())
    assert caught.value.code == "currency_unsupported"


@pytest.mark.parametrize(
    ("method", "verb", "suffix"),
    [("deactivate", "PATCH", "/deactivate"), ("reactivate", "PATCH", "/activate"), ("close", "DELETE", "")],
)
async def test_changes(server, client, reply, account_json, method, verb, suffix):
    path = ACCOUNT + suffix
    with pytest.raises(PlatformRefused) as caught:
        await getattr(client, method)(ID, key=key())
    assert caught.value.code == "account_not_found"
    for status in (200, 202):
        server.on(verb, path, reply(status, account_json(ID)))
        assert (await getattr(client, method)(ID, key=key())).id == ID
    for answer in (reply(204), reply(202)):
        server.on(verb, path, answer)
        assert await getattr(client, method)(ID, key=key()) is None
    server.on(verb, path, reply(500, {"message": "oh"}))
    with pytest.raises(UncertainAnswer, match="HTTP 500"):
        await getattr(client, method)(ID, key=key())
    assert len(server.calls(verb, path)) == 6


async def test_cards(server, client, reply):
    cards = [{"id": str(uuid.uuid4()), "status": "active", "last4": "1"}]
    server.on("GET", f"{ACCOUNT}/cards", reply(value=cards))
    assert [(card.id, card.status) for card in await client.cards(ID)] == [(cards[0]["id"], "active")]


# --- challenges ----------------------------------------------------------------------------------------------------


async def test_challenge_is_the_issued_text(server, client, reply):
    for text in ("NWRmMzU5ZjA=", "NWRmMzU5ZjA", "-_-_"):
        server.on("GET", f"{ACCOUNT}/challenge", reply(value={"challenge": text, "expiresAt": "later"}))
        assert await client.challenge(ID) == text


@pytest.mark.parametrize("status", [404, 409])
async def test_no_challenge_offered(server, client, reply, account_json, status):
    server.on("GET", ACCOUNT, reply(value=account_json(ID)))
    server.on("GET", f"{ACCOUNT}/challenge", reply(status, {"message": "none"}))
    assert await client.challenge(ID) is None


async def test_challenge_of_an_unknown_account(client):
    with pytest.raises(PlatformRefused) as caught:
        await client.challenge(ID)
    assert caught.value.code == "account_not_found"


@pytest.mark.parametrize(
    "value", [{"challenge": ""}, {"challenge": "a b"}, {"challenge": 5}, {}, {"challenge": "A" * 70_000}]
)
async def test_malformed_challenges(server, client, reply, value):
    server.on("GET", f"{ACCOUNT}/challenge", reply(value=value))
    with pytest.raises(MalformedAnswer, match="field challenge"):
        await client.challenge(ID)


async def test_submit(server, client, reply, account_json, submission):
    path = f"{ACCOUNT}/challenge/sign"
    for answer, expected in (
        (reply(200, account_json(ID)), ID),
        (reply(202, account_json(ID)), ID),
        (reply(204), None),
    ):
        server.on("POST", path, answer)
        account = await client.submit(ID, submission, key=key(), permit=nullcontext)
        assert (account.id if account else None) == expected
    sent = json.loads(server.calls("POST", path)[0].body)
    assert (sent["ownerId"], sent["chainId"]) == (OWNER, OWNER)
    assert sent["challenge"] == submission.challenge
    assert base64.b64decode(sent["signature"], validate=True) == b"0x" + submission.signature.hex().encode()


@pytest.mark.parametrize("field", ["ownerId", "chainId"])
async def test_the_signer_under_one_name_alone(server, settings, reply, submission, field):
    path = f"{ACCOUNT}/challenge/sign"
    server.on("POST", path, reply(204))
    async with PlatformClient(settings(signer_fields=field)) as client:
        await client.submit(ID, submission, key=key(), permit=nullcontext)
    assert set(json.loads(server.calls("POST", path)[0].body)) == {field, "challenge", "signature"}


async def test_submit_refused(server, client, reply, submission):
    path = f"{ACCOUNT}/challenge/sign"
    cases = [
        (reply(400, {"code": "invalid_signature", "message": "does not validate"}), "signature_refused"),
        (reply(422, {"code": "signature_invalid", "message": "no"}), "signature_refused"),
        (reply(400, {"code": "challenge_expired", "message": "expired"}), "challenge_expired"),
        (reply(422, {"message": "other payload"}), "idempotency_mismatch"),
        (reply(404, {}), "account_not_found"),
        (reply(400), "signature_refused"),
        (reply(400, {"message": "bad request"}), "signature_refused"),
        (reply(400, {"code": "challenge_mismatch"}), "signature_refused"),
        (reply(400, {"message": "ownerId: expected the customer's wallet"}), "platform_bad_request"),
        (reply(409), "challenge_already_signed"),
        (reply(409, {"message": "Challenge already signed"}), "challenge_already_signed"),
        (reply(409, {"message": "Conflict"}), "challenge_already_signed"),
        (reply(409, {"code": "invalid_state", "message": "invalid state transition"}), "invalid_state"),
        (reply(409, {"code": "operation_in_progress"}), "operation_in_progress"),
        (reply(409, {"code": "signature_invalid", "message": "no"}), "signature_refused"),
        (reply(400, {"message": "this challenge was used already"}), "challenge_already_signed"),
        (reply(409, {"code": "account_exists", "message": "already"}), "account_exists"),
        (reply(409, {"message": "the account is frozen"}), "platform_conflict"),
        (reply(404, {"message": "challenge expired"}), "challenge_expired"),
    ]
    for answer, code in cases:
        server.on("POST", path, answer)
        with pytest.raises(PlatformRefused) as caught:
            await client.submit(ID, submission, key=key(), permit=nullcontext)
        assert caught.value.code == code
    assert len(server.calls("POST", path)) == len(cases)
    assert not server.calls("GET", f"{ACCOUNT}/challenge"), "asking would end the challenge"


async def test_what_is_no_signature_is_never_sent(server, client, submission):
    for wrong in (b"", submission.signature[:64], submission.signature[:64] + b"\x00"):
        with pytest.raises(AssertionError):
            await client.submit(
                ID, Submission(submission.signer, submission.challenge, wrong), key=key(), permit=nullcontext
            )
    assert not server.seen


# --- idempotency ---------------------------------------------------------------------------------------------------


async def test_a_key_in_flight_is_repeated_with_the_same_key(server, client, reply):
    busy = reply(409, {"code": "idempotency_key_in_flight", "message": "in progress"}, headers={"retry-after": "0"})
    server.on("DELETE", ACCOUNT, busy, busy, reply(204))
    used = key()
    assert await client.close(ID, key=used) is None
    assert [one.header("idempotency-key") for one in server.calls("DELETE", ACCOUNT)] == [used] * 3


async def test_a_key_in_flight_for_too_long_is_uncertain(server, client, reply):
    server.on("DELETE", ACCOUNT, reply(409, {"message": "idempotency key in use"}, headers={"retry-after": "0"}))
    with pytest.raises(UncertainAnswer, match="SAME key") as caught:
        await client.close(ID, key=key())
    assert caught.value.code == "idempotency_in_flight"
    assert len(server.calls("DELETE", ACCOUNT)) == 6


async def test_another_409_is_refused_at_once(server, client, reply):
    server.on(
        "PATCH", f"{ACCOUNT}/activate", reply(409, {"code": "account_closed", "message": "the account is closed"})
    )
    with pytest.raises(PlatformRefused) as caught:
        await client.reactivate(ID, key=key())
    assert caught.value.code == "account_closed"
    assert len(server.calls("PATCH", f"{ACCOUNT}/activate")) == 1


async def test_409_of_a_submission_that_says_in_flight_is_repeated(server, client, reply, submission):
    path = f"{ACCOUNT}/challenge/sign"
    words = {"message": "the first request with this Idempotency-Key is in flight"}
    server.on("POST", path, reply(409, words, headers={"retry-after": "0"}), reply(204))
    assert await client.submit(ID, submission, key=key(), permit=nullcontext) is None
    assert len(server.calls("POST", path)) == 2


@pytest.mark.parametrize("body", [None, {"message": "conflict"}, {"message": "Invalid state transition"}])
async def test_409_of_a_change_is_an_invalid_transition(server, client, reply, body):
    calls = [
        ("DELETE", ACCOUNT, lambda: client.close(ID, key=key())),
        ("PATCH", f"{ACCOUNT}/deactivate", lambda: client.deactivate(ID, key=key())),
        ("PATCH", f"{ACCOUNT}/activate", lambda: client.reactivate(ID, key=key())),
    ]
    for method, path, call in calls:
        server.on(method, path, reply(409, body))
        with pytest.raises(PlatformRefused) as caught:
            await call()
        assert caught.value.code == "invalid_transition"
        assert len(server.calls(method, path)) == 1


@pytest.mark.parametrize("body", [None, {"message": "conflict"}, {"code": "injected", "message": "a fault"}])
async def test_409_of_a_creation_means_in_flight_whatever_its_words(server, client, reply, body):
    """The published file has no 409 there."""
    path, used = f"/customers/{CUSTOMER}/accounts", key()
    server.on("POST", path, reply(409, body, headers={"retry-after": "0"}))
    with pytest.raises(UncertainAnswer, match="SAME key") as caught:
        await client.create_account(CUSTOMER, "EUR", key=used)
    assert (caught.value.code, caught.value.disposition) == ("idempotency_in_flight", "retry")
    assert [one.header("idempotency-key") for one in server.calls("POST", path)] == [used] * 6


async def test_an_operation_in_progress_passes(server, client, reply):
    server.on("DELETE", ACCOUNT, reply(409, {"code": "operation_in_progress", "message": "wait"}))
    with pytest.raises(PlatformRefused) as caught:
        await client.close(ID, key=key())
    assert (caught.value.code, caught.value.disposition) == ("operation_in_progress", "retry")


async def test_422(server, client, reply):
    server.on("DELETE", ACCOUNT, reply(422, {"message": "same key, other payload"}))
    with pytest.raises(PlatformRefused) as caught:
        await client.close(ID, key=key())
    assert (caught.value.code, caught.value.status) == ("idempotency_mismatch", 422)


# --- reads ---------------------------------------------------------------------------------------------------------


async def test_reads_are_repeated_a_few_times(server, client, reply, account_json):
    server.on("GET", ACCOUNT, reply(503), reply(429, headers={"retry-after": "0"}), reply(value=account_json(ID)))
    assert (await client.account(ID)).id == ID
    server.on("GET", ACCOUNT, reply(503))
    with pytest.raises(PlatformUnreachable, match="HTTP 503"):
        await client.account(ID)
    assert len(server.calls("GET", ACCOUNT)) == 6


async def test_reads_are_not_repeated_where_the_setting_says_so(server, settings, reply):
    server.on("GET", ACCOUNT, reply(503))
    async with PlatformClient(settings(retry_reads=False)) as client:
        with pytest.raises(PlatformUnreachable):
            await client.account(ID)
    assert len(server.calls("GET", ACCOUNT)) == 1


async def test_a_long_retry_after_is_not_waited_for(server, client, reply):
    server.on("GET", ACCOUNT, reply(429, headers={"retry-after": "3600"}))
    with pytest.raises(PlatformRefused) as caught:
        await client.account(ID)
    assert caught.value.code == "platform_rate_limited"
    assert caught.value.disposition == "retry"


CUT = b'{"id": "4f4b3c1e-4c3a'


async def test_a_garbled_read_is_repeated(server, client, settings, reply, account_json):
    for garbled in (reply(raw=CUT), reply(raw=b"<html>", headers={"content-type": "text/html"})):
        server.on("GET", ACCOUNT, garbled, garbled, reply(value=account_json(ID)))
        assert (await client.account(ID)).id == ID
    before = len(server.calls("GET", ACCOUNT))
    server.on("GET", ACCOUNT, reply(raw=CUT))
    with pytest.raises(MalformedAnswer, match="is no JSON"):
        await client.account(ID)
    assert len(server.calls("GET", ACCOUNT)) == before + 3


async def test_a_garbled_answer_to_a_modifying_call_is_uncertain(server, client, reply, account_json, submission):
    calls = [
        ("DELETE", ACCOUNT, lambda: client.close(ID, key=key())),
        ("POST", f"{ACCOUNT}/challenge/sign", lambda: client.submit(ID, submission, key=key(), permit=nullcontext)),
        ("POST", f"/customers/{CUSTOMER}/accounts", lambda: client.create_account(CUSTOMER, "EUR", key=key())),
        ("PUT", "/webhooks", lambda: client.put_webhook("https://me.example/", ["x"], key=key())),
        ("PUT", "/auth/signing", lambda: client.upload_signing_key(ID, "pem", key=key())),
    ]
    for method, path, call in calls:
        for answer, words in (
            (reply(raw=CUT), "is no JSON"),
            (reply(raw=b" " * 2_000_000), "larger than"),
        ):
            server.on(method, path, answer)
            with pytest.raises(UncertainAnswer, match=f"{words}.*read back"):
                await call()
        assert len(server.calls(method, path)) == 2
    server.on("DELETE", ACCOUNT, reply(value=account_json(ID, createdAt="yesterday")))
    with pytest.raises(UncertainAnswer, match=r"field createdAt.*read back"):
        await client.close(ID, key=key())


@pytest.mark.parametrize("wallet", ["solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:7S3P4HxJ", f"eip155:1:0x{'aB' * 20}"])
async def test_a_wallet_that_cannot_be_taken_does_not_undo_what_was_done(
    server, client, reply, account_json, submission, wallet
):
    """Such an answer is about a request that the platform has taken. What is odd is found when it is read back."""
    calls = [
        ("DELETE", ACCOUNT, lambda: client.close(ID, key=key())),
        ("PATCH", f"{ACCOUNT}/deactivate", lambda: client.deactivate(ID, key=key())),
        ("POST", f"{ACCOUNT}/challenge/sign", lambda: client.submit(ID, submission, key=key(), permit=nullcontext)),
    ]
    odd = account_json(ID, customerId=CUSTOMER, chainId=wallet, challenge="YQ==")
    for method, path, call in calls:
        server.on(method, path, reply(value=odd))
        with pytest.raises(UnsupportedChain, match="field chainId"):
            (await call()).known_status()
        assert len(server.calls(method, path)) == 1
    server.on("POST", f"/customers/{CUSTOMER}/accounts", reply(201, odd))
    account, challenge = await client.create_account(CUSTOMER, "EUR", key=key())
    assert (account.id, account.wallet, challenge) == (ID, None, "YQ==")


async def test_a_read_s_answer_is_parsed_once(server, client, reply, account_json, monkeypatch):
    bodies = []
    read_json = answers.read_json
    monkeypatch.setattr(answers, "read_json", lambda body, **limits: bodies.append(body) or read_json(body, **limits))
    server.on("GET", ACCOUNT, reply(value=account_json(ID)))
    await client.account(ID)
    assert len([body for body in bodies if ID.encode() in body]) == 1


# --- lists ---------------------------------------------------------------------------------------------------------


async def test_lists(server, client, reply, account_json):
    ids = [str(uuid.uuid4()) for _ in range(3)]
    server.on("GET", "/accounts", reply(value=[account_json(one) for one in ids]))
    assert [one.id for one in await client.accounts()] == ids
    server.on("GET", f"/customers/{CUSTOMER}/accounts", reply(value=[account_json(ids[0], customerId=CUSTOMER)]))
    assert [one.id for one in await client.customer_accounts(CUSTOMER)] == ids[:1]
    server.on("GET", "/accounts", reply(value=[account_json(ids[0]), account_json(ids[0])]))
    with pytest.raises(MalformedAnswer, match=r"\[1\]\.id.*twice"):
        await client.accounts()
    server.on("GET", "/accounts", reply(value={"data": []}))
    with pytest.raises(MalformedAnswer, match="expected a JSON array, got an object"):
        await client.accounts()


async def test_customer_accounts_of_an_unknown_customer(client):
    with pytest.raises(PlatformRefused) as caught:
        await client.customer_accounts(CUSTOMER)
    assert caught.value.code == "customer_not_found"


STRANGE = [
    ({"status": "frozen"}, "frozen", (r"field status: expected one of initiating, .* got 'frozen'",)),
    ({"status": None}, "unknown", ("field status: expected one of .* got null",)),
    ({"status": {"a": 1}}, "unknown", ("field status: .* got an object",)),
    ({"type": "savings"}, "active", ("field type: expected card_account, got 'savings'",)),
    ({"currencies": ["euro"]}, "active", ("field currencies: .* ISO-4217",)),
    ({"chainId": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:7S3P4"}, "active", ("field chainId: .*'solana'",)),
    ({"status": "a\u202eb" * 99, "type": 7}, None, ("field status", "field type: .* got a number")),
]


@pytest.mark.parametrize(("fields", "status", "odd"), STRANGE)
async def test_a_strange_account_does_not_make_a_list_unreadable(
    server, client, reply, account_json, fields, status, odd
):
    others = [account_json(str(uuid.uuid4()), status="active") for _ in range(2)]
    strange = account_json(ID, **({"status": "active"} | fields))
    server.on("GET", "/accounts", reply(value=[others[0], strange, others[1]]))
    server.on("GET", ACCOUNT, reply(value=strange))
    found = await client.accounts()
    assert [one.id for one in found] == [others[0]["id"], ID, others[1]["id"]]
    assert [one.odd for one in found[::2]] == [(), ()]
    assert len(found[1].odd) == len(odd)
    for said, words in zip(found[1].odd, odd, strict=True):
        assert re.match(words, said)
        assert said.isprintable()
    assert status is None or found[1].status == status
    assert await client.account(ID) == found[1]
    with pytest.raises((MalformedAnswer, UnsupportedChain), match="nothing is done with it"):
        found[1].known_status()


@pytest.mark.parametrize("currencies", [{"currencies": None}, {"currencies": []}, {}])
async def test_an_account_without_currencies_is_like_any_other(server, client, reply, account_json, currencies):
    account = account_json(ID, status="active")
    del account["currencies"]
    server.on("GET", "/accounts", reply(value=[account | currencies]))
    (found,) = await client.accounts()
    assert (found.currencies, found.odd, found.known_status()) == ((), (), AccountStatus.ACTIVE)


@pytest.mark.parametrize("value", [{"data": []}, {"accounts": [], "nextCursor": "x"}, {}, None, "accounts", 7])
async def test_a_list_that_is_no_array_is_refused_by_name(server, client, reply, value):
    kind = "an object" if isinstance(value, dict) else "another value"
    body = json.dumps(value).encode()
    for path, call in (
        ("/accounts", client.accounts),
        (f"/customers/{CUSTOMER}/accounts", lambda: client.customer_accounts(CUSTOMER)),
        (f"{ACCOUNT}/cards", lambda: client.cards(ID)),
        ("/webhooks", client.webhooks),
    ):
        server.on("GET", path, reply(raw=body))
        with pytest.raises(MalformedAnswer, match=rf"GET /v1{path} .*expected a JSON array, got {kind}"):
            await call()


# --- customers, webhooks, keys -------------------------------------------------------------------------------------


async def test_a_customer_on_another_chain_is_refused_by_namespace(server, client, reply):
    value = {"id": CUSTOMER, "chainId": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:7S3P4", "status": "active"}
    server.on("GET", f"/customers/{CUSTOMER}", reply(value=value))
    with pytest.raises(UnsupportedChain, match="solana"):
        await client.customer(CUSTOMER)


async def test_webhooks(server, client, reply):
    one = {"id": ID, "callbackUrl": "https://me.example/webhooks/unguessable", "types": ["account.updated"]}
    server.on("PUT", "/webhooks", reply(200, one))
    made = await client.put_webhook(one["callbackUrl"], one["types"], key=key())
    assert made.callback_url == one["callbackUrl"]
    assert "unguessable" not in repr(made)
    await client.put_webhook(one["callbackUrl"], one["types"], webhook_id=ID, key=key())
    first, second = (json.loads(seen.body) for seen in server.calls("PUT", "/webhooks"))
    assert "id" not in first
    assert second["id"] == ID
    server.on("GET", "/webhooks", reply(value=[one]))
    assert [hook.id for hook in await client.webhooks()] == [ID]
    server.on("GET", f"/webhooks/{ID}", reply(value=one))
    assert (await client.webhook(ID)).types == ("account.updated",)
    server.on("DELETE", f"/webhooks/{ID}", reply(204))
    await client.delete_webhook(ID, key=key())
    with pytest.raises(PlatformRefused) as caught:
        await client.webhook(CUSTOMER)
    assert caught.value.code == "webhook_not_found"


async def test_the_first_signing_key_is_uploaded_unsigned_and_a_later_one_is_signed(
    server, settings, signing_keys, reply, account_json
):
    server.on("PUT", "/auth/signing", reply(204))
    server.on("DELETE", "/auth/signing", reply(204))
    server.on("DELETE", "/auth/credentials", reply(204))
    server.on("GET", ACCOUNT, reply(value=account_json(ID)))
    async with PlatformClient(settings(signing_key_id="")) as client:
        assert await client.upload_signing_key(ID, signing_keys.public_pem, key=key()) == ID
    async with PlatformClient(settings(signing_key_id=ID)) as client:
        await client.account(ID)
        await client.upload_signing_key(CUSTOMER, signing_keys.public_pem, key=key())
        await client.remove_signing_key(ID, key=key())
        await client.revoke_credentials(key=key())
    first, later = server.calls("PUT", "/auth/signing")
    assert first.header("signature") is None
    assert later.header("signature") is not None
    pem = base64.b64encode(signing_keys.public_pem.encode()).decode()
    assert json.loads(first.body) == {"signingKeyId": ID, "signingKey": pem}
    assert f'keyid="{ID}"' in server.calls("GET", ACCOUNT)[0].header("signature-input")
    assert json.loads(server.calls("DELETE", "/auth/signing")[0].body) == {"signingKeyId": ID}
    (revoked,) = server.calls("DELETE", "/auth/credentials")
    assert json.loads(revoked.body) == {"apiKey": settings().api_key}


@pytest.mark.parametrize(
    ("answer", "key_id"),
    [
        ({"signingKeyId": CUSTOMER, "keyId": "other"}, CUSTOMER),
        ({"keyId": "k-7"}, "k-7"),
        ({"id": CUSTOMER}, CUSTOMER),
        ({}, ID),
        ([CUSTOMER], ID),
        ({"keyId": 7}, ID),
        ({"keyId": "line\nbreak"}, ID),
        ({"keyId": "x" * 501}, ID),
    ],
)
async def test_an_id_in_the_answer_to_an_upload_is_taken_where_it_is_one(server, client, reply, answer, key_id):
    server.on("PUT", "/auth/signing", reply(value=answer))
    assert await client.upload_signing_key(ID, "pem", key=key()) == key_id


@pytest.mark.parametrize("status", [200, 401, 403, 500])
async def test_a_key_is_tried_with_a_read_that_it_signs_alone(server, client, reply, status):
    class Tried:
        key_id = CUSTOMER

        def sign(self, data):
            return bytes(96)

    signature = {"code": "signature_invalid", "message": "the signature does not hold"}
    server.on("GET", "/webhooks", reply(status, [] if status == 200 else signature))
    if status in (200, 401):
        assert await client.accepts_signing_key(Tried()) is (status == 200)
    else:
        with pytest.raises(PlatformError):
            await client.accepts_signing_key(Tried())
    assert {f'keyid="{CUSTOMER}"' in one.header("signature-input") for one in server.calls("GET", "/webhooks")} == {
        True
    }
    server.on("GET", "/webhooks", reply(value=[]))
    await client.webhooks()
    assert f'keyid="{CUSTOMER}"' not in server.calls("GET", "/webhooks")[-1].header("signature-input")


@pytest.mark.parametrize("wrong", ["", "../accounts", "x" * 36])
async def test_identifiers_are_checked_before_anything_is_sent(server, client, wrong):
    for method in ("account", "challenge", "cards", "customer", "customer_accounts", "webhook"):
        with pytest.raises(Exception, match="expected a UUID"):
            await getattr(client, method)(wrong)
    with pytest.raises(Exception, match="idempotency key"):
        await client.close(ID, key=wrong)
    assert not server.calls("DELETE", ACCOUNT)
