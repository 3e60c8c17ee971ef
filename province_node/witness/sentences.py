"""What operators read about other provinces' audit logs: a row for each province, and what a person must do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from healthcode.audit.alarm import AuditAlarm
from healthcode.clock import rfc3339
from province_node.witness.judge import Witnessed, alarms_of

__all__ = ["audit_rows", "audit_steps"]


def audit_rows(known: Mapping[str, Witnessed], now: int) -> list[dict[str, Any]]:
    """One row a province, as plain data."""
    return [
        {
            "participant": code,
            "log": each.kept.log.hex(),
            "size": each.kept.size,
            "root": each.kept.root.hex(),
            "alarms": [alarm.alarm.value for alarm in alarms_of(code, each, now)],
            "unproved_since": None if each.unproved_since is None else rfc3339(each.unproved_since),
            "unproved_why": each.unproved_why or None,
        }
        for code, each in sorted(known.items())
    ]


def audit_steps(known: Mapping[str, Witnessed], now: int) -> Iterator[str]:
    """A sentence for each alarm: the facts, and what to do."""
    for code, each in sorted(known.items()):
        for raised in alarms_of(code, each, now):
            yield _step(code, each, raised.alarm)


def _step(code: str, known: Witnessed, alarm: AuditAlarm) -> str:
    since = "" if known.unproved_since is None else rfc3339(known.unproved_since)
    if alarm is AuditAlarm.FORK and known.fork is not None:
        return (
            f"{alarm}: the audit log of {code} was rewritten: {known.fork.why}. Its codes are verified as before. Keep "
            f"witness.json, call the operators of {code} and of the registry; it ends when {code} begins a new log and "
            "you accept that"
        )
    if alarm is AuditAlarm.RESTARTED and known.restart is not None:
        log = known.restart.seen.log.hex()
        return (
            f"{alarm}: {code} publishes a new audit log since {rfc3339(known.restart.at)}. Ask {code} whether it restored "
            f"a backup, and when; then `province-node audit accept-restart {code} --log {log}`"
        )
    return (
        f"{alarm}: {code} has not proved since {since} that its audit log has only grown ({known.unproved_why}). Is the "
        f"gateway up, and is {code} on old software? If both are well, {code} must say why"
    )
