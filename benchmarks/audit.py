"""The audit log: the price of an entry, of a proof, and of the log in issuing."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from benchmarks.measure import Figure, benchmark, cpu_seconds, ratio
from benchmarks.store import used_bytes
from healthcode.audit.entry import AuditEntry, person_subject
from healthcode.audit.events import AuditEvent
from healthcode.storage.sqlite import Database
from province_node.keys.keyring import Keyring
from province_node.store.records import Request
from province_node.store.sqlite.audit.audit_rows import indices_digest, record_entries, request_entry
from province_node.store.sqlite.audit.audit_table import SqliteAudit
from province_node.store.sqlite.node_store import SqliteNodeStore
from province_node.store.sqlite.schema import MIGRATIONS
from tests.simulator.followed import Followed
from tests.unit.province_node.world import HOME, PASSPHRASE, World, write_keys
from tests.world.clock import ManualClock
from tests.world.people import order

ENTRIES = 5_000
PROOFS = 50
ISSUED = 200
ROUNDS = 7
NOW = 1_795_248_000
REQUEST = Request(
    "spiffe://cn.healthcode/issuer/31/hospital-1",
    "1b671a64-40d5-491e-99b0-da01ff1f3341",
    "IssueCode",
    b"",
    NOW,
)


def _entry(number: int) -> AuditEntry:
    """As a request for one code leaves it."""
    counts = {"issued": 1, "refused": 0, "indices": indices_digest([(NOW // 86_400, number)])}
    return request_entry(AuditEvent.ISSUED, REQUEST, counts)


@contextmanager
def _database() -> Iterator[tuple[Database, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "node.db"
        database = Database(path, MIGRATIONS)
        yield database, path
        database.close()


@benchmark("audit_append_us", "audit_row_bytes", "audit_proof_us")
def log() -> Iterator[Figure]:
    """Entries one by one in one transaction, then the tree over them; then proofs of one entry each."""
    with _database() as (database, path):
        audit = SqliteAudit(database)
        empty = used_bytes(path)

        def append() -> None:
            with database.transaction() as db:
                for number in range(ENTRIES):
                    record_entries(db, NOW, [_entry(number)])
            audit.build()

        spent = [cpu_seconds(append) for _ in range(ROUNDS)]
        size = (used_bytes(path) - empty) / (ROUNDS * ENTRIES)
        persons = [person_subject(number.to_bytes(32)) for number in range(PROOFS)]
        changes = [AuditEntry(AuditEvent.LEVEL_CHANGED, "rules", "", person) for person in persons]
        audit.record(changes, NOW)
        audit.checkpoint(NOW)

        def prove() -> None:
            for person in persons:
                audit.prove([person])

        proving = statistics.median(cpu_seconds(prove) for _ in range(ROUNDS)) / PROOFS * 1e6
    yield Figure(
        "audit_append_us",
        "CPU time of one entry of a request, with its leaf and the tree",
        statistics.median(spent) / ENTRIES * 1e6,
        "µs",
        "<= 30",
        ROUNDS,
    )
    yield Figure("audit_row_bytes", "database pages: such an entry", size, "B", None, 1)
    yield Figure(
        "audit_proof_us",
        f"CPU time of one proof in a log of {ROUNDS * ENTRIES} entries",
        proving,
        "µs",
        None,
        ROUNDS,
    )


@benchmark("audit_issuing_ratio")
def issuing() -> Iterator[Figure]:
    """The same single codes through the use case, with the entry of each request and without."""
    with tempfile.TemporaryDirectory() as folder, _world(Path(folder)) as world:
        use_case = world.issuing()
        requests = iter(range(1 << 30))

        def issue(orders: Sequence[object]) -> None:
            for _ in range(ISSUED):
                use_case.issue(orders, world.request(f"r-{next(requests)}"))  # type: ignore[arg-type]

        def with_log() -> None:
            issue([order()])
            world.store.audit.build()

        def without() -> None:
            with mock.patch("province_node.store.sqlite.issuing.record_entries"):
                issue([order()])

        found = ratio(with_log, without, rounds=ROUNDS)
        use_case.close()
    yield Figure(
        "audit_issuing_ratio",
        "CPU time of issuing single codes, with the audit log and without",
        found,
        "times",
        "<= 1.05",
        ROUNDS,
    )


@contextmanager
def _world(folder: Path) -> Iterator[World]:
    followed = Followed.of("00", "31")
    realm = followed.realm()
    followed.copy(folder / "trust")
    write_keys(folder / "keys", realm)
    store = SqliteNodeStore(folder / "node.db")
    keyring = Keyring(folder / "keys", PASSPHRASE, participant=HOME, realm=realm.realm)
    world = World(folder, realm, keyring, store, ManualClock(), followed.view)
    world.cover()
    yield world
    store.close()
