"""What a province keeps of another one's log, and what it holds against it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healthcode.audit.alarm import AuditAlarm
from healthcode.audit.checkpoint import Checkpoint
from healthcode.audit.consistency import GrowthQuestion
from healthcode.errors import ConfigurationError, PreconditionError
from province_node.witness.judge import (
    CHECKPOINT_MISSING,
    UNPROVED_SECONDS,
    Shown,
    Witnessed,
    accept_restart,
    alarms_of,
    look,
    proved,
    question_about,
    refuted,
    unproved,
)
from province_node.witness.witness_file import WITNESS_FILE, WitnessFile

NOW = 1_800_000_000
LOG, OTHER, THIRD = b"L" * 16, b"M" * 16, b"N" * 16


def at(size: int, root: bytes = b"r", log: bytes = LOG) -> Checkpoint:
    return Checkpoint(log, size, root * 32)


KEPT = Witnessed(at(512), 7)


def words(known: Witnessed | None, now: int = NOW) -> list[str]:
    assert known is not None
    return [each.alarm.value for each in alarms_of("31", known, now)]


def test_the_first_checkpoint_is_kept_and_the_next_one_waits_for_its_proof() -> None:
    """Nothing is kept of a province without a log; then the first; a longer one only once it is proved."""
    assert look(None, Shown(1, None), NOW) is None
    first = look(None, Shown(7, at(512)), NOW)
    assert first == KEPT
    later = Shown(9, at(1024, b"s"))
    assert look(KEPT, later, NOW) == KEPT
    assert question_about(KEPT, later) == GrowthQuestion(LOG, 512, 1024)
    after = proved(unproved(KEPT, "HOME_UNAVAILABLE", NOW), later)
    assert after == Witnessed(at(1024, b"s"), 9)
    assert question_about(after, later) is None


@pytest.mark.parametrize("seen", [at(256), at(512, b"s")])
def test_two_signed_checkpoints_that_contradict_are_a_fork(seen: Checkpoint) -> None:
    """A smaller size, or another root of one size: nobody needs to be asked, and the alarm stays."""
    forked = look(KEPT, Shown(8, seen), NOW)
    assert words(forked) == ["AUDIT_FORK"]
    assert forked is not None
    assert forked.fork is not None
    assert (forked.kept, forked.fork.seen) == (KEPT.kept, seen)
    good = Shown(9, at(1024))
    assert look(forked, good, NOW + 1) == forked
    assert question_about(forked, good) is None


def test_an_older_statement_is_no_contradiction() -> None:
    """A source that lags shows live metadata from before the kept one: a shorter log then is right."""
    assert look(KEPT, Shown(6, at(256)), NOW) == KEPT
    assert look(KEPT, Shown(6, None), NOW) == KEPT
    assert question_about(KEPT, Shown(6, at(1024))) is None


def test_a_refuted_proof_is_a_fork_and_a_missing_one_is_not() -> None:
    """The province's own wrong word convicts it; silence becomes an alarm after a day, and ends with a proof."""
    later = Shown(9, at(1024))
    assert words(refuted(KEPT, later, NOW)) == ["AUDIT_FORK"]
    silent = unproved(unproved(KEPT, "HOME_UNAVAILABLE", NOW), "SIGNATURE_INVALID", NOW + 60)
    assert (silent.unproved_since, silent.unproved_why) == (NOW, "SIGNATURE_INVALID")
    assert words(silent, NOW + UNPROVED_SECONDS - 1) == []
    assert words(silent, NOW + UNPROVED_SECONDS) == ["AUDIT_UNPROVED"]
    assert question_about(silent, later) is not None
    assert words(proved(silent, later), NOW + UNPROVED_SECONDS) == []


def test_a_checkpoint_that_is_left_out_does_not_stay_unnoticed() -> None:
    """A node that goes back to old software, or hides its log, is unproved until it shows one again."""
    hidden = look(KEPT, Shown(8, None), NOW)
    assert hidden is not None
    assert (hidden.unproved_since, hidden.unproved_why) == (NOW, CHECKPOINT_MISSING)
    assert look(hidden, Shown(9, None), NOW + 60) == hidden
    assert look(hidden, Shown(10, at(512)), NOW + 60) == KEPT


def test_a_new_log_waits_for_a_person() -> None:
    """After a restore: an alarm until somebody accepts that very log; then its growth is proved from its beginning."""
    restarted = look(unproved(KEPT, "HOME_UNAVAILABLE", NOW), Shown(8, at(256, b"n", OTHER)), NOW)
    assert words(restarted, NOW + UNPROVED_SECONDS) == ["AUDIT_RESTARTED"]
    assert restarted is not None
    later = Shown(9, at(768, b"o", OTHER))
    assert look(restarted, later, NOW + 1) == restarted
    assert question_about(restarted, later) is None
    third = look(restarted, Shown(10, at(256, b"p", THIRD)), NOW + 2)
    assert third is not None
    assert third.restart is not None
    assert third.restart.seen.log == THIRD
    with pytest.raises(PreconditionError, match=OTHER.hex()):
        accept_restart(restarted, THIRD)
    with pytest.raises(PreconditionError, match="no new log"):
        accept_restart(KEPT, OTHER)
    accepted = accept_restart(restarted, OTHER)
    assert accepted.kept == at(256, b"n", OTHER)
    assert words(accepted, NOW + UNPROVED_SECONDS) == []
    assert question_about(accepted, later) == GrowthQuestion(OTHER, 256, 768)
    rewritten = look(accepted, Shown(9, at(256, b"q", OTHER)), NOW)
    assert words(rewritten) == ["AUDIT_FORK"]


def test_a_fork_is_not_forgotten_by_beginning_a_new_log() -> None:
    """Both alarms stand until a person accepts the new log."""
    forked = look(KEPT, Shown(8, at(256)), NOW)
    both = look(forked, Shown(9, at(256, b"n", OTHER)), NOW)
    assert words(both) == [AuditAlarm.FORK, AuditAlarm.RESTARTED]
    assert both is not None
    assert words(accept_restart(both, OTHER)) == []


def test_what_was_witnessed_is_durable(tmp_path) -> None:
    """Every field comes back from the file, one province's change touches no other, and a damaged file is said to be."""
    file = WitnessFile(tmp_path / "trust")
    assert file.read() == {}
    rich = replace(
        refuted(KEPT, Shown(9, at(1024)), NOW), unproved_since=NOW, unproved_why="HOME_UNAVAILABLE"
    )
    rich = look(rich, Shown(10, at(256, b"n", OTHER)), NOW) or rich
    assert file.change("44", lambda _: rich) == (None, rich)
    assert file.change("11", lambda _: KEPT) == (None, KEPT)
    assert file.change("31", lambda known: known) == (None, None)
    assert WitnessFile(tmp_path / "trust").read() == {"44": rich, "11": KEPT}
    path = tmp_path / "trust" / WITNESS_FILE
    for damage in (b"{}", path.read_bytes()[:-20], path.read_bytes().replace(b"512", b"511")):
        path.write_bytes(damage)
        with pytest.raises(ConfigurationError, match="damaged"):
            file.read()
        with pytest.raises(ConfigurationError):
            file.change("11", lambda known: known)
