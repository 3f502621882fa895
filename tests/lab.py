"""An honest model of platform and chain in memory, with faults, that the real runner and the real journal are driven
against. ``lab`` makes one: ``lab()`` has its own journal on SQLite, its own clock, its own accounts."""

import asyncio
import base64
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from coincurve import PrivateKey
from eth_hash.auto import keccak

from orchestrator import eip191
from orchestrator.errors import Disposition, PlatformRefused, PlatformUnreachable, UncertainAnswer
from orchestrator.journal.store import Journal
from orchestrator.lifecycle import events as e
from orchestrator.lifecycle import oversight_events as o
from orchestrator.lifecycle.decide import End, Halt
from orchestrator.lifecycle.oversight_state import DECISIONS_STREAM
from orchestrator.lifecycle.stages import Parameters
from orchestrator.models import AccountStatus as S
from orchestrator.models import BlockRef, ChainAccount, ChainId, OperationKind, WalletState, to_address
from orchestrator.policy import Policy, Ruleset
from orchestrator.ports.chain import ChainView, Deployment, Examined, Holdings, StateChange
from orchestrator.ports.platform import PlatformAccount, PlatformCustomer
from orchestrator.ports.signers import KeyInfo
from orchestrator.runner import Runner
from orchestrator.session import AccountSession, Services
from orchestrator.signers.signing_log import FileSigningLog
from orchestrator.steps.create import create_account
from orchestrator.steps.observe import observe
from orchestrator.wallet.findings import Finding

OWNER_KEY = PrivateKey(b"\x1a" * 32)
OWNER = ChainAccount(ChainId.parse("eip155:31337"), eip191.address_of(OWNER_KEY.public_key))
CUSTOMER = "c0000000-0000-4000-8000-000000000001"
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FINAL_DEPTH = 3
POLICY = Policy(limits=())
"""No limits: random tests sign a lot."""


class Killed(BaseException):
    """The process is gone: nothing after this point runs."""


@dataclass
class Faults:
    """The next fault of each kind of call, taken in order: ``unreachable``, ``limited``, ``killed_before``,
    ``refuse`` (submit only) before the effect; ``lost``, ``killed_after`` after it."""

    queue: list[tuple[str, str]] = field(default_factory=list)
    paused: bool = False

    def take(self, call: str, *kinds: str) -> str | None:
        for index, (name, kind) in enumerate(self.queue):
            if not self.paused and name == call and kind in kinds:
                del self.queue[index]
                return kind
        return None

    def before(self, call: str) -> None:
        match self.take(call, "unreachable", "limited", "killed_before"):
            case "unreachable":
                raise PlatformUnreachable(f"{call}: no connection")
            case "limited":
                raise refused(429, "platform_rate_limited", Disposition.RETRY)
            case "killed_before":
                raise Killed

    def after(self, call: str) -> None:
        match self.take(call, "lost", "killed_after"):
            case "lost":
                raise UncertainAnswer(f"{call}: the connection was lost")
            case "killed_after":
                raise Killed


def refused(status: int, code: str, disposition: Disposition | None = None) -> PlatformRefused:
    return PlatformRefused(f"refused: {code}", status=status, code=code, disposition=disposition)


@dataclass
class Offer:
    text: str
    purpose: str
    issued: datetime

    @property
    def base64(self) -> str:
        return base64.b64encode(self.text.encode()).decode()


@dataclass
class Account:
    id: str
    made: datetime
    status: S = S.INITIATING
    offer: Offer | None = None
    job: str | None = None
    accepted: list[str] = field(default_factory=list)
    """Purposes of accepted signatures, in order."""
    signed: set[str] = field(default_factory=set)
    """The challenges that were signed."""
    asked: int = 0
    """How often a challenge was asked for and given."""
    failed_jobs: int = 0
    deletes: int = 0
    """DELETE requests that had an effect."""
    creation_hash: str = ""
    updated: datetime = EPOCH


def findings(wallet: str, challenge: str) -> tuple[Finding, ...]:
    """What every source of a wallet that is as it should be says."""
    owners = [Finding("owner", source, OWNER.address) for source in ("the code", "the factory's event")]
    right = (Finding("code", "the code", "SmartWallet"), Finding("address", "CREATE2", wallet))
    return (*right, *owners, Finding("challenge", "the factory's event", challenge))


