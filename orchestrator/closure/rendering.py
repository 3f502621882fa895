"""A verified certificate as one self-contained HTML page: no script, no link, nothing loaded. Pure.

The page says at a glance what was proven, by what, relative to which block, and resting on what. Every word that
comes out of the certificate is hostile: it is escaped, and control and bidirectional characters are replaced. What did
not pass the verifier is not shown at all.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from orchestrator.closure.page_style import STYLE
from orchestrator.closure.report import CertificateReport
from orchestrator.shown import shown

MOST: Final = 200
"""Entries of a list that a page shows; how many more there are is said."""
_WORDS: Final = {"pass": "pass", "fail": "FAIL", "skipped": "skipped"}


def headline(report: CertificateReport) -> tuple[str, str, str]:
    """How a report is announced: its tone (``good``, ``bad``, ``open``), one or two words, and a sentence.

    Plain text, not escaped.
    """
    where = f"the contract {report.address} on {report.chain_id}"
    if report.canonical is False:
        return (
            "bad",
            "REVOKED",
            f"The block that this certificate rests on is not in the chain. {_capital(report.detail)}",
        )
    if not report.valid:
        return "bad", "INVALID", f"Nothing in this file may be relied on. {_capital(report.detail)}"
    if report.verdict == "irreversible":
        return (
            "good",
            "IRREVERSIBLE",
            f"From the proven block on, no call, by anyone, ever, changes the storage of {where} or makes it act.",
        )
    return "open", "STATE PROVEN", f"The state of {where} is proven, and not that it can never change. {report.detail}"


def render_html(report: CertificateReport, sha256: str) -> str:
    """The page. ``sha256`` is the file's, in hex."""
    tone, word, sentence = headline(report)
    document = report.document if report.valid else None
    sections = [_glance(report, document)]
    if document is not None:
        sections += [
            _rests_on(document["restsOn"]),
            _residue(document["residue"]),
            _account(document),
            _evidence(document),
        ]
    sections += [_checks(report), _footer(document, sha256)]
    title = f"Closure certificate: {word.lower()}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{_text(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<header class="banner {tone}">\n<p class="kind">Closure certificate</p>\n'
        f"<h1>{_text(word)}</h1>\n<p>{_text(sentence)}</p>\n</header>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main>\n</body>\n</html>\n"
    )


# --- sections ------------------------------------------------------------------------------------------------------


def _glance(report: CertificateReport, document: Mapping[str, Any] | None) -> str:
    if document is None and report.canonical is False:
        rows = [("Why", report.detail), ("What to do", "Ask for a new certificate, and why a final block was replaced")]
        return _section("At a glance", _pairs(rows))
    if document is None:
        return _section("At a glance", _pairs([("Why", report.detail), ("What to do", "Ask for the file as issued")]))
    block = document["block"]
    rows = [
        ("What was proven", _claim(report)),
        ("Contract", f"{document['address']} on {document['chainId']}"),
        ("By what", means(report, document)),
        ("Relative to", f"block {block['number']} of {_moment(document)}, hash {block['hash']}"),
        ("Canonical", canonical_words(report)),
        ("Resting on", "; ".join(item.split(":", 1)[0] for item in document["restsOn"]) + " (below, in full)"),
        ("Signed by", signer_words(report)),
    ]
    return _section("At a glance", _pairs(rows))


def _claim(report: CertificateReport) -> str:
    if report.verdict == "irreversible":
        return f"Irreversible: {report.detail}"
    if report.version == 1:
        return "State and code of the wallet at the block; whether it can act again was not analysed"
    return f"State and code of the contract at the block: {report.detail}"


def means(report: CertificateReport, document: Mapping[str, Any]) -> str:
    """What a valid certificate's claim was proven by."""
    size = len(document["code"]) // 2 - 1
    proofs = f"Merkle proofs of the account, its {len(document['slots'])} storage slots and its {size} bytes of code"
    if report.version == 1:
        return f"{proofs}, verified again for this page"
    targets = document["targets"]
    more = f" and the code of {len(targets)} contracts that it continues in" if targets else ""
    counts = document["analysis"]
    return (
        f"{proofs}{more}; then every path of that code executed from the proven state "
        f"({counts['states']} states, {counts['steps']} steps). Both were run again for this page"
    )


def canonical_words(report: CertificateReport) -> str:
    """Whether the block is canonical, and who said so."""
    told = {
        True: "yes: a node that was asked has this block",
        False: "NO: a node that was asked has another block",
        None: "not known: no node that was asked could tell"
        if any(check.name == "canonical" for check in report.checks)
        else "not known: this was checked offline (--rpc-url asks a node)",
    }
    return told[report.canonical]


def signer_words(report: CertificateReport) -> str:
    """Who signed, and how far that is to be trusted."""
    if report.signer is None:
        return "nobody: unsigned, so anyone could have written it (the proof does not depend on who)"
    demanded = any(check.name == "signer" and check.result == "pass" for check in report.checks)
    return f"{report.signer} ({'as demanded' if demanded else 'known, not trusted: --signer demands one'})"


