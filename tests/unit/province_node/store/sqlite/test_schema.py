"""A database of release 0.1.0 keeps its answers without their texts, whatever interrupts the migration."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from healthcode.errors import ConfigurationError, Reason
from healthcode.rpc.call import CallInfo
from healthcode.storage.sqlite import Database, Session
from healthcode.telemetry import Metrics
from healthcode.v1 import province_issuer_pb2 as pb
from healthcode.wire.base45 import decode_base45
from province_node.api.issuer import Codes, ProvinceIssuerServicer
from province_node.codes.kill_key import KillUseCase
from province_node.codes.revoke import RevokeUseCase
from province_node.metrics import NodeMetrics
from province_node.people.pseudonym import PseudonymKey
from province_node.store.sqlite.node_store import SqliteNodeStore
from province_node.store.sqlite.old_answers import keep_facts_of_answers
from province_node.store.sqlite.schema import MIGRATIONS
from province_node.threads import NodeThreads
from tests.unit.province_node.store.sqlite import old_release
from tests.unit.province_node.world import HOME, World

DUMP = Path(__file__).with_name("old_release.sql")
CALL = CallInfo("m", old_release.CALLER, None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The old release's database as a kill leaves it: much of it in the log alone."""
    writing, killed = tmp_path / "writing.db", tmp_path / "old.db"
    connection = sqlite3.connect(writing, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.executescript(DUMP.read_text())
    for suffix in ("", "-wal"):
        shutil.copy(f"{writing}{suffix}", f"{killed}{suffix}")
    connection.close()
    killed.chmod(0o600)
    return killed


def old_answers(path: Path) -> dict[str, bytes]:
    copy = path.with_name("copy.db")
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    with sqlite3.connect(copy) as connection:
        return dict(connection.execute("SELECT request_id, response FROM request"))


def texts(answers: dict[str, bytes]) -> list[str]:
    one = pb.IssueCodeResponse.FromString(answers["one"])
    many = pb.IssueCodesResponse.FromString(answers["many"])
    return [one.issued.code, *(each.issued.code for each in many.results if each.HasField("issued"))]


def is_clean(path: Path, wanted: list[str]) -> bool:
    """Whether no file of the database contains a code, as text or as the bytes behind it."""
    stored = b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))
    assert stored
    return not any(text.encode() in stored or decode_base45(text[6:])[-64:] in stored for text in wanted)


@pytest.fixture
async def service(world: World, path: Path) -> AsyncIterator[Callable[[], ProvinceIssuerServicer]]:
    """Opens the old database with this release, and serves back ends from it."""
    opened: list[Any] = []

    def serve() -> ProvinceIssuerServicer:
        world.store.close()
        world.store = SqliteNodeStore(path)
        issue = world.issuing()
        threads = NodeThreads()
        revoke = RevokeUseCase(
            participant=HOME,
            realm=world.realm.realm,
            store=world.store.revoking,
            trust=world.trust,
            nudge=lambda: None,
            clock=world.clock,
        )
        kill = KillUseCase(
            participant=HOME,
            keyring=world.keyring,
            store=world.store.killing,
            trust=world.trust,
            nudge=lambda: None,
            clock=world.clock,
        )
        servicer = ProvinceIssuerServicer(
            Codes(issue, revoke, kill),
            threads=threads,
            pseudonym_key=PseudonymKey(world.keyring.holder_secret()),
            clock=world.clock,
            metrics=NodeMetrics(Metrics("node-test")),
        )
        opened.extend((issue, threads))
        return servicer

    yield serve
    for each in opened:
        each.close()


async def test_old_answers_are_given_again_without_their_texts(
    service: Callable[[], ProvinceIssuerServicer], path: Path, world: World
) -> None:
    """Every request of the old release gets the same answer; a code of the killed key cannot be given again."""
    answers = old_answers(path)
    codes = texts(answers)
    assert not is_clean(path, codes)
    servicer = service()
    assert is_clean(path, codes)
    assert (await servicer.IssueCode(old_release.issue_one(), CALL)).SerializeToString() == answers["one"]
    before = pb.IssueCodesResponse.FromString(answers["many"])
    now = await servicer.IssueCodes(old_release.issue_many(), CALL)
    assert [each.refused_reason for each in now.results] == [
        "",
        "DOCUMENT_INVALID",
        Reason.CODE_NOT_REPEATABLE,
        "INVALID_REQUEST",
        "LEVEL_FORBIDDEN",
        "",
        "",
    ]
    assert [each.issued for each in now.results[5:]] == [each.issued for each in before.results[5:]]
    assert now.results[0] == before.results[0]
    killed_kid = before.results[2].issued.kid
    for method, request in (*old_release.revocations(codes), *old_release.kills(killed_kid)):
        answer = await getattr(servicer, method)(request, CALL)
        assert answer.SerializeToString() == answers[request.request_id], request.request_id
    assert world.store.counts(world.clock.at)["requests"] == 7


async def test_a_migration_that_is_killed_anywhere_is_finished(
    service: Callable[[], ProvinceIssuerServicer], path: Path
) -> None:
    """In the step that reads the answers, and before the file was rewritten: the next start ends it."""
    answers = old_answers(path)

    def fail(db: Session) -> None:
        keep_facts_of_answers(db)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        Database(path, [*MIGRATIONS[:6], fail])
    killed = Database(path, MIGRATIONS[:7])
    left = {each: each.read_bytes() for each in path.parent.glob(f"{path.name}*") if each.suffix != ".db-shm"}
    killed.close()  # which tidies up, as a kill does not
    for each, data in left.items():
        each.write_bytes(data)
        each.chmod(0o600)
    assert not is_clean(path, texts(answers))
    servicer = service()
    assert is_clean(path, texts(answers))
    assert (await servicer.IssueCode(old_release.issue_one(), CALL)).SerializeToString() == answers["one"]


def test_an_open_database_is_not_upgraded(path: Path) -> None:
    """While another process reads, texts would stay in the log: the upgrade waits for it, and says so."""
    answers = old_answers(path)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM request").fetchone()
    with pytest.raises(ConfigurationError, match="open in another process"):
        Database(path, MIGRATIONS, busy_timeout_seconds=0.05)
    reader.close()
    SqliteNodeStore(path).close()
    assert is_clean(path, texts(answers))