class ModelChain:
    """Blocks of transactions; a reorg puts the transactions of the dropped blocks into later ones."""

    def __init__(self) -> None:
        self.blocks: list[tuple[str, list[tuple[str, str, str]]]] = []
        self.salt = 0
        self.mempool: list[tuple[str, str, str]] = []
        self.behind = 0
        for _ in range(2):
            self.mine()

    def mine(self, count: int = 1) -> None:
        for _ in range(count):
            self.salt += 1
            parent = self.blocks[-1][0] if self.blocks else ""
            digest = "0x" + keccak(f"{parent}{self.salt}".encode()).hex()
            self.blocks.append((digest, self.mempool))
            self.mempool = []

    def reorg(self, depth: int) -> None:
        depth = min(depth, len(self.blocks) - 1)
        dropped = self.blocks[-depth:]
        del self.blocks[-depth:]
        self.mine()
        self.mempool = [tx for _hash, txs in dropped for tx in txs] + self.mempool
        self.mine(depth)

    def send(self, account: str, what: str, note: str = "") -> None:
        self.mempool.append((account, what, note))

    def _visible(self) -> list[tuple[str, list[tuple[str, str, str]]]]:
        return self.blocks[: len(self.blocks) - self.behind] if self.behind else self.blocks

    def ref(self, number: int) -> BlockRef:
        return BlockRef(number, self.blocks[number][0])

    def state(self, account_id: str) -> WalletState | None:
        view = self._read(account_id)
        return view.change.state if view.change else None

    def pending(self, account_id: str) -> bool:
        return any(tx[0] == account_id for tx in self.mempool)

    def _read(self, account_id: str) -> ChainView:
        visible = self._visible()
        head = len(visible) - 1
        deployment = change = None
        wallet = to_address("0x" + uuid.UUID(account_id).hex + "00000000")
        for number, (_hash, txs) in enumerate(visible):
            for account, what, note in txs:
                tx = "0x" + keccak(f"{account}{what}{number}".encode()).hex()
                if account != account_id:
                    continue
                if what == "deploy":
                    deployment = Deployment(
                        wallet, self.ref(number), tx, "0x" + "cc" * 32, "smart-wallet", findings(wallet, note)
                    )
                    change = StateChange(WalletState.CREATED, self.ref(number), tx)
                else:
                    change = StateChange(WalletState(what), self.ref(number), tx)
        finalized = max(0, head - FINAL_DEPTH)
        return ChainView(self.ref(head), finalized, finalized, deployment, change)

    # --- the port --------------------------------------------------------------------------------------------------

    needs_claim = False

    async def chain_id(self):
        return OWNER.chain

    async def news(self, account_id, known, confirmations):
        return await self.view(account_id)

    async def view(self, account_id, known=None):
        return self._read(account_id)

    async def is_canonical(self, block):
        return block.number < len(self._visible()) and self.ref(block.number) == block

    async def holdings(self, wallet, named=()):
        return Holdings(0, (), self.ref(len(self.blocks) - 1))

    def finalized(self) -> int:
        return max(0, len(self._visible()) - 1 - FINAL_DEPTH)


