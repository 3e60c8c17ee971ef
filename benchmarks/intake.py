"""Evidence at real nodes over mTLS: a file's import, issuing beside a re-derivation, evidence until a code is refused."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, benchmark
from examples.holders import holder
from healthcode.clock import rfc3339
from healthcode.policy.levels.evidence import Evidence, EvidenceKind, Finding, TestMethod
from healthcode.v1 import province_issuer_pb2 as pb
from healthcode.v1 import verdict_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from healthcode.v1.province_node_pb2 import VerifyItem, VerifyRequest
from province_node.cli.source_folder import open_source
from province_node.store.opening import open_store
from province_node.store.people_records import NewEvidence
from tests.integration.province_node.world import Federation, open_federation
from tests.world.level_rules import format_2
from tests.world.people import item
from tests.world.waiting import PATIENCE_SECONDS, eventually

LINES = 20_000
HOLDERS = 100_000
BATCH = 240
ROUNDS = 3
SINGLE_CODES = 150
REPORTS = 100
PAUSE_SECONDS = 0.4
LOOK_SECONDS = 0.05
REFUSED_SECONDS = 60
DERIVE_SECONDS = 600
DAY = 86_400


@contextmanager
def _federation() -> Iterator[tuple[Federation, Path]]:
    """Registry, gateway, 31 and 44 under the tests' policy of format 2; a laboratory of 31 in its folder."""
    policy = json.dumps(format_2()).encode()
    with tempfile.TemporaryDirectory() as folder, open_federation(Path(folder), policy=policy) as made:
        lab = Path(folder) / "laboratory"
        kinds = ("--kind", "TEST", "--kind", "CASE_REPORT")
        made.command("31", "source", "add", "laboratory", "--unit", "CDC", "--development", lab, *kinds)
        yield made, lab


# -- import --------------------------------------------------------------------


@benchmark("evidence_import_items_per_s")
def imported() -> Iterator[Figure]:
    """The command from its start to its end; the node derives the levels of the same holders beside it."""
    with _federation() as (federation, lab):
        asyncio.run(_settled(federation))
        path = federation.root / "tests.ndjson"
        path.write_text("".join(f"{json.dumps(_line(number))}\n" for number in range(LINES)))
        command = (sys.executable, "-m", "province_node", "evidence", "import", path, "--as", lab, "--json")
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - began
    if (accepted := json.loads(done.stdout)["accepted"]) != LINES:
        raise RuntimeError(f"only {accepted} of {LINES} lines were accepted")
    what = f"lines of a file of {LINES} tests, by `province-node evidence import` at a real node on SQLite"
    yield Figure("evidence_import_items_per_s", what, LINES / seconds, "1/s", ">= 2000", 1)


def _line(number: int) -> dict[str, str]:
    return {
        "record": f"20261121-{number:08}",
        "number": holder(number).number,
        "kind": "TEST",
        "finding": "NEGATIVE",
        "method": "NUCLEIC",
        "observed_at": rfc3339(int(time.time()) - 3600),
    }


# -- issuing beside a re-derivation --------------------------------------------


@benchmark("issue_beside_rederive", "issue_beside_rederive_p99_ms")
def issue_beside_rederive() -> Iterator[Figure]:
    """IssueCode for new holders, one after the other, while the node derives everybody again; and alone, in turns.

    The stored levels are marked as of other rules, which is what a new policy version does to them.
    """
    with _federation() as (federation, _):
        federation.stop("31")
        _fill(federation)
        federation.start("31")
        pairs = asyncio.run(_issue_rounds(federation))
    what = (
        f"IssueCode for a new holder, 99 of 100 of {SINGLE_CODES}, while {HOLDERS} holders are derived again"
    )
    ratio = statistics.median(beside / alone for alone, beside in pairs)
    yield Figure("issue_beside_rederive", f"{what} ÷ alone", ratio, "×", "<= 2", ROUNDS)
    p99 = statistics.median(beside for _, beside in pairs) * 1000
    yield Figure("issue_beside_rederive_p99_ms", what, p99, "ms", None, ROUNDS)


