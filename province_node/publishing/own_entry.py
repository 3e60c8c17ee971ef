"""Watches this node's own entry in the trust files: a change that the node did not ask for raises an alarm."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from healthcode.clock import rfc3339
from healthcode.errors import ConflictError
from healthcode.storage.files import write_output
from healthcode.storage.lock import lock
from healthcode.trust.format.authority_chain import link_mark
from healthcode.trust.format.metadata import Targets, decode_metadata
from healthcode.trust.verify.join_request import JoinRequest
from healthcode.trust.view import IssuerView, TrustView

__all__ = [
    "Entry",
    "EntryState",
    "accept_entry",
    "entry_lock",
    "entry_of",
    "expect_entry",
    "is_newer",
    "read_entry_state",
    "watch_entry",
    "write_entry_state",
]

_FILE = "entry.json"
_LOCK = ".entry.lock"


@dataclass(frozen=True, slots=True)
class Entry:
    """One participant in the trust files: digests of its authority link and of its province.json."""

    link: str
    link_seq: int
    province: str
    version: int


@dataclass(frozen=True, slots=True)
class EntryState:
    """entry.json: the entry accepted last, the entries that this node asked for, and the alarms.

    `head_alarm` is about the revocation head of `head_version`; see `own_head`.
    """

    # An entry that was neither accepted nor asked for was made by others: operators or root key holders who replace the
    # authority, or a thief of its keys. An alarm changes no verdict, and stays until
    # `province-node entry --accept`.

    accepted: Entry | None = None
    expected: tuple[Entry, ...] = ()
    alarm: str | None = None
    alarmed_at: int | None = None
    alarm_entry: Entry | None = None
    head_alarm: str | None = None
    head_version: int | None = None


def entry_of(view: TrustView, participant: str) -> Entry | None:
    """The entry of a participant; None when it is not admitted."""
    # the newest listed link, even in its waiting period: a foreign one must be seen early
    issuer, authority = view.issuers.get(participant), view.authorities.get(participant)
    if issuer is None or authority is None:
        return None
    seq, mark = authority
    return Entry(mark, seq, issuer.province_sha256.hex(), issuer.province_version)


def expect_entry(trust: Path, bundle: JoinRequest) -> None:
    """Notes durably the entry that is about to be sent, so that it raises no alarm when it is published."""
    entry = Entry(
        link=link_mark(bundle.link),
        link_seq=bundle.link.seq,
        province=hashlib.sha256(bundle.province_json).hexdigest(),
        version=decode_metadata(bundle.metadata, Targets).signed.version,
    )
    with entry_lock(trust):
        state = read_entry_state(trust)
        others = tuple(each for each in state.expected if each != entry)
        write_entry_state(trust, replace(state, expected=(*others[-15:], entry)))


def is_newer(bundle: JoinRequest, published: IssuerView) -> bool:
    """Whether a complete bundle is newer than the published one; False when it is the published one.

    Raises ConflictError for an older version, or a version that was published with another content.
    """
    version = decode_metadata(bundle.metadata, Targets).signed.version
    if version > published.province_version:
        return True
    if version < published.province_version:
        raise ConflictError(
            f"version {version} is older than the published {published.province_version}: nothing was done; "
            "make a new request with `province-node request`"
        )
    if hashlib.sha256(bundle.province_json).digest() != published.province_sha256:
        raise ConflictError(f"version {version} is published with another content: nothing was done")
    return False


def watch_entry(trust: Path, found: Entry | None, now: int, *, leaves: bool = False) -> EntryState:
    """Compares the entry in force with what this node asked for; returns the updated state, which is durable.

    `leaves`: a retirement is announced, so the entry may be removed.
    """
    with entry_lock(trust):
        return _watch(trust, found, now, leaves=leaves)


def _watch(trust: Path, found: Entry | None, now: int, *, leaves: bool) -> EntryState:
    state = read_entry_state(trust)
    # an alarm stays until a person has looked, even if its cause is gone
    if found is None:
        if state.accepted is None or state.alarm is not None or leaves:
            return state
        why: str | None = (
            "operators removed this province's delegation without an announced retirement: other nodes refuse its codes"
        )
    elif found in (state.accepted, state.alarm_entry):
        return state
    else:
        why = _foreign(state, found)
    if why is None:
        state = replace(state, accepted=found)
    else:
        state = replace(state, alarm=f"{why}, seen {rfc3339(now)}", alarmed_at=now, alarm_entry=found)
    write_entry_state(trust, state)
    return state


def accept_entry(trust: Path, found: Entry | None) -> EntryState:
    """Accepts the entry as it is, after a person has looked, and ends the alarms."""
    with entry_lock(trust):
        state = replace(
            read_entry_state(trust),
            accepted=found,
            alarm=None,
            alarmed_at=None,
            alarm_entry=None,
            head_alarm=None,
        )
        write_entry_state(trust, state)
    return state


@contextlib.contextmanager
def entry_lock(trust: Path) -> Iterator[None]:
    """Locks entry.json between reading and writing, because node and commands both write it."""
    trust.mkdir(parents=True, exist_ok=True)
    with lock(trust / _LOCK):
        yield


def read_entry_state(trust: Path) -> EntryState:
    """The state; an empty one when the file is missing or damaged."""
    try:
        found = json.loads((trust / _FILE).read_bytes())
        return EntryState(
            accepted=_entry(found.get("accepted")),
            expected=tuple(entry for each in found.get("expected", ()) if (entry := _entry(each))),
            alarm=found.get("alarm"),
            alarmed_at=found.get("alarmed_at"),
            alarm_entry=_entry(found.get("alarm_entry")),
            head_alarm=found.get("head_alarm"),
            head_version=found.get("head_version"),
        )
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return EntryState()


def _foreign(state: EntryState, found: Entry) -> str | None:
    """Why this node did not make an entry; None when it did."""
    links = {each.link for each in (*state.expected, *([state.accepted] if state.accepted else []))}
    provinces = {each.province for each in (*state.expected, *([state.accepted] if state.accepted else []))}
    if found.link not in links:
        return f"this province has a new authority (link {found.link_seq}) that this node did not ask for"
    if found.province not in provinces:
        return (
            f"province.json version {found.version} was published by somebody who has the authority's keys, and "
            "not through this node"
        )
    return None


def write_entry_state(trust: Path, state: EntryState) -> None:
    """Writes the state durably."""
    body: dict[str, Any] = {
        "accepted": _fields(state.accepted),
        "expected": [_fields(each) for each in state.expected],
        "alarm": state.alarm,
        "alarmed_at": state.alarmed_at,
        "alarm_entry": _fields(state.alarm_entry),
        "head_alarm": state.head_alarm,
        "head_version": state.head_version,
    }
    write_output(trust / _FILE, json.dumps(body, indent=1, ensure_ascii=False).encode())


def _fields(entry: Entry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {
        "link": entry.link,
        "link_seq": entry.link_seq,
        "province": entry.province,
        "version": entry.version,
    }


def _entry(found: Mapping[str, Any] | None) -> Entry | None:
    if found is None:
        return None
    return Entry(str(found["link"]), int(found["link_seq"]), str(found["province"]), int(found["version"]))