class ModelPlatform:
    """The platform as its documentation has it: keys remembered for an hour, challenges that live an hour and end when
    another is asked for, work on the chain done later (``work``).

    ``keeps_challenges``: as its older pages have it, a challenge that is asked for again stays the same for its hour.
    """

    keeps_challenges = False

    def __init__(self, chain: ModelChain, clock) -> None:
        self.chain, self.clock = chain, clock
        self.faults = Faults()
        self.accounts_: dict[str, Account] = {}
        self.keys: dict[str, tuple[datetime, object]] = {}
        self.log: list[str] = []
        self.texts: list[str] = []
        """What the next challenges say, in order; then each says a UUID of its own."""
        self._numbers = 0

    # --- inside ----------------------------------------------------------------------------------------------------

    def _issue(self, account: Account, purpose: str) -> None:
        self._numbers += 1
        text = self.texts.pop(0) if self.texts else str(uuid.UUID(int=self._numbers))
        account.offer = Offer(text, purpose, self.clock())

    def set_status(self, account: Account, status: S) -> None:
        account.status, account.updated = status, self.clock()

    def _document(self, account: Account) -> PlatformAccount:
        deployed = account.status in (S.ACTIVE, S.INACTIVE, S.CLOSED) and self.chain.state(account.id)
        wallet = self.chain._read(account.id).deployment.wallet if deployed else None
        return PlatformAccount(
            account.id,
            CUSTOMER,
            account.status,
            ChainAccount(OWNER.chain, wallet) if wallet else None,
            ("EUR",),
            account.made,
            account.updated,
        )

    async def _modify(self, call: str, key: str, effect):
        """Every await is a point where the process may be gone."""
        self.faults.before(call)
        at, stored = self.keys.get(key, (None, None))
        if at is None or self.clock() - at > HOUR:
            try:
                stored = effect()
            except PlatformRefused as error:
                stored = error
            if not (isinstance(stored, PlatformRefused) and stored.disposition is Disposition.RETRY):
                self.keys[key] = (self.clock(), stored)
        self.faults.after(call)
        if isinstance(stored, PlatformRefused):
            raise stored
        return stored

    # --- the port --------------------------------------------------------------------------------------------------

    async def account(self, account_id):
        self.faults.before("account")
        return self._document(self.accounts_[account_id])

    async def accounts(self):
        return [self._document(account) for account in self.accounts_.values()]

    async def customer_accounts(self, customer_id):
        self.faults.before("customer_accounts")
        return [self._document(account) for account in self.accounts_.values()]

    async def customer(self, customer_id):
        return PlatformCustomer(CUSTOMER, "active", OWNER)

    async def cards(self, account_id):
        self.faults.before("cards")
        return []

    async def create_account(self, customer_id, currency, *, key):
        def effect():
            self._numbers += 1
            account = Account(str(uuid.UUID(int=0xA << 64 | self._numbers)), self.clock())
            self.accounts_[account.id] = account
            self._issue(account, "creation")
            return self._document(account), account.offer.base64

        return await self._modify("create_account", key, effect)

    async def challenge(self, account_id):
        self.faults.before("challenge")
        account = self.accounts_[account_id]
        if account.offer is None:
            return None
        account.asked += 1
        if not self.keeps_challenges or self.clock() - account.offer.issued > HOUR:
            self._issue(account, account.offer.purpose)
        return account.offer.base64

    async def submit(self, account_id, submission, *, key, permit):
        async with permit():
            return await self._submit(account_id, submission, key)

    async def _submit(self, account_id, submission, key):
        account = self.accounts_[account_id]

        def effect():
            offer = account.offer
            if submission.challenge in account.signed:
                raise refused(409, "challenge_already_signed")
            if offer is None or submission.challenge != offer.base64:
                raise refused(400, "signature_refused")
            if self.clock() - offer.issued > HOUR:
                self._issue(account, offer.purpose)
                raise refused(400, "challenge_expired")
            signed = base64.b64decode(submission.challenge)
            if self.faults.take("submit", "refuse") or submission.signature != signature_of(signed):
                self._issue(account, offer.purpose)
                raise refused(400, "signature_refused")
            account.accepted.append(offer.purpose)
            account.signed.add(offer.base64)
            account.offer = None
            if offer.purpose == "creation":
                account.creation_hash = "0x" + keccak(signed).hex()
                self.set_status(account, S.PENDING)
            account.job = "deploy" if offer.purpose == "creation" else "close"
            return self._document(account)

        return await self._modify("submit", key, effect)

    def _change_state(self, account: Account, job: str, expected: S) -> PlatformAccount:
        if account.job is not None:
            raise refused(409, "operation_in_progress", Disposition.RETRY)
        if account.status is not expected:
            raise refused(409, "invalid_transition")
        account.job = job
        return self._document(account)

    async def deactivate(self, account_id, *, key):
        account = self.accounts_[account_id]
        return await self._modify("request", key, lambda: self._change_state(account, "deactivate", S.ACTIVE))

    async def reactivate(self, account_id, *, key):
        account = self.accounts_[account_id]
        return await self._modify("request", key, lambda: self._change_state(account, "reactivate", S.INACTIVE))

    async def close(self, account_id, *, key):
        account = self.accounts_[account_id]

        def effect():
            if account.job not in (None, "close"):
                raise refused(409, "operation_in_progress", Disposition.RETRY)
            closing = account.job == "close" or (account.offer is not None and account.offer.purpose == "deletion")
            if closing or account.status in (S.CLOSED, S.PENDING, S.FAILED):
                raise refused(409, "invalid_transition")
            account.deletes += 1
            if account.status is S.INITIATING:
                account.offer = None
                self.set_status(account, S.CLOSED)
            else:
                self._issue(account, "deletion")
            return self._document(account)

        return await self._modify("request", key, effect)

    # --- what the platform does by itself ----------------------------------------------------------------------------

    def work(self, account: Account, *, fail: bool = False) -> None:
        """One piece of the work at hand. A closing that fails asks for another signature."""
        job, account.job = account.job, None
        state = self.chain.state(account.id)
        if job == "deploy":
            if state is None:
                self.chain.send(account.id, "deploy", account.creation_hash)
                self.chain.send(account.id, "active")
                self.chain.mine()
            if account.status is S.PENDING:
                self.set_status(account, S.ACTIVE)
        elif job == "close" and fail and account.status is not S.CLOSED:
            account.failed_jobs += 1
            self._issue(account, "deletion")
        elif job is not None:
            target = {"close": "closed", "deactivate": "inactive", "reactivate": "active"}[job]
            if state is not None and state is not WalletState.CLOSED:
                self.chain.send(account.id, target)
                self.chain.mine()
            if account.status is not S.CLOSED:
                self.set_status(account, S(target))

    def suspend_alone(self, account: Account) -> None:
        if account.status is S.ACTIVE and account.job is None:
            account.job = "deactivate"
            self.work(account)

    def close_alone(self, account: Account) -> None:
        if account.status in (S.INITIATING, S.ACTIVE, S.INACTIVE) and account.job is None:
            account.offer = None
            self.set_status(account, S.CLOSED)


