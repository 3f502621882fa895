"""Hostile messages: challenges of the right kind that do not fit the account, the operation, the policy or the grammar."""

# ruff: noqa: E501 (tables: a case a line)

from __future__ import annotations

from tests.challenge.vector_parts import (
    ACCOUNT,
    ADDRESS,
    ANOTHER,
    EXPIRES,
    FULL,
    HOST,
    MESSAGE,
    OPAQUE,
    OTHER,
    STARTS,
    STRICT,
    UUID,
    WALLET,
    Case,
    changed,
    lines,
    raw,
    text,
)


def context() -> list[Case]:
    rule = "kind"
    later = "2024-01-12T16:09:59+00:00"
    deletion = {"operation": "deletion", "fetchedFor": [ACCOUNT, "deletion"]}
    return [
        text("text", "opaque, which this policy does not allow", rule, "Please sign"),
        raw("bytes", "opaque, which this policy does not allow", rule, b"\xff\xfe\xfd"),
        text("two UUIDs", "opaque", rule, f"{UUID}\n{ANOTHER}"),
        text("text, too long", "opaque, longer than this policy allows", rule, "x" * 17, rules={**OPAQUE, "opaque_max_bytes": 16}),
        text("UUID where none is allowed", "the policy's kinds", rule, UUID, rules={"kinds": ["eip4361"]}),
        lines("message where none is allowed", "the policy's kinds", rule, FULL, rules={"kinds": ["uuid"]}),
        text("nothing allowed", "a policy with no kind", rule, UUID, rules={"kinds": []}),
        text("fetched long ago", "the platform's challenges live an hour", "fetched", UUID, now=later, fetchedAt="2024-01-12T15:09:58+00:00"),
        text("fetched longer ago than the policy allows", "its max_age", "fetched", UUID, rules={**STRICT, "max_age": 1}),
        text("fetched in the future", "a clock is wrong", "fetched", UUID, fetchedAt="2024-01-12T15:11:01+00:00"),
        text("another account's", "fetched for it first", "foreign", UUID, fetchedFor=[ANOTHER, "creation"]),
        text("of another operation", "a creation challenge does not close", "foreign", UUID, **{**deletion, "fetchedFor": [ACCOUNT, "creation"]}),
        text("a deletion's", "does not create", "foreign", UUID, fetchedFor=[ACCOUNT, "deletion"]),
        text("never fetched", "it came from elsewhere", "foreign", UUID, fetchedFor=None),
        lines("a message for another account", "fetched for it first", "foreign", FULL, fetchedFor=[ANOTHER, "creation"]),
        text("signed before", "a replay", "signed_before", UUID, signedFor=[ACCOUNT, "creation"]),
        text("signed before for another account", "a replay", "signed_before", UUID, signedFor=[ANOTHER, "creation"]),
        text("resumed, and never intended", "nothing to resume", "signed_before", UUID, resuming=True),
        text("resumed for another account", "not this one's intent", "signed_before", UUID, resuming=True, signedFor=[ANOTHER, "creation"]),
        text("resumed for another operation", "not this one's intent", "signed_before", UUID, resuming=True, signedFor=[ACCOUNT, "deletion"]),
        text("on another chain", "not on the policy's list", "chain", UUID, rules={**STRICT, "chains": ["eip155:1", "eip155:300"]}),
        text("key bound to no wallet", "the policy requires a binding", "binding", UUID, wallets=[]),
        text("key bound to another wallet", "another customer's key", "binding", UUID, wallets=[f"eip155:31337:{OTHER}"]),
        text("key bound on another chain", "the same address elsewhere", "binding", UUID, wallets=[f"eip155:1:{ADDRESS}"]),
        text("key in use for another wallet", "first_use is over", "binding", UUID, wallets=[f"eip155:1:{ADDRESS}"], binding="first_use"),
    ]  # fmt: skip


