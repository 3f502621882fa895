"""The nightly audit: three files, a chart of the nights, and an alert exactly where something does not hold."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from xml.etree import ElementTree

import pytest

from orchestrator.blocking import BlockingOrchestrator

FIRST_NIGHT = {"at": "2026-01-01T00:00:00+00:00", "holds": 1, "fails": 0, "unknown": 0}


@pytest.fixture
def told():
    """A server that keeps what it is told."""
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()
        thread.join()


def test_closures_that_hold_and_one_that_does_not(office, scripts, told):
    url, bodies = told
    with BlockingOrchestrator(scripts.settings()) as orchestrator:
        account = orchestrator.create_account(office.programme.customer_id, "EUR").account_id
        wallet = orchestrator.activate(account, timeout=60).address.split(":")[-1]
        assert orchestrator.close(account, timeout=60).outcome == "done"
    folder = scripts.home / "audits"
    options = ("nightly_audit.py", "--folder", folder, "--alert-url", url, "--alert-command", "tee alert.txt")
    foreseen = scripts.script("nightly_audit.py", "--dry-run")
    assert (foreseen.code, foreseen.stdout) == (0, "would prove 1 closures again\n")

    folder.mkdir()
    (folder / "audit.json").write_text(json.dumps({"nights": [FIRST_NIGHT]}))
    done = scripts.script(*options)
    assert done.code == 0, done.stderr
    assert f"holds   {account}  irreversible" in done.stdout
    assert bodies == []
    saved = json.loads((folder / "audit.json").read_text())
    assert (saved["holds"], len(saved["nights"]), saved["nights"][0]) == (1, 2, FIRST_NIGHT)
    assert (folder / "audit.txt").read_text() == done.stdout
    page = (folder / "audit.html").read_text()
    drawing = ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    heights = [bar.get("height") for bar in drawing if bar.tag.endswith("rect")]
    assert heights == ["96.00", "0.00", "0.00"] * 2
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")

    office.anvil.rpc_sync("anvil_setStorageAt", wallet, "0x" + "0" * 64, "0x" + "0" * 63 + "1")
    office.anvil.control.finalize()
    (folder / "audit.json").write_text("{")  # half a file
    done = scripts.script(*options, "--json")
    assert done.code == 1, done.stderr
    assert "the chart begins anew" in done.stderr
    assert "fails" in (folder / "audit.html").read_text()
    assert (scripts.home / "alert.txt").read_text().startswith(done.document["at"])
    assert bodies == [done.document]


def test_an_audit_that_cannot_be_made_is_an_alert(scripts, told):
    url, bodies = told
    done = scripts.script("nightly_audit.py", "--alert-url", url, "--alert-command", "/nowhere/at-all", "--json")
    assert (done.code, done.document["error"]["code"]) == (2, "database_missing")
    assert bodies == [done.document]
    assert "--alert-command: " in done.stderr


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://host"])
def test_an_alert_goes_to_the_web_only(scripts, url):
    assert scripts.script("nightly_audit.py", "--alert-url", url).code == 2
