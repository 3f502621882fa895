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

from orchestrator.closure.certificate.report import CertificateReport
from orchestrator.foreign import shown

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
        f"<title>{_text(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n"
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
    words = {
        True: "yes: a node that was asked has this block",
        False: "NO: a node that was asked has another block",
        None: "not known: no node that was asked could tell"
        if any(check.name == "canonical" for check in report.checks)
        else "not known: this was checked offline (--rpc-url asks a node)",
    }
    return words[report.canonical]


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
    if "profile" in account:
        return _section("Account", _pairs(_by_profile(account)))
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


def _by_profile(account: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The account section of a wallet that a profile describes."""
    platform, profile = account["platform"], account["profile"]
    places = [(name, account[section]) for name, section in (("Deployed", "deployment"), ("Closed", "closing"))]
    return [
        ("Account", platform["accountId"]),
        ("Customer", platform["customerId"]),
        ("Customer's wallet", platform["owner"]),
        ("Platform's record", f"{platform['status']}, last changed {platform['updatedAt']} (as reported)"),
        ("Wallet profile", f"{profile['name']}: {profile['title']} ({profile['sha256']})"),
        ("Factory", account["factory"]),
        *((f"{one['check'].capitalize()}, by {one['source']}", one["value"]) for one in account["findings"]),
        ("NOT checked", ", ".join(account["notChecked"]) or "nothing is left out"),
        *(
            (name, f"block {place['block']['number']}, transaction {place['transaction'] or 'not told by an event'}")
            for name, place in places
        ),
    ]


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


# --- the style sheet: light and dark, on paper, and without colour; contrast is 7:1 or more -------------------

_STYLE: Final = """\
:root {
  color-scheme: light dark;
  --ink: #15191e; --dim: #454d57; --paper: #ffffff; --card: #f4f6f8; --line: #c3cad2;
  --good: #0b5a28; --good-back: #e3f4e8; --bad: #8c0f1c; --bad-back: #fdebec; --open: #6a4300; --open-back: #fff3da;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #eceff3; --dim: #b9c1cb; --paper: #14181d; --card: #1d232a; --line: #46505b;
    --good: #8ee6ac; --good-back: #12321e; --bad: #ffb3b6; --bad-back: #421318; --open: #ffd68a; --open-back: #3a2a08;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem; }
h1 { margin: 0; font-size: clamp(1.3rem, 7vw, 2.4rem); line-height: 1.15; letter-spacing: 0.02em; }
h1 { overflow-wrap: anywhere; }
h2 { margin: 2rem 0 0.75rem; font-size: 1.2rem; border-bottom: 1px solid var(--line); padding-bottom: 0.25rem; }
.banner { padding: 1.25rem 1.5rem; border: 2px solid; border-left-width: 0.75rem; border-radius: 0.5rem; }
.banner p { margin: 0.5rem 0 0; color: var(--ink); font-size: 1.1rem; overflow-wrap: anywhere; }
.banner .kind { margin: 0; font-size: 0.9rem; text-transform: uppercase; letter-spacing: 0.08em; color: var(--dim); }
.good { color: var(--good); background: var(--good-back); }
.bad { color: var(--bad); background: var(--bad-back); }
.open { color: var(--open); background: var(--open-back); }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: 0.4rem 1.25rem; margin: 0; }
dt { font-weight: 600; color: var(--dim); }
dd { margin: 0; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; margin-top: 0.75rem; font-size: 0.95rem; }
caption { text-align: left; color: var(--dim); padding-bottom: 0.35rem; }
th, td { text-align: left; vertical-align: top; padding: 0.35rem 0.75rem 0.35rem 0; }
tr { border-bottom: 1px solid var(--line); }
td { overflow-wrap: anywhere; }
tbody th { font-weight: 600; white-space: nowrap; }
td.pass { color: var(--good); font-weight: 600; white-space: nowrap; }
td.fail { color: var(--bad); font-weight: 700; white-space: nowrap; }
td.skipped { color: var(--open); white-space: nowrap; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9em; overflow-wrap: anywhere; white-space: pre-wrap; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 0.35rem; padding: 0.6rem 0.8rem; }
li { margin-bottom: 0.4rem; overflow-wrap: anywhere; }
footer { margin-top: 2rem; padding-top: 0.75rem; border-top: 1px solid var(--line); color: var(--dim); }
@media (max-width: 40rem) {
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 0.6rem; }
  tbody th { white-space: normal; }
}
@media print {
  :root {
    color-scheme: light;
    --ink: #000000; --dim: #333333; --paper: #ffffff; --card: #ffffff; --line: #999999;
    --good: #004d1a; --good-back: #ffffff; --bad: #7a0010; --bad-back: #ffffff; --open: #553500; --open-back: #ffffff;
  }
  @page { margin: 15mm; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  h2 { break-after: avoid; }
  tr, li, dt, dd, .banner { break-inside: avoid; }
}
"""