def signature_of(message: bytes) -> bytes:
    raw = OWNER_KEY.sign_recoverable(eip191.personal_hash(message), hasher=None)
    return raw[:64] + bytes((27 + raw[64],))


class ModelKeys:
    """One key, bound to its wallet. ``signed`` has every message that it signed, whatever became of the signature;
    ``answers`` takes the place of the key's own signature."""

    def __init__(self) -> None:
        self.id = str(uuid.UUID(int=7))
        self.name, self.address = "model", OWNER.address
        self.wallets: tuple[ChainAccount, ...] = (OWNER,)
        self.disabled = False
        self.signed: list[bytes] = []
        self.answers: Callable[[bytes], bytes] = signature_of

    def key_for(self, address):
        assert address == OWNER.address
        return KeyInfo(self.name, self.address, "keystore", self.disabled, self.wallets)

    def signer_for(self, address):
        assert address == OWNER.address
        return self

    def bind(self, name, wallet):
        assert name == self.name
        self.wallets = (*self.wallets, wallet)
        return self.key_for(wallet.address)

    def sign_message(self, message: bytes) -> bytes:
        self.signed.append(message)
        return self.answers(message)


class ModelProver:
    """Judges by what a test says; honestly by default: a wallet that is closed at the finalized block is."""

    def __init__(self, chain: ModelChain) -> None:
        self.chain = chain
        self.verdict: tuple[str, str, str] | None = None
        """Verdict, analysis and reason, whatever the chain holds."""
        self.transient = False
        self.asked = 0

    async def examine(self, wallet):
        self.asked += 1
        block = self.chain.ref(self.chain.finalized())
        verdict, analysis, reason = self.verdict or ("irreversible", "inert", "inert")
        return Examined(
            verdict=verdict,
            analysis=analysis,
            reason=reason,
            detail=f"the sentence of {reason}",
            chain=OWNER.chain,
            block=block,
            code_hash="0x" + "cc" * 32,
            states=7,
            steps=70,
            transient=self.transient,
        )


@dataclass
class ModelChecked:
    valid: bool = True
    verdict: str = "irreversible"
    reason: str = "inert"
    detail: str = "a sentence"


class ModelCertifier:
    key = None
    key_address = None

    def __init__(self) -> None:
        self.revoked: list[tuple[str, str]] = []

    def address(self):
        return self.key_address

    def ready(self):
        pass

    def certify(self, *, account, owner, view, examined, left, cards):
        assert owner == OWNER
        return f"{account.id} {examined.block}".encode()

    def write(self, account_id, certificate):
        return f"/certificates/{account_id}.json"

    def check(self, certificate):
        old = certificate.startswith(b"old")
        return ModelChecked(verdict="inconclusive", reason="analysis_not_run") if old else ModelChecked()

    def revoke(self, path, sha256):
        self.revoked.append((path, sha256))


class FaultyJournal:
    """The real journal; the process may die just before or just after a commit."""

    def __init__(self, journal: Journal, faults: Faults) -> None:
        self._journal, self._faults = journal, faults

    async def append(self, stream, new, *, after, at, **conditions):
        if self._faults.take("append", "killed_before"):
            raise Killed
        recorded = await self._journal.append(stream, new, after=after, at=at, **conditions)
        if self._faults.take("append", "killed_after"):
            raise Killed
        return recorded

    def __getattr__(self, name):
        return getattr(self._journal, name)


