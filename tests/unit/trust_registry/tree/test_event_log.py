"""The event log as a file."""

from __future__ import annotations

from pathlib import Path

from tests.world.clock import NOW, ManualClock
from trust_registry.tree.event_log import EventKind, EventLog, account_name


def test_events_come_back_in_their_order(tmp_path: Path) -> None:
    """With the time, the keys and the account of each; and others cannot read the file."""
    clock = ManualClock(NOW)
    log = EventLog(tmp_path / "events.ndjson", clock, "li")
    log.record(EventKind.PROPOSED, "proposal 1", "admit 31 上海")
    clock.at += 5
    log.record(EventKind.SIGNED, "proposal 1", who=["b", "a"])
    found, unreadable = log.read()
    assert [(each.at, each.kind, each.detail, each.who, each.account) for each in found] == [
        (NOW, EventKind.PROPOSED, "admit 31 上海", (), "li"),
        (NOW + 5, EventKind.SIGNED, "", ("a", "b"), "li"),
    ]
    assert unreadable == 0
    assert (tmp_path / "events.ndjson").stat().st_mode & 0o007 == 0


def test_a_line_that_was_cut_spoils_no_other(tmp_path: Path) -> None:
    """A kill in the middle of a write, or a damaged line: it is counted, and the next event has its own line."""
    path = tmp_path / "events.ndjson"
    log = EventLog(path, ManualClock(NOW))
    log.record(EventKind.PROPOSED, "one")
    path.write_bytes(path.read_bytes() + b'{"format": "healthcode/regi')
    log.record(EventKind.SIGNED, "two")
    found, unreadable = log.read()
    assert [each.subject for each in found] == ["one", "two"]
    assert unreadable == 1


def test_the_person_behind_sudo_is_named() -> None:
    """A command that runs as root says who called it."""
    assert account_name({"SUDO_USER": "li"}) == "li"
    assert account_name({})
