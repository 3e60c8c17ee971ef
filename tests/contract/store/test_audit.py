"""What every store promises of the audit log: entries in order, checkpoints, proofs, purge, and that damage is found."""

from __future__ import annotations

import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from healthcode.audit.checkpoint import continues
from healthcode.audit.entry import AuditEntry, person_subject
from healthcode.audit.proof_file import ProofFile, check_proofs
from healthcode.errors import InvalidInputError, NotFoundError
from province_node.store.audit_records import AuditFault, AuditQuery, AuditState
from tests.contract.store.stores import NOW

PERSON = person_subject(b"h" * 32)


def record(store, count=1, at=NOW, **changes):
    entry = replace(AuditEntry("ISSUED", "caller", content={"issued": 1}), **changes)
    store.audit.record([entry] * count, at)


def all_entries(store, query=AuditQuery(), limit=100):  # noqa: B008  frozen
    found, before = [], None
    while True:
        page, before = store.audit.query(query, before, limit)
        found += page
        if before is None:
            return found


def test_a_checkpoint_is_padded_and_continues_the_one_before(store, open_again):
    """Sizes are multiples of 256; the same again while nothing is recorded; a proof leads from each to each later one."""
    assert store.audit.checkpoint(NOW) is None
    made = []
    for count in (1, 300, 1, 2000):
        record(store, count)
        checkpoint = store.audit.checkpoint(NOW)
        assert checkpoint.size % 256 == 0
        assert open_again().audit.checkpoint(NOW + 9) == checkpoint
        made.append(checkpoint)
    assert [each.size for each in made] == [256, 768, 1024, 3072]
    for place, first in enumerate(made):
        for second in made[place:]:
            assert continues(first, second, store.audit.consistency(first.log, first.size, second.size))
    assert store.audit.verify() == AuditState(made[0].log, 3072, 0)
    for log, first, second, error in (
        (b"o" * 16, 1, 2, NotFoundError),
        (made[0].log, 1, 3073, NotFoundError),
        (made[0].log, 0, 2, InvalidInputError),
        (made[0].log, 3, 2, InvalidInputError),
    ):
        with pytest.raises(error):
            store.audit.consistency(log, first, second)


def test_writers_of_several_processes_make_one_log(store, open_again):
    """Each entry has a number of its own, and the tree is that of all."""
    stores = [store, open_again(), open_again()]
    with ThreadPoolExecutor(3) as pool:
        list(
            pool.map(
                lambda which: [record(which, 3) for _ in range(40)] and which.audit.checkpoint(NOW), stores
            )
        )
    entries = [each for each in all_entries(store) if each.entry.event == "ISSUED"]
    assert len(entries) == len({each.seq for each in entries}) == 360
    assert isinstance(store.audit.verify(), AuditState)


def test_nothing_fails_because_its_entry_is_too_long(store):
    """A content beyond the limit is kept as its length and digest."""
    record(store, 1, content={"issued_by": "x" * 100_000})
    (entry,) = all_entries(store, AuditQuery(event="ISSUED"))
    assert sorted(entry.entry.content) == ["sha256", "too_long"]
    assert isinstance(store.audit.verify(), AuditState)


def test_entries_are_found_by_event_actor_person_and_time(store):
    """Newest first, in pages; no padding is among them."""
    record(store, 3)
    record(store, 1, NOW + 5, event="LEVEL_CHANGED", actor="rules", subject=PERSON)
    store.audit.checkpoint(NOW + 6)
    record(store, 1, NOW + 7, actor="other")
    events = [each.entry.event for each in all_entries(store, limit=2)]
    assert events == ["ISSUED", "LEVEL_CHANGED", "ISSUED", "ISSUED", "ISSUED", "LOG_BEGUN"]
    for query, count in (
        (AuditQuery(event="ISSUED"), 4),
        (AuditQuery(actor="other"), 1),
        (AuditQuery(subject=PERSON), 1),
        (AuditQuery(from_at=NOW + 5, until_at=NOW + 7), 1),
    ):
        assert len(all_entries(store, query)) == count
    assert store.audit.newest("LEVEL_CHANGED", PERSON).entry.subject == PERSON
    assert store.audit.newest("PURGED", "log") is None


def test_a_persons_entries_are_proved(store):
    """The proof file of a store checks offline, and has this person's entries alone."""
    record(store, 300)
    assert store.audit.prove([PERSON]) is None
    store.audit.checkpoint(NOW)
    assert store.audit.prove([PERSON]).entries == ()
    for _ in range(3):
        record(store, 1, event="LEVEL_CHANGED", subject=PERSON)
        record(store, 100, subject=b"o" * 16)
    assert store.audit.prove([PERSON]).entries == (), "what is in no checkpoint yet is not proved yet"
    published = store.audit.checkpoint(NOW)
    record(store, 1, subject=PERSON)
    proofs = store.audit.prove([PERSON, b"x" * 16])
    assert proofs.checkpoint == published
    file = ProofFile("test", "31", proofs.checkpoint, proofs.proofs)
    assert check_proofs(file) == list(proofs.entries)
    assert [each.entry.subject for each in proofs.entries] == [PERSON] * 3