def _fill(federation: Federation) -> None:
    """Holders of eight items, whose levels are still to be derived."""
    chance, now = random.Random(7), int(time.time())
    store = open_store(federation.settings("31").database)
    for _ in range(HOLDERS * 8 // BATCH):
        found: list[NewEvidence] = []
        while len(found) < BATCH:
            pseudonym = chance.randbytes(32)
            found += [NewEvidence(pseudonym, each) for each in _items(chance, now)]
        store.evidence.add_evidence(found, now)
    store.close()


def _items(chance: random.Random, now: int) -> list[Evidence]:
    """Eight items of the last weeks, of which a contact and a stay are grounds."""

    def made(kind: EvidenceKind, days: int, **more: Any) -> Evidence:
        at = now - days * DAY
        return Evidence("laboratory", chance.randbytes(16).hex(), 1, kind, at, at, **more)

    kinds = EvidenceKind
    tests = [
        made(kinds.TEST, days, finding=Finding.NEGATIVE, method=TestMethod.NUCLEIC) for days in (1, 3, 6)
    ]
    stays = [
        made(kinds.AREA_STAY, 5, area=area, stay_from=now - 5 * DAY - 7200, stay_to=now - 5 * DAY)
        for area in ("310115", "440106")
    ]
    contacts = [made(kinds.CONTACT, 4, finding=finding) for finding in (Finding.CLOSE, Finding.OVERLAP)]
    return [*tests, *stays, *contacts, made(kinds.VACCINATION, 20, dose=3)]


async def _issue_rounds(federation: Federation) -> list[tuple[float, float]]:
    people = (item(holder(position).number, level=0) for position in itertools.count(LINES))
    await _settled(federation)
    pairs = []
    with contextlib.closing(
        sqlite3.connect(federation.settings("31").database, isolation_level=None, timeout=30)
    ) as db:
        async with federation.order("31") as stub:
            await _until_derived(db)
            await _issue_p99(stub, people, 20)
            for _ in range(ROUNDS):
                alone = await _issue_p99(stub, people, SINGLE_CODES)
                db.execute("BEGIN IMMEDIATE")
                db.execute("UPDATE current_level SET basis = 0")
                db.execute("UPDATE level_basis SET is_finished = 0")
                db.execute("COMMIT")
                await asyncio.sleep(1)
                beside = await _issue_p99(stub, people, SINGLE_CODES)
                if _is_derived(db):
                    raise RuntimeError("everybody was derived before the codes were issued")
                pairs.append((alone, beside))
                await _until_derived(db)
    return pairs


def _is_derived(db: sqlite3.Connection) -> bool:
    finished = db.execute("SELECT count(*) FROM level_basis WHERE is_finished").fetchone()[0]
    return bool(finished) and not db.execute("SELECT count(*) FROM to_derive").fetchone()[0]


async def _until_derived(db: sqlite3.Connection) -> None:
    for _ in range(DERIVE_SECONDS):
        if _is_derived(db):
            return
        await asyncio.sleep(1)
    raise RuntimeError(f"after {DERIVE_SECONDS} s not everybody was derived")


async def _issue_p99(stub: Any, people: Iterator[pb.IssueItem], count: int) -> float:
    seconds = []
    for _ in range(count):
        request = pb.IssueCodeRequest(request_id=str(uuid.uuid4()), item=next(people))
        began = time.perf_counter()
        await stub.IssueCode(request, timeout=PATIENCE_SECONDS)
        seconds.append(time.perf_counter() - began)
    return _p99(seconds)


def _p99(found: Sequence[float]) -> float:
    return statistics.quantiles(found, n=100, method="inclusive")[98]


async def _settled(federation: Federation) -> None:
    """Waits until 31 issues and 44 takes what it issues."""

    async def is_valid() -> bool:
        code = (await federation.issue(number=holder(0).number, level=0)).code
        return (await federation.verify(code)).outcome == verdict_pb2.OUTCOME_VALID

    await eventually(is_valid)


# -- evidence until a code is refused ------------------------------------------


@benchmark("evidence_to_refused_p99", "evidence_to_refused_p50")
def evidence_to_refused() -> Iterator[Figure]:
    """A case report about a holder with a code out: from its acknowledgement at 31 until 44 says REVOKED."""
    with _federation() as (federation, lab):
        interval = federation.settings("31").publish.interval_seconds
        found = asyncio.run(_report_all(federation, lab))
    unit = f"intervals of {interval:g} s"
    what = f"evidence acknowledged → code refused at another node, of {REPORTS}"
    yield Figure(
        "evidence_to_refused_p99", f"{what}: 99 of 100", _p99(found) / interval, unit, "<= 3", REPORTS
    )
    middle = statistics.median(found) / interval
    yield Figure("evidence_to_refused_p50", f"{what}: median", middle, unit, None, REPORTS)


async def _report_all(federation: Federation, lab: Path) -> list[float]:
    chance = random.Random(34)
    await _settled(federation)
    codes = [
        (await federation.issue(number=holder(number).number, level=0, validity={"seconds": 3000})).code
        for number in range(1, REPORTS + 1)
    ]
    waits = []
    async with open_source(lab).connect() as channel, federation.ask("44") as other:
        stub = ProvinceIssuerServiceStub(channel)
        for number, code in enumerate(codes, start=1):
            waits.append(asyncio.create_task(_report(stub, other, number, code)))
            await asyncio.sleep(chance.uniform(0, 2 * PAUSE_SECONDS))
        return await asyncio.gather(*waits)


async def _report(stub: Any, other: Any, number: int, code: str) -> float:
    """Seconds until the code is refused."""
    evidence = pb.Evidence(
        record=f"r-{number}",
        revision=1,
        document=pb.IdentityDocument(document_type="10", number=holder(number).number),
        kind=pb.EVIDENCE_KIND_CASE_REPORT,
        finding=pb.FINDING_CONFIRMED,
    )
    evidence.observed_at.seconds = int(time.time()) - 60
    requests = iter([pb.SubmitEvidenceRequest(evidence=evidence)])
    answers = [each.result async for each in stub.SubmitEvidence(requests, timeout=PATIENCE_SECONDS)]
    acknowledged = time.perf_counter()
    if answers != [pb.EVIDENCE_RESULT_ACCEPTED]:
        raise RuntimeError("a report was not accepted")
    for _ in range(int(REFUSED_SECONDS / LOOK_SECONDS)):
        if await _outcome(other, code) == verdict_pb2.OUTCOME_REVOKED:
            return time.perf_counter() - acknowledged
        await asyncio.sleep(LOOK_SECONDS)
    raise RuntimeError(f"after {REFUSED_SECONDS} s a code was not refused")


async def _outcome(other: Any, code: str) -> int:
    request = VerifyRequest(item=VerifyItem(code=code, place_type=verdict_pb2.PLACE_TYPE_OTHER))
    return int((await other.Verify(request, timeout=PATIENCE_SECONDS)).verdict.outcome)
