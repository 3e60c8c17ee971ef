"""Faults of a node, each in a sentence that says what to do. Facts in, sentences out: nothing is read here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from healthcode.clock import rfc3339
from healthcode.signing.keyfile import KeyInfo
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import IssuerView
from province_node.keys.held_keys import HeldKeys
from province_node.keys.key_files import SIGNING_PURPOSES
from province_node.publishing.head_key import PUBLISH_KEYS, head_key_fault
from province_node.store.publication import Publication, PublishFailure

__all__ = [
    "head_key_warning",
    "held_warnings",
    "key_warnings",
    "publish_warnings",
]

_CODE_PURPOSES = frozenset({KeyPurpose.LIVE, KeyPurpose.PAPER})
_NOT_LOOKED = "it looks every ten seconds; if this stays, look for keys_not_opened and task_failed in its log, and restart it"
_MISSED = 3
"""A head older than so many re-sign intervals is late, whatever the reason."""


def head_key_warning(infos: Iterable[KeyInfo], issuer: IssuerView | None) -> str | None:
    """`head_key_fault` for key files; None before this participant is admitted."""
    heads = [info.public for info in infos if info.purpose is KeyPurpose.HEAD and info.public is not None]
    return None if issuer is None else head_key_fault(heads, issuer)


def key_warnings(infos: Collection[KeyInfo], issuer: IssuerView | None, now: int) -> Iterator[str]:
    """Purposes without a key that can sign now, and a HEAD key that is not published."""
    if issuer is None:
        return
    fault = head_key_warning(infos, issuer)
    if fault is not None:
        yield fault
    mine = {info.public for info in infos}
    for purpose in SIGNING_PURPOSES:
        if purpose in _CODE_PURPOSES and issuer.signs_until is not None and now >= issuer.signs_until:
            continue  # this province leaves, and signs no more codes
        if any(key.public in mine for key in issuer.keys_for(purpose, now)):
            continue
        yield f"no {purpose} key of this node is published and in its window: {_without(purpose)}. {_next_key(infos, issuer, purpose, now)}"


def _without(purpose: KeyPurpose) -> str:
    return {
        KeyPurpose.LIVE: "NO LIVE CODE CAN BE ISSUED",
        KeyPurpose.PAPER: "NO PAPER CODE CAN BE ISSUED",
        KeyPurpose.ANSWER: "no status query can be answered",
        KeyPurpose.QUESTION: "no home can be asked",
    }[purpose]


def _next_key(infos: Collection[KeyInfo], issuer: IssuerView, purpose: KeyPurpose, now: int) -> str:
    """The remedy: a published key begins later, a key waits for the authority, or a new key is needed."""
    published = {key.public: key for key in issuer.keys.values()}
    killed = frozenset() if issuer.revocations is None else issuer.revocations.head.killed_kids
    mine = [info for info in infos if info.purpose is purpose and info.public is not None]
    begins = sorted(
        key.not_before
        for info in mine
        if (key := published.get(info.public or b"")) and key.not_before > now and key.kid not in killed
    )
    rotate = f"`province-node keys rotate --purpose {purpose}`"
    if begins:
        return f"The next begins {rfc3339(begins[0])}; sooner: {rotate}, {PUBLISH_KEYS}"
    waits = any(info.public not in published and (info.not_after or 0) > now for info in mine)
    first = "One was made and is not published" if waits else f"Make one: {rotate}"
    return f"{first}: {PUBLISH_KEYS}" if waits else f"{first}, {PUBLISH_KEYS}"


def held_warnings(files: Iterable[tuple[str, str | None]], held: HeldKeys | None) -> Iterator[str]:
    """Keys in the folder that the running process does not have. `files`: name and kid in hex; None held: none runs."""
    if held is None or not held.opened:  # it starts, and opens them now
        return
    for name, kid in files:
        if name in held.opened and name in held.unreadable:
            yield (
                f"key {held.opened[name].kid or 'file'} is held in memory and signs on, but its file {name} can no longer be "
                f"read: {held.unreadable[name]}. Mend the file before any restart, which would end its use; `check` says how"
            )
        elif held.lacks(name, kid) or name in held.unreadable:
            yield (
                f"key {kid or 'file'} is in the folder ({name}), but the running node does not hold it, and signs nothing "
                f"with it: {held.unreadable.get(name, _NOT_LOOKED)}"
            )


def publish_warnings(
    publication: Publication | None,
    failure: PublishFailure | None,
    waiting: int,
    *,
    resign_seconds: float,
    now: int,
) -> Iterator[str]:
    """Why revocations are not published: refused, registry out of reach, or overdue."""
    held = (
        f"{waiting} revocations are recorded here and not published: other nodes pass those codes. "
        if waiting
        else ""
    )
    if failure is not None:
        yield (
            f"nothing is published since {rfc3339(failure.since)} ({failure.reason}): {failure.message}. {held}"
            "The node tries again"
        )
    elif publication is not None and now - publication.signed_at > _MISSED * max(resign_seconds, 60):
        yield (
            f"the last head is of {rfc3339(publication.signed_at)}, and one is due each {resign_seconds:g} s: "
            f"{held}does the node run, and what does its log say of publishing?"
        )