def test_a_purge_leaves_the_leaf(store):
    """What is purged is gone, its proofs and the root stay, and the log says what was purged."""
    record(store, 600, NOW, event="LEVEL_CHANGED", subject=PERSON)
    before = store.audit.checkpoint(NOW)
    record(store, 10, NOW + 100)
    assert store.audit.purge(NOW, NOW + 200) == 0
    assert store.audit.purge(NOW + 100, NOW + 200) == 768
    assert store.audit.purge(NOW + 100, NOW + 200) == 0
    assert not all_entries(store, AuditQuery(subject=PERSON))
    assert store.audit.newest("PURGED", "log").entry.content == {"log": before.log, "through": 767}
    after = store.audit.checkpoint(NOW + 300)
    assert continues(before, after, store.audit.consistency(before.log, before.size, after.size))
    assert store.audit.verify() == AuditState(before.log, after.size, 768)


def test_a_restored_store_begins_a_log_that_names_the_one_before(store):
    """The old log stays to be read and proved; the new one has another name and begins with the old one's checkpoint."""
    record(store, 5)
    old = store.audit.checkpoint(NOW)
    log = store.audit.begin_log(NOW + 1)
    new = store.audit.checkpoint(NOW + 2)
    assert new.log == log != old.log
    begun = store.audit.newest("LOG_BEGUN", "log").entry.content
    assert begun == {"log": old.log, "size": 256, "root": old.root}
    record(store, 5)
    store.audit.begin_log(NOW + 3)
    assert store.audit.newest("LOG_BEGUN", "log").entry.content["size"] == 261
    assert len(all_entries(store, AuditQuery(event="ISSUED"))) == 10
    assert store.audit.consistency(old.log, 3, 256)


CHANGES = {
    "edited": ("UPDATE audit SET {column} = {value} WHERE seq = 1000", 1000),
    "dropped": ("DELETE FROM audit WHERE seq = 1000", 1000),
    "dropped at the end": ("DELETE FROM audit WHERE seq >= 1000", 1000),
    "emptied": ("UPDATE audit SET salt = NULL, content = NULL WHERE seq = 1000", 1000),
    "swapped": (
        (
            "UPDATE audit SET id = -1 WHERE seq = 1000; UPDATE audit SET id = (1 << 40) + 1000 WHERE seq = 1500;"
            " UPDATE audit SET id = (1 << 40) + 1500 WHERE id = -1"
        ),
        1000,
    ),
    "a node": ("UPDATE audit_node SET hash = zeroblob(32) WHERE level = 8 AND idx = 3", 768),
    "an upper node": ("UPDATE audit_node SET hash = zeroblob(32) WHERE level = 10", 768),
}
COLUMNS = {
    "at": "at + 1",
    "event": "'REVOKED'",
    "actor": "'other'",
    "role": "'AUDITOR'",
    "subject": "x'00'",
    "content": "x'a0'",
    "salt": "zeroblob(16)",
    "leaf": "zeroblob(32)",
}


def test_every_way_of_damage_is_named_by_its_first_entry(store, tmp_path: Path):
    """Edit, drop, swap: of each kind of column, the first bad entry is named."""
    record(store, 2000)
    name = store.audit.checkpoint(NOW).log
    cases = [
        (statement.format(column=column, value=value), seq)
        for statement, seq in CHANGES.values()
        for column, value in (COLUMNS.items() if "{column}" in statement else [("", "")])
    ]
    with contextlib.closing(sqlite3.connect(tmp_path / "node.db", isolation_level=None)) as raw:
        columns = {"audit": f"id, {', '.join(COLUMNS)}", "audit_node": "*"}
        original = {
            table: raw.execute(f"SELECT {names} FROM {table}").fetchall() for table, names in columns.items()
        }
        for statement, seq in cases:
            raw.executescript(statement)
            found = store.audit.verify()
            assert isinstance(found, AuditFault), statement
            assert (found.log, found.seq) == (name, seq), statement
            raw.execute("BEGIN")
            for table, rows in original.items():
                raw.execute(f"DELETE FROM {table}")
                marks = ",".join("?" * len(rows[0]))
                raw.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
            raw.execute("COMMIT")
        assert isinstance(store.audit.verify(), AuditState)
        # the leaf of an entry that was purged cannot change either: only the tree tells
        store.audit.purge(NOW + 1, NOW + 1)
        raw.execute("UPDATE audit SET leaf = zeroblob(32) WHERE seq = 1000")
        assert store.audit.verify() == AuditFault(name, 768, store.audit.verify().problem)