def names() -> list[Case]:
    domain, uri, scheme, resources = "eip4361.domain", "eip4361.uri", "eip4361.scheme", "eip4361.resources"
    first = f"{HOST} wants"
    at = f"https://{HOST}/v1"
    resource = f"- https://{HOST}/terms"
    host_only = {"domains": [HOST]}
    return [
        changed("domain of another", "a phisher's", domain, first, "evil.example wants"),
        changed("domain below another", "the platform's name as a subdomain", domain, first, f"{HOST}.evil.example wants"),
        changed("domain above", "a parent domain", domain, first, "offblocks.xyz wants"),
        changed("domain below", "a subdomain", domain, first, f"a.{HOST} wants"),
        changed("domain with a prefix", "another registration", domain, first, f"my{HOST} wants"),
        changed("domain with a port", "another service", domain, first, f"{HOST}:444 wants"),
        changed("domain with the default port", "compared whole", domain, first, f"{HOST}:443 wants"),
        changed("domain with an empty port", "compared whole", domain, first, f"{HOST}: wants"),
        changed("domain with a port in zeros", "compared whole", domain, first, "127.0.0.1:08080 wants"),
        changed("domain with user information", "the host is another", domain, first, f"{HOST}@evil.example wants"),
        changed("domain with a user", "the host is the platform's", domain, first, f"me@{HOST} wants"),
        changed("domain in upper case", "compared whole", domain, first, f"API{HOST[3:]} wants"),
        changed("domain with a dot at its end", "the same host in another text", domain, first, f"{HOST}. wants"),
        changed("domain with percent signs", "the same host in another text", domain, first, f"%61pi{HOST[3:]} wants"),
        changed("domain in Punycode", "Cyrillic letters", domain, first, "xn--pi-7kc.sandbox.offblocks.xyz wants"),
        changed("domain in Cyrillic", "homoglyphs are no ASCII", "eip4361.encoding", first, f"\u0430pi{HOST[3:]} wants"),
        changed("domain in full width", "homoglyphs are no ASCII", "eip4361.encoding", first, f"\uff41pi{HOST[3:]} wants"),
        changed("domain as a number", "an address in decimal", domain, first, "2130706433:8080 wants"),
        changed("domain with a path", "not an authority", domain, first, f"{HOST}/x wants"),
        changed("domain empty", "not an authority", domain, first, " wants"),
        changed("domain with a space", "not an authority", domain, first, f" {HOST} wants"),
        lines("domain not of the policy", "the document's domains replace the settings'", domain, FULL, rules={**STRICT, "domains": ["api.offblocks.xyz"]}),
        lines("no domain allowed", "nothing to compare with", domain, FULL, domains=[]),
        changed("URI of another", "a phisher's", uri, at, "https://evil.example/v1"),
        changed("URI with the domain in its path", "the host is another", uri, at, f"https://evil.example/{HOST}"),
        changed("URI with user information", "the host is another", uri, at, f"https://{HOST}@evil.example/v1"),
        changed("URI with a password", "compared whole", uri, at, f"https://a:b@{HOST}/v1"),
        changed("URI without TLS", "http is for loopback only", uri, at, f"http://{HOST}/v1"),
        changed("URI with a port", "another service", uri, at, f"https://{HOST}:8443/v1"),
        changed("URI in upper case", "compared whole", uri, at, f"https://{HOST.upper()}/v1"),
        changed("URI as a URN", "no host", uri, at, f"urn:{HOST}"),
        changed("URI with a script", "no host", uri, at, "javascript:alert(1)"),
        changed("URI of a file", "another scheme", uri, at, f"file://{HOST}/etc/passwd"),
        changed("URI over a websocket", "another scheme", uri, at, f"wss://{HOST}/v1"),
        changed("URI relative", "no scheme", uri, at, f"//{HOST}/v1"),
        changed("URI with a backslash", "no character of a URI", uri, at, f"https://evil.example\\@{HOST}"),
        changed("URI on loopback", "not allowed here", uri, at, "http://127.0.0.1:8080/v1", **host_only),
        changed("scheme without TLS", "not the URI's", scheme, first, f"http://{first}"),
        changed("scheme of another kind", "not the URI's", scheme, first, f"ftp://{first}"),
        changed("scheme in upper case", "not the URI's text", scheme, first, f"HTTPS://{first}"),
        changed("resource of another", "rights elsewhere", resources, resource, "- https://evil.example/"),
        changed("resource with a delegation", "EIP-5573: hands rights over", resources, resource, "- urn:recap:eyJhdHQiOnt9fQ"),
        changed("resource on IPFS", "not the platform's", resources, resource, "- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6u/"),
        lines("second resource of another", "each is looked at", resources, [*FULL, "- https://evil.example/"]),
        lines("resources where none are allowed", "the policy", resources, FULL, rules={**STRICT, "resources": "none"}),
        lines("empty resources where none are allowed", "the policy", resources, [*MESSAGE, "Resources:"], rules={**STRICT, "resources": "none"}),
    ]  # fmt: skip


