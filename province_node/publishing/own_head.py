"""Watches this node's own revocation head in the trust files: a head that it did not make raises an alarm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from healthcode.clock import rfc3339
from healthcode.trust.view import IssuerView
from province_node.publishing.own_entry import EntryState, entry_lock, read_entry_state, write_entry_state

__all__ = ["FOREIGN_HEAD_REMEDY", "MadeHeads", "next_step", "note_second_node", "watch_head"]

_ENTRY_REMEDY = (
    "call the registry's operators and the authority's key holders: who did this? Then `province-node entry --accept`, "
    "or undo it"
)
FOREIGN_HEAD_REMEDY = (
    "if a second copy of this node runs anywhere, stop it, then `province-node entry --accept`; if none does, replace the live key, because somebody else has it: `province-node keys rotate --purpose HEAD`, `province-node authority "
    "sign --request request.json` on the authority's machine, `province-node publish --bundle bundle.json`; then "
    "issue again what was revoked wrongly, and `province-node entry --accept`"
)


class MadeHeads(Protocol):
    """The heads that a database has made."""

    def has_made(self, version: int, sha256: bytes) -> bool | None: ...


def next_step(state: EntryState) -> str:
    """What a person must do about the alarms."""
    steps = [
        step
        for alarm, step in ((state.alarm, _ENTRY_REMEDY), (state.head_alarm, FOREIGN_HEAD_REMEDY))
        if alarm
    ]
    return "; ".join(steps) or "nothing: it is as this node asked for and made"


def note_second_node(trust: Path, now: int) -> None:
    """Raises a durable alarm: another node publishes in this province's name (`second_node`). Blocks."""
    alarm = f"another node publishes in this province's name, each time this one has: stop it, seen {rfc3339(now)}"
    with entry_lock(trust):
        write_entry_state(trust, replace(read_entry_state(trust), head_alarm=alarm))


def watch_head(trust: Path, store: MadeHeads, issuer: IssuerView, now: int) -> EntryState:
    """Compares the published head with those that this database made; returns the updated, durable state. Blocks."""
    # A stolen live key can revoke codes and kill keys, nothing more. Each head's digest is durable before it is sent, so
    # an unknown digest was made by a thief, or by a newer copy of the database than this one.
    state = read_entry_state(trust)
    version = issuer.live_version
    if version is None or state.head_alarm is not None or state.head_version == version:
        return state
    if store.has_made(version, issuer.live_sha256) is not False:
        return state
    why = (
        f"revocation head version {version} is signed with this province's live key, and this node did not make it: "
        "somebody else has the key, or an older copy of the database was put back"
    )
    state = replace(state, head_alarm=f"{why}, seen {rfc3339(now)}", head_version=version)
    write_entry_state(trust, state)
    return state
