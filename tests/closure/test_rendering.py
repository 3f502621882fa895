"""A certificate's page: one file that loads nothing, well-formed, and deaf to what a certificate may say."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from orchestrator.closure.certificate.builder import build_certificate
from orchestrator.closure.certificate.rendering import _STYLE, MOST, headline, render_html
from orchestrator.closure.certificate.verifier import verify
from orchestrator.closure.verdict import Residue
from tests.closure.forging import forge, put

VOID = {"meta", "link", "br", "hr", "img", "input"}
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "section", "footer", "h1", "h2", "p", "pre"),
    *("code", "dl", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td", "ol", "li"),
}
HOSTILE = [
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "&lt;b&gt; & <b>",
    "\N{RIGHT-TO-LEFT OVERRIDE}elbisreverri\N{POP DIRECTIONAL FORMATTING}",
    "\N{ZERO WIDTH SPACE}\x1b[2J\x00\r\n",
    "</td></tr></table></main>",
]


class Page(HTMLParser):
    """Fails for anything that is not well nested, and notes what it finds."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(data: bytes, **changes) -> Page:
    report = dataclasses.replace(verify(data), **changes)
    text = render_html(report, hashlib.sha256(data).hexdigest())
    found = Page(text)
    assert {tag for tag, _ in found.tags} <= ALLOWED
    for tag, attributes in found.tags:
        assert not any(name.startswith("on") or name in ("src", "href", "style") for name in attributes), tag
    assert text.startswith("<!DOCTYPE html>\n<html lang=")
    assert not re.search(r"https?://(?!127)|url\(|@import", text.split("</style>")[0])
    assert text.isprintable() or not re.search(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", text
    )
    return found


def built(case, signer=None, residue=(), **more) -> bytes:
    more = {"account": case.account, **more}
    return build_certificate(case.evidence, case.verdict, signer=signer, residue=residue, **more)


def test_it_says_at_a_glance_what_was_proven(case, signer):
    text = page(built(case, signer)).text
    start = text[: text.index("What this rests on")]
    for what in (
        "IRREVERSIBLE",
        "no call, by anyone, ever",
        case.world.wallet,
        "eip155:31337",
        "block 100 of 2027-01-15 08:00:00 UTC",
        case.block.hash,
        "Merkle proofs",
        "3 storage slots",
        "every path of that code executed",
        "Collision resistance; Canonical block; EVM rules; No irregular state change",
        signer.address,
    ):
        assert what in start, what
    for what in ("Account", case.platform.id, case.account.view.change.tx_hash, "as reported", "0x3"):
        assert what in text, what


def test_a_contract_without_an_account(case):
    assert "Not applicable: this is about a contract" in page(built(case, account=None)).text


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_are_shown_and_do_nothing(case, words):
    data = built(case)
    residue = [{"kind": "token", "detail": words}]
    free = {
        "residue": put("residue", residue),
        "tool": put("tool", "version", words),
        "time": put("account", "platform", "customerId", words),
    }
    found = page(forge(data, free["residue"]))
    assert len(found.tags) == len(page(forge(data, put("residue", [{"kind": "token", "detail": "x"}]))).tags)
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in found.text
    assert "\x1b" not in found.text
    found = page(forge(data, free["tool"]))
    assert len(found.tags) == len(page(data).tags) or "INVALID" in found.text
    assert "INVALID" in page(forge(data, free["time"])).text


def test_an_invalid_file_shows_nothing_of_what_it_says(case):
    data = built(case, residue=[Residue("token", "believe me")])
    for hostile in (
        data.replace(b"believe me", b"believe ME"),
        forge(data, put("slots", 0, "value", "0x" + "00" * 32)),
        b"<script>alert(1)</script>",
        b"",
    ):
        found = page(hostile)
        assert "INVALID" in found.text
        assert "Nothing in this file may be relied on" in found.text
        assert "believe" not in found.text
        assert "IRREVERSIBLE" not in found.text
        assert "FAIL" in found.text


def test_a_revoked_certificate_says_so_first(case):
    changes = {"valid": False, "canonical": False, "verdict": "inconclusive", "reason": "not_canonical"}
    found = page(built(case), **changes, detail="the certificate is revoked")
    assert "REVOKED" in found.text[:200]
    assert "IRREVERSIBLE" not in found.text


def test_a_certificate_of_the_first_release_is_not_called_irreversible():
    data = (Path(__file__).parent / "certificates" / "v1-signed.json").read_bytes()
    text = page(data).text
    assert "STATE PROVEN" in text[:200]
    assert "IRREVERSIBLE" not in text
    assert "orchestrator close ACCOUNT_ID" in text


def test_long_lists_are_cut_and_say_so(case):
    text = page(built(case, residue=[Residue("token", f"number {n}") for n in range(MOST + 7)])).text
    assert "number 1 " in text
    more = len(json.loads(built(case, residue=[Residue("token", "x")] * (MOST + 7)))["residue"]) - MOST
    assert f"And {more} more, in the file." in text


def test_the_block_may_claim_any_time(case, hand_made):
    header = hand_made["header"](case.world.state_root, timestamp=2**63)
    report = verify(built(case))
    document = {**report.document, "header": {**report.document["header"], "timestamp": header["timestamp"]}}
    text = render_html(dataclasses.replace(report, document=document), "00" * 32)
    assert f"second {2**63}" in text


def test_the_headline_has_a_word_for_each_outcome(case):
    report = verify(built(case))
    outcomes = {
        headline(report)[:2],
        headline(dataclasses.replace(report, valid=False))[:2],
        headline(dataclasses.replace(report, valid=False, canonical=False))[:2],
        headline(dataclasses.replace(report, verdict="inconclusive"))[:2],
    }
    assert outcomes == {("good", "IRREVERSIBLE"), ("bad", "INVALID"), ("bad", "REVOKED"), ("open", "STATE PROVEN")}


def contrast(one: str, two: str) -> float:
    """WCAG 2.2, relative luminance."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_every_colour_can_be_read():
    palettes = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part))
        for part in re.findall(r":root \{(.*?)\}", _STYLE, re.DOTALL)
    ]
    assert len(palettes) == 3, "light, dark, paper"
    for palette in palettes:
        for ink, back in (
            *(("ink", back) for back in ("paper", "good-back", "bad-back", "open-back")),
            *(("dim", back) for back in ("paper", "card")),
            *((tone, back) for tone in ("good", "bad", "open") for back in ("paper", f"{tone}-back")),
        ):
            assert contrast(palette[ink], palette[back]) >= 7, (ink, back)
