"""This node's own revocation head in the trust files, watched: an alarm at one that it did not make.

The live key is online, so it can be stolen. Whoever has it can revoke codes and kill keys in
this province's name: nothing more, but that is bad enough. A node knows what it made: the
digest of each version is durable before it is sent (`RevocationStore.record_attempt`). A
published version that was never made here, or with other bytes, is somebody else's; or the
database is an older copy, which knows less than it once did.

The alarm stays in `entry.json`, beside that of the entry, until a person has looked:
`province-node entry --accept`. It changes nothing in what is verified.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from healthcode.clock import rfc3339
from healthcode.trust.view import IssuerView
from province_node.publishing.own_entry import EntryBook, entry_lock, read_entry_book, write_entry_book

__all__ = ["FOREIGN_HEAD_REMEDY", "MadeHeads", "next_step", "note_second_node", "watch_head"]

_ENTRY_REMEDY = (
    "call the registry's operators and the authority's holders: who did this? Then `province-node entry --accept`, "
    "or undo it"
)
FOREIGN_HEAD_REMEDY = (
    "if a second copy of this node runs anywhere, stop it, then `province-node entry --accept`; if none does, take the live key from whoever has it: `province-node keys rotate --purpose HEAD`, `province-node authority "
    "sign --request request.json` on the authority's machine, `province-node publish --bundle bundle.json`; then "
    "issue anew what was revoked wrongly, and `province-node entry --accept`"
)


class MadeHeads(Protocol):
    """What a database remembers of what it made."""

    def has_made(self, version: int, sha256: bytes) -> bool | None: ...


def next_step(book: EntryBook) -> str:
    """What a person must do about the alarms that stand."""
    steps = [
        step for alarm, step in ((book.alarm, _ENTRY_REMEDY), (book.head_alarm, FOREIGN_HEAD_REMEDY)) if alarm
    ]
    return "; ".join(steps) or "nothing: it is as this node asked for and made"


def note_second_node(trust: Path, now: int) -> None:
    """Alarms, durably: another node publishes in this province's name (`rival`). Blocks."""
    alarm = f"another node publishes in this province's name, each time this one has: stop it, seen {rfc3339(now)}"
    with entry_lock(trust):
        write_entry_book(trust, replace(read_entry_book(trust), head_alarm=alarm))


def watch_head(trust: Path, store: MadeHeads, issuer: IssuerView, now: int) -> EntryBook:
    """Compares the published head with what this database made; the book as it stands then, durably. Blocks."""
    book = read_entry_book(trust)
    version = issuer.live_version
    if version is None or book.head_alarm is not None or book.head_version == version:
        return book
    if store.has_made(version, issuer.live_sha256) is not False:
        return book
    why = (
        f"revocation head version {version} is signed with this province's live key, and this node did not make it: "
        "somebody else has the key, or an older copy of the database was put back"
    )
    book = replace(book, head_alarm=f"{why}, seen {rfc3339(now)}", head_version=version)
    write_entry_book(trust, book)
    return book