class Lab:
    """A world with one process at a time. Synchronous: every method runs its own steps to their end."""

    def __init__(self, template: Path, parameters: Parameters | None = None, policy: Policy = POLICY) -> None:
        # In memory where that is possible: what is tried here is order, not the disk.
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        path = Path(self.folder.name) / "journal.db"
        shutil.copy(template, path)
        self.loop = asyncio.Runner()
        self.now = EPOCH
        self.skew = timedelta(0)
        self.chain = ModelChain()
        self.platform = ModelPlatform(self.chain, lambda: self.now)
        self.faults = self.platform.faults
        self.journal = self.run(Journal.open(f"sqlite:///{path}"))
        self.prover = ModelProver(self.chain)
        self.certifier = ModelCertifier()
        self.keys = ModelKeys()
        self.keystore = Path(self.folder.name) / "keystore"
        self.services = Services(
            platform=self.platform,
            chain=self.chain,
            prover=self.prover,
            keyring=self.keys,
            journal=FaultyJournal(self.journal, self.faults),
            certifier=self.certifier,
            clock=lambda: self.now + self.skew,
            parameters=parameters or Parameters(),
            ruleset=Ruleset(policy=policy, domains=("platform.example",), confirmations=1),
            signing_log=FileSigningLog(self.keystore),
            actor="os:model",
        )
        self.runner = Runner(self.services)
        if policy.approvals.keys:  # then a key is one that the command line has made, and the journal heard of
            made = o.KeyChanged(
                action="imported", name=self.keys.name, address=self.keys.address, backend="keystore",
                wallets=(str(OWNER),), disabled=False, keystore=self.keys.id, by="os:model",
            )  # fmt: skip
            self.run(self.journal.append(DECISIONS_STREAM, [made], after=0, at=self.now))

    def run(self, coroutine):
        # Not Runner.run: its handler for Ctrl-C makes Python write out the task, with all that it returns, each time.
        return self.loop.get_loop().run_until_complete(coroutine)

    def stop(self) -> None:
        if not Path(self.folder.name).exists():
            return
        self.run(self.journal.close())
        self.loop.close()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def create(self, reference: str = "order-1"):
        return self.run(create_account(self.services, CUSTOMER, "EUR", reference))

    def account(self, account_id: str) -> Account:
        return self.platform.accounts_[account_id]

    async def _session(self, account_id: str) -> AccountSession:
        return await AccountSession.load(account_id, self.services)

    def state(self, account_id: str):
        return self.run(self._session(account_id)).state

    def events(self, account_id: str, kind=None):
        recorded = self.run(self.journal.read(account_id))
        return [item.event for item in recorded if kind is None or isinstance(item.event, kind)]

    def begin(self, account_id: str, kind: OperationKind) -> None:
        """What a command does before it drives: a fresh look, then the operation, unless one is unfinished."""

        async def begin():
            session = await self._session(account_id)
            if not session.state.unfinished:
                await observe(session)
                await session.record(e.OperationStarted(operation=kind))

        self.run(begin())

    def advance(self, account_id: str):
        return self.run(self.runner.advance(account_id))

    def start(self, account_id: str, kind: OperationKind):
        self.begin(account_id, kind)
        return self.advance(account_id)

    def resolve(self, account_id: str, decision: str) -> None:
        async def resolve():
            session = await self._session(account_id)
            decided = [e.OperatorResolved(decision=decision, reason="test", by="test")]
            if decision == "accept":
                decided.append(e.OperationEnded(outcome="done", code="accepted_by_operator", message="test"))
            if decision == "abandon":
                decided.append(e.OperationEnded(outcome="failed", code="abandoned", message="test"))
            await session.record(*decided)

        self.run(resolve())

    def pass_time(self, **span) -> None:
        self.now += timedelta(**span)
        self.chain.mine()

    def settle(self, account_id: str, *, rounds: int = 200):
        """No further faults: the platform works, blocks come, the account is advanced until it is over."""
        self.faults.queue.clear()
        self.chain.behind = 0
        for _ in range(rounds):
            advanced = self.advance(account_id)
            if isinstance(advanced.action, End | Halt):
                return advanced.action
            if self.account(account_id).job is not None:
                self.platform.work(self.account(account_id))
            self.pass_time(minutes=7)
        raise AssertionError(f"still {advanced.action} after {rounds} rounds")

    def complete(self, account_id: str, kind: OperationKind):
        self.begin(account_id, kind)
        return self.settle(account_id)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory) -> Path:
    """An empty journal's database, migrated once."""
    path = tmp_path_factory.mktemp("migrated") / "journal.db"

    async def make() -> None:
        async with await Journal.open(f"sqlite:///{path}"):
            pass

    asyncio.run(make())
    return path


@pytest.fixture
def lab(migrated):
    """Makes labs; all are stopped at the test's end."""
    made = []

    def make(**options) -> Lab:
        made.append(Lab(migrated, **options))
        return made[-1]

    make.killed, make.replace = Killed, replace
    yield make
    for one in made:
        one.stop()