def statements() -> list[Case]:
    rule, honest = "eip4361.statement", "I accept the terms"
    only = {"rules": {**STRICT, "statements": [honest, "I open an account"]}}
    transfer = f"I transfer all assets of this wallet to {OTHER}"
    silent = [*FULL[:2], "", "", *FULL[5:]]
    return [
        changed("transfer of assets", "under the platform's domain, with everything else in order", rule, honest, transfer, **only),
        changed("one of the policy's, and more", "compared whole", rule, honest, f"{honest}. {transfer}", **only),
        changed("one of the policy's, and less", "compared whole", rule, honest, "I accept", **only),
        changed("one of the policy's after a space", "compared whole", rule, honest, f" {honest}", **only),
        changed("one of the policy's with a space", "compared whole", rule, honest, f"{honest} ", **only),
        changed("in other letters", "compared whole", rule, honest, honest.upper(), **only),
        changed("two of the policy's", "not one of them", rule, honest, f"{honest} I open an account", **only),
        lines("none", "the policy names what must stand there", rule, silent, **only),
        lines("any where the policy wants none", "the empty text", rule, FULL, rules={**STRICT, "statements": [""]}),
        changed("one as a pattern", "no wildcards", rule, honest, transfer, rules={**STRICT, "statements": ["*", ".*", "I *"]}),
    ]  # fmt: skip


