"""The certificate of a wallet that was closed on a real Anvil, and what a reorg does to it."""

from __future__ import annotations

import json

from orchestrator.chain.canonical import verify_canonical
from orchestrator.closure.verifier import verify


async def test_a_real_closure(reader, wallets, anvil, account_id, certify):
    wallet, _ = await wallets.deploy(account_id)
    await wallets.activate(wallet)
    closing = await wallets.close(wallet)
    await anvil.finalize()
    data = await certify(reader, wallet, account_id)
    report = verify(data)
    assert report.valid, [check for check in report.checks if check.result == "fail"]
    assert json.loads(data)["closing"]["transaction"] == closing
    checked = await verify_canonical(report, [anvil.url])
    assert (checked.valid, checked.canonical) == (True, True)
    unknown = await verify_canonical(report, ["http://127.0.0.1:1"])
    assert (unknown.valid, unknown.canonical) == (True, None)
    await anvil.reorg(await anvil.block_number() - 1)
    gone = await verify_canonical(report, [anvil.url])
    assert (gone.valid, gone.canonical) == (False, False)
    assert report.block is not None
    assert not await reader.is_canonical(report.block)
