"""A database of the release before derived levels (commit 3f5c5c8, dumped in stated_levels.sql) is upgraded.

Its back end had stated RED, YELLOW until three days later, GREEN, and RED that became GREEN, at NOW.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from healthcode.identity.document import decode_document
from healthcode.wire.claims import Level
from healthcode.wire.code import decode_code
from province_node.store.records import LevelStatement
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.unit.province_node.people.persons import DAY, Persons
from tests.unit.province_node.world import World
from tests.world.clock import NOW
from tests.world.people import VALID_IDS

DUMP = Path(__file__).with_name("stated_levels.sql")
RED, YELLOW, GREEN, CLEARED = (decode_document("10", number) for number in VALID_IDS)


@pytest.fixture
def upgraded(world: World) -> World:
    """The world with that database, opened by this release."""
    path = world.folder / "old.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(DUMP.read_text())
    connection.close()
    path.chmod(0o600)
    world.store.close()
    world.store = SqliteNodeStore(path)
    world.issued = 100  # other request ids than in the dump
    return world


def test_under_format_1_nothing_changes(upgraded: World) -> None:
    """The codes are known with their levels, and new levels are stated as before."""
    with sqlite3.connect(upgraded.folder / "old.db") as connection:
        codes = connection.execute("SELECT day, idx FROM code").fetchall()
    states = [upgraded.store.answering.code_state(*code) for code in codes]
    assert len(states) == 5
    assert sorted(str(state.level) for state in states if state is not None and not state.revoked) == [
        "GREEN",
        "GREEN",
        "RED",
        "YELLOW",
    ]
    code = upgraded.issue_one(number=VALID_IDS[0], statement=LevelStatement(Level.GREEN))
    assert decode_code(code.text, upgraded.realm.realm).claims.level is Level.GREEN
    assert not upgraded.store.levels.is_upgraded()


def test_what_was_stated_goes_on_as_an_order(upgraded: World) -> None:
    """With its reason, until its own end or for 14 days; GREEN becomes nothing, and no code is revoked."""
    persons = Persons(upgraded)
    revoked = upgraded.store.publishing.last_revocation()
    assert upgraded.store.levels.count_stated() == (2, 4)
    persons.work()
    assert upgraded.store.levels.is_upgraded()
    red, yellow = persons.explain(RED), persons.explain(YELLOW)
    assert red.ground is not None
    assert yellow.ground is not None
    assert (red.level, red.ground.rule, red.ground.reason, red.ground.ends) == (
        Level.RED,
        "migrated",
        "A4",
        NOW + 14 * DAY,
    )
    assert (yellow.level, yellow.ground.reason, yellow.ground.ends) == (Level.YELLOW, "B6", NOW + 3 * DAY)
    assert persons.last(YELLOW).legal_instrument == "No. 7"
    for document in (GREEN, CLEARED):
        assert (persons.level(document).level, persons.state(document).evidence) == (Level.GREEN, ())
    assert upgraded.store.publishing.last_revocation() == revoked
    assert upgraded.store.levels.count_stated() == (0, 2)
    upgraded.clock.at = NOW + 3 * DAY
    persons.work()
    assert persons.level(YELLOW).level is Level.GREEN


def test_who_is_asked_for_before_the_upgrade_came_by_is_not_whitened(upgraded: World) -> None:
    """The first code after the change carries the stated level, and the upgrade adds no second order."""
    persons = Persons(upgraded)
    code = upgraded.issue_one(number=VALID_IDS[0], statement=None)
    assert decode_code(code.text, upgraded.realm.realm).claims.level is Level.RED
    assert persons.last(RED).sequence == 2
    upgraded.clock.at += 60
    persons.work()
    persons.start()
    persons.work()
    assert len(persons.state(RED).evidence) == 1
    assert persons.last(RED).sequence == 2
    assert persons.explain(YELLOW).level is Level.YELLOW


def test_at_00_who_has_no_evidence_is_pending(upgraded: World) -> None:
    """The restricted keep their levels; the others have to be tested before they are NO_ABNORMALITY."""
    persons = Persons(upgraded, participant="00")
    persons.work()
    assert persons.level(RED).level is Level.RED
    assert persons.level(GREEN).level is Level.PENDING