def fields() -> list[Case]:
    chain_id, address, nonce, issued = "eip4361.chain_id", "eip4361.address", "eip4361.nonce", "eip4361.issued_at"
    expires, starts = "eip4361.expiration_time", "eip4361.not_before"
    issued_at = "Issued At: 2024-01-12T15:07:17.358440283Z"
    required = {**STRICT, "expiration": "required"}
    return [
        changed("address of another", "another account's message", address, ADDRESS, OTHER),
        changed("address in lower case", "no checksum", address, ADDRESS, ADDRESS.lower()),
        changed("address in upper case", "no checksum", address, ADDRESS, "0x" + ADDRESS[2:].upper()),
        changed("address with a wrong checksum", "mistyped", address, ADDRESS, ADDRESS[:-1] + "D"),
        changed("address as CAIP-10", "not the grammar", address, ADDRESS, WALLET),
        changed("address as a name", "ENS is no address", address, ADDRESS, "alice.eth"),
        changed("address with a space", "not the grammar", address, ADDRESS, ADDRESS + " "),
        changed("chain of mainnet", "valid there", chain_id, "Chain ID: 31337", "Chain ID: 1"),
        changed("chain 0", "no chain", chain_id, "Chain ID: 31337", "Chain ID: 0"),
        changed("chain with zeros", "the same number in another text", chain_id, "Chain ID: 31337", "Chain ID: 031337"),
        changed("chain in hexadecimal", "the same number in another text", chain_id, "Chain ID: 31337", "Chain ID: 0x7a69"),
        changed("chain negative", "no number", chain_id, "Chain ID: 31337", "Chain ID: -1"),
        changed("chain by name", "CAIP-2", chain_id, "Chain ID: 31337", "Chain ID: eip155:31337"),
        changed("chain with a plus", "the same number in another text", chain_id, "Chain ID: 31337", "Chain ID: +31337"),
        changed("nonce too short", "EIP-4361: at least 8", nonce, "Nonce: 32891756", "Nonce: 1234567"),
        changed("nonce empty", "EIP-4361: at least 8", nonce, "Nonce: 32891756", "Nonce: "),
        changed("nonce with a sign", "letters and digits", nonce, "Nonce: 32891756", "Nonce: 3289-1756"),
        changed("nonce too long", "room for another message", nonce, "Nonce: 32891756", "Nonce: " + "a" * 129),
        changed("version 2", "another grammar", "eip4361.version", "Version: 1", "Version: 2"),
        changed("version 1.0", "another text", "eip4361.version", "Version: 1", "Version: 1.0"),
        changed("issued too early", "older than max_age", issued, issued_at, "Issued At: 2024-01-12T14:09:59Z"),
        changed("issued years ago", "a replay", issued, issued_at, "Issued At: 2014-01-12T15:07:17Z"),
        changed("issued in the future", "after it was fetched", issued, issued_at, "Issued At: 2024-01-12T15:11:00Z"),
        changed("issued years ahead", "lives for ever", issued, issued_at, "Issued At: 2034-01-12T15:07:17Z"),
        changed("issued in another zone", "an hour older than it reads", issued, issued_at, "Issued At: 2024-01-12T15:07:17+01:00"),
        changed("issued without a zone", "which time is it", issued, issued_at, "Issued At: 2024-01-12T15:07:17"),
        changed("issued on no day", "30 February", issued, issued_at, "Issued At: 2024-02-30T15:07:17Z"),
        changed("issued as a number", "not RFC 3339", issued, issued_at, "Issued At: 1705072037"),
        changed("expired", "it says so", expires, EXPIRES, "Expiration Time: 2024-01-12T15:10:00Z"),
        changed("expired before it was issued", "makes no sense", expires, EXPIRES, "Expiration Time: 2024-01-12T15:07:17Z"),
        changed("expired by its zone", "an hour earlier than it reads", expires, EXPIRES, "Expiration Time: 2024-01-12T16:07:17+01:00"),
        lines("no expiration where one is required", "the policy", expires, MESSAGE, rules=required),
        changed("expiration nonsense", "no date", expires, EXPIRES, "Expiration Time: never"),
        changed("not yet valid", "it says so", starts, STARTS, "Not Before: 2024-01-12T15:11:01Z"),
        changed("valid after its end", "makes no sense", starts, STARTS, "Not Before: 2024-01-12T16:07:18Z"),
        changed("request id with spaces", "not the grammar", "eip4361.request_id", "Request ID: 5df359f0", "Request ID: a b"),
        changed("statement of two lines", "a field may hide in the second", "eip4361.layout", "I accept the terms", "I accept\nthe terms"),
        changed("statement with other letters", "no ASCII", "eip4361.encoding", "I accept the terms", "J'acc\u00e8pte"),
        changed("statement with an angle bracket", "not the grammar", "eip4361.statement", "I accept the terms", "<script>"),
        changed("URI twice", "which one counts", "eip4361.version", "Version: 1", f"URI: https://{HOST}\nVersion: 1"),
        changed("chain twice", "which one counts", nonce, "Nonce: 32891756", "Chain ID: 1\nNonce: 32891756"),
        changed("fields in another order", "not the grammar", "eip4361.layout", f"{EXPIRES}\n{STARTS}", f"{STARTS}\n{EXPIRES}"),
        changed("field without a space", "not the grammar", "eip4361.version", "Version: 1", "Version:1"),
        changed("field unknown", "not the grammar", "eip4361.layout", "Request ID: 5df359f0", "Amount: 1000000"),
        lines("text after the end", "not the grammar", "eip4361.layout", [*FULL, "", "And pay 1 ETH"]),
        lines("line feed at the end", "not the grammar", "eip4361.layout", [*MESSAGE, ""]),
        lines("no address", "not the grammar", "eip4361.address", [MESSAGE[0], *MESSAGE[2:]]),
        lines("no empty line", "not the grammar", "eip4361.layout", [*MESSAGE[:2], *MESSAGE[3:]]),
        lines("first line alone", "not the grammar", "eip4361.address", MESSAGE[:1]),
        lines("no issued at", "not the grammar", issued, MESSAGE[:-1]),
    ]  # fmt: skip