def _checks(report: CertificateReport) -> str:
    rows = (
        (f'<td class="{check.result}">{_WORDS[check.result]}</td>', check.name.replace("_", " "), check.detail)
        for check in report.checks
    )
    body = "".join(
        f'<tr>{result}<th scope="row">{_text(name)}</th><td>{_text(detail)}</td></tr>\n'
        for result, name, detail in rows
    )
    return _section(
        "Checks", _table("Every check, as it was run for this page", ("Result", "Check", "What was seen"), body)
    )


def _account(document: Mapping[str, Any]) -> str:
    account = document.get("account") or (document if "deployment" in document else None)
    if account is None:
        return _section(
            "Account", "<p>Not applicable: this is about a contract, not about an account of a platform.</p>"
        )
    deployment, closing, platform = account["deployment"], account["closing"], account["platform"]
    rows = [
        ("Account", platform["accountId"]),
        ("Customer", platform["customerId"]),
        ("Owner", deployment["owner"]),
        ("Platform's record", f"{platform['status']}, last changed {platform['updatedAt']} (as reported)"),
        ("Wallet contract", account.get("contract", {}).get("name", "SmartWallet")),
        ("Factory", deployment["factory"]),
        ("Operator", deployment["operator"]),
        ("Escrow", deployment["escrow"]),
        ("Entry point", deployment["entryPoint"]),
        ("Deployed", f"block {deployment['block']['number']}, transaction {deployment['transaction']}"),
        ("Closed", f"block {closing['block']['number']}, transaction {closing['transaction']}"),
    ]
    return _section("Account", _pairs(rows))


def _evidence(document: Mapping[str, Any]) -> str:
    proof, header = document["accountProof"], document["header"]
    rows = [
        ("State root", header["stateRoot"]),
        ("Code", f"{len(document['code']) // 2 - 1} bytes, hash {proof['codeHash']}"),
        ("Balance", f"{int(proof['balance'], 16)} wei"),
        ("Nonce", str(int(proof["nonce"], 16))),
    ]
    rows += [
        ("Continues in", f"{target['address']}: {len(target['code']) // 2 - 1} bytes of code")
        for target in document.get("targets", ())[:MOST]
    ]
    slots = document["slots"]
    body = "".join(
        f"<tr><td><code>{_text(_short(slot['slot']))}</code></td>"
        f"<td><code>{_text(_short(slot['value']))}</code></td></tr>\n"
        for slot in slots[:MOST]
    )
    table = _table("Storage that the proof rests on", ("Slot", "Value"), body) + _more(len(slots)) if slots else ""
    return _section("Evidence", _pairs(rows) + table)


def _residue(items: Any) -> str:
    if not items:
        return _section("Left behind", "<p>Nothing is listed.</p>")
    rows = "".join(
        f'<tr><th scope="row">{_text(item["kind"].replace("_", " "))}</th><td>{_text(item["detail"])}</td></tr>\n'
        for item in items[:MOST]
    )
    note = "<p>What closing left, or cannot prevent. It stands beside the verdict and is no part of it.</p>\n"
    table = _table("Residue", ("Kind", "Detail"), rows)
    return _section("Left behind", note + table + _more(len(items)))


def _rests_on(items: Iterable[str]) -> str:
    rows = "".join(f"<li>{_text(item)}</li>\n" for item in items)
    return _section("What this rests on", f"<ol>\n{rows}</ol>")


def _footer(document: Mapping[str, Any] | None, sha256: str) -> str:
    made = ""
    if document is not None:
        tool = document["tool"]
        made = f"Issued {document['issuedAt']} by {tool['name']} {tool['version']}, version {document['version']}. "
    again = "orchestrator certificate verify FILE --rpc-url URL --signer ADDRESS"
    return (
        f"<footer>\n<p>{_text(made)}SHA-256 of the file: <code>{_text(sha256)}</code>. The JSON file is the "
        f"certificate; this page only shows it. Check the file yourself:</p>\n<pre>{_text(again)}</pre>\n</footer>"
    )


# --- pieces --------------------------------------------------------------------------------------------------------


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{_text(title)}</h2>\n{body}\n</section>"


def _table(caption: str, names: Iterable[str], body: str) -> str:
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in names)
    return (
        f"<table>\n<caption>{_text(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}</tbody>\n</table>\n"
    )


def _pairs(rows: Iterable[tuple[str, str]]) -> str:
    return "<dl>\n" + "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>\n" for name, value in rows) + "</dl>\n"


def _more(count: int) -> str:
    return f"<p>And {count - MOST} more, in the file.</p>" if count > MOST else ""


def _moment(document: Mapping[str, Any]) -> str:
    seconds = int(document["header"]["timestamp"], 16)
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"second {seconds}"


def _short(word: str) -> str:
    """A 32-byte word without its leading zeros."""
    return hex(int(word, 16))


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _text(value: str) -> str:
    return html.escape(shown(str(value)), quote=True)
