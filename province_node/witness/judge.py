"""What this province knows of another one's audit log, and how a checkpoint or a proof changes it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from healthcode.audit.alarm import AuditAlarm, RaisedAlarm
from healthcode.audit.checkpoint import Checkpoint
from healthcode.audit.consistency import GrowthQuestion
from healthcode.clock import rfc3339
from healthcode.errors import PreconditionError

__all__ = [
    "CHECKPOINT_MISSING",
    "UNPROVED_SECONDS",
    "Finding",
    "Shown",
    "Witnessed",
    "accept_restart",
    "alarms_of",
    "look",
    "proved",
    "question_about",
    "refuted",
    "unproved",
]

UNPROVED_SECONDS = 86_400
"""So long a checkpoint may stay without a proof before it is an alarm."""
CHECKPOINT_MISSING = "CHECKPOINT_MISSING"


@dataclass(frozen=True, slots=True)
class Shown:
    """What live metadata of version `version` shows: its checkpoint, or None if it has none."""

    version: int
    checkpoint: Checkpoint | None


@dataclass(frozen=True, slots=True)
class Finding:
    """Why an alarm was raised: the checkpoint that does not fit the kept one, and when it was seen."""

    seen: Checkpoint
    at: int
    why: str


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The record of one province: the newest checkpoint that is known to continue all earlier ones.

    `version` is that of the live metadata that showed `kept`. `fork` ends when the province begins a new log and a
    person accepts that; `restart` when a person accepts it. `unproved_why` is a reason word.
    """

    kept: Checkpoint
    version: int
    fork: Finding | None = None
    restart: Finding | None = None
    unproved_since: int | None = None
    unproved_why: str = ""


def look(known: Witnessed | None, shown: Shown, now: int) -> Witnessed | None:
    """The record after the live metadata of `shown` was verified. The first checkpoint of all is kept as it is."""
    checkpoint = shown.checkpoint
    if known is None:
        return None if checkpoint is None else Witnessed(checkpoint, shown.version)
    if shown.version < known.version:
        return known  # an older statement, from a source that lags: it may be shorter
    if checkpoint is None:
        return unproved(known, CHECKPOINT_MISSING, now)
    kept = known.kept
    if checkpoint.log != kept.log:
        if known.restart is not None and known.restart.seen.log == checkpoint.log:
            return known
        why = f"a new log {checkpoint.log.hex()} follows {kept.log.hex()}"
        return replace(_without_doubt(known), restart=Finding(checkpoint, now, why))
    if known.fork is not None:
        return known
    contradiction = _contradiction(known, checkpoint, shown.version)
    if contradiction is not None:
        return _forked(known, checkpoint, contradiction, now)
    if checkpoint == kept or known.unproved_why == CHECKPOINT_MISSING:
        return _without_doubt(known)
    return known


def question_about(known: Witnessed | None, shown: Shown) -> GrowthQuestion | None:
    """What the province must prove; None if there is nothing to prove, or an alarm has settled it."""
    later = shown.checkpoint
    if known is None or later is None or known.fork is not None or shown.version < known.version:
        return None
    if later.log != known.kept.log or later.size <= known.kept.size:
        return None
    return GrowthQuestion(later.log, known.kept.size, later.size)


def proved(known: Witnessed, shown: Shown) -> Witnessed:
    """After a proof from the kept checkpoint to the shown one, which is kept from now on."""
    if shown.checkpoint is None:
        return known
    return replace(_without_doubt(known), kept=shown.checkpoint, version=shown.version)


def refuted(known: Witnessed, shown: Shown, now: int) -> Witnessed:
    """After the province signed a path that does not lead from the kept root to the shown one."""
    later = shown.checkpoint
    if later is None or known.fork is not None:
        return known
    why = (
        f"its own signed proof does not lead from the {known.kept.size} entries of version {known.version} "
        f"to the {later.size} of version {shown.version}"
    )
    return _forked(known, later, why, now)


def unproved(known: Witnessed, why: str, now: int) -> Witnessed:
    """After there was no proof: `why` is a reason word. Since when, stays."""
    if known.fork is not None or (known.unproved_since is not None and known.unproved_why == why):
        return known
    since = now if known.unproved_since is None else known.unproved_since
    return replace(known, unproved_since=since, unproved_why=why)


def accept_restart(known: Witnessed, log: bytes) -> Witnessed:
    """Goes on with the new log from its first checkpoint that was seen here. Raises PreconditionError for another log."""
    restart = known.restart
    if restart is None or restart.seen.log != log:
        waits = "no new log waits" if restart is None else f"the log that waits is {restart.seen.log.hex()}"
        raise PreconditionError(f"{waits}: look at `province-node status`, and name the log that it shows")
    # the version stays: what the new log showed since is compared with its first checkpoint
    return Witnessed(restart.seen, known.version)


def alarms_of(participant: str, known: Witnessed, now: int) -> list[RaisedAlarm]:
    """The alarms about one province."""
    found = []
    if known.fork is not None:
        found.append(RaisedAlarm(participant, AuditAlarm.FORK, known.fork.at))
    if known.restart is not None:
        found.append(RaisedAlarm(participant, AuditAlarm.RESTARTED, known.restart.at))
    since = known.unproved_since
    if since is not None and now - since >= UNPROVED_SECONDS:
        found.append(RaisedAlarm(participant, AuditAlarm.UNPROVED, since))
    return found


def _contradiction(known: Witnessed, seen: Checkpoint, version: int) -> str | None:
    """Why two signed checkpoints of one log cannot both be true; None if they can."""
    kept = known.kept
    if seen.size < kept.size:
        return f"it had {kept.size} entries in version {known.version}, and {seen.size} in {version}"
    if seen.size == kept.size and seen.root != kept.root:
        return f"versions {known.version} and {version} sign two roots of {kept.size} entries"
    return None


def _forked(known: Witnessed, seen: Checkpoint, why: str, now: int) -> Witnessed:
    return replace(_without_doubt(known), fork=Finding(seen, now, f"{why}, seen {rfc3339(now)}"))


def _without_doubt(known: Witnessed) -> Witnessed:
    return replace(known, unproved_since=None, unproved_why="")
