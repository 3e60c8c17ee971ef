"""The next publication of a node, made of what its store holds: the pure part of `publish`."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from healthcode.revocation.day import GRACE_SECONDS, day_of
from healthcode.revocation.head import Head, decode_head, encode_head
from healthcode.signing.ed25519 import PrivateKey
from healthcode.trust.format.metadata import sign_metadata, to_bytes
from healthcode.trust.format.new_metadata import new_live_metadata
from healthcode.trust.view import IssuerView
from province_node.publishing.day_list import DayLists
from province_node.store.records import Publication, PublishStore

__all__ = ["COVER_MARGIN_DAYS", "Outgoing", "prepare"]

COVER_MARGIN_DAYS = 8


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One publication, signed and ready to send. `lists` are the lists and deltas that the registry lacks."""

    request_id: str
    metadata: bytes
    head: bytes
    lists: tuple[bytes, ...]
    record: Publication


def prepare(
    *,
    participant: str,
    realm: str,
    store: PublishStore,
    issuer: IssuerView,
    key: PrivateKey,
    longest_code_seconds: int,
    resign_seconds: float,
    now: int,
    lists: DayLists | None = None,
    whole: bool = False,
    above: int = 0,
    vouched_now: int | None = None,
    has_rival: bool = False,
) -> Outgoing | None:
    """What should be published now, or None when what stands will do. Reads the store; blocks.

    `lists` remembers from call to call, so that a publication costs what changed. `whole`
    sends every list, for a registry that has lost what it had taken. The next version lies above
    `above`, too. `vouched_now` is a time
    that the registry signed: no day is forgotten before it. With a `rival` no series is opened.
    """
    last = store.publication()
    through = store.last_revocation()
    killed = store.killed_kids()
    covered_from = day_of(min(now, now if vouched_now is None else vouched_now) - GRACE_SECONDS)
    covered_to = day_of(now + longest_code_seconds) + COVER_MARGIN_DAYS
    published = max(last.version if last else 0, issuer.live_version or 0, above)
    if not whole and last is not None and published == last.version and through == last.through:
        same_days = covered_from <= last.covered_from and covered_to <= last.covered_to
        if same_days and now - last.signed_at < resign_seconds and _knows(last, killed, realm, participant):
            return None
    base = _base_head(last, issuer, realm, participant)
    if base is not None:
        covered_from = max(covered_from, base.covered_from)
        covered_to = max(covered_to, base.covered_to)
    made = (lists or DayLists(store, realm=realm, issuer=participant)).make(
        {} if base is None else base.days,
        range(covered_from, covered_to + 1),
        after=last.through if last is not None and not whole else 0,
        through=through,
        whole=whole,
    )
    head = Head(
        version=1 if base is None else base.version + 1,
        realm=realm,
        issuer=participant,
        covered_from=covered_from,
        covered_to=covered_to,
        days=made.days,
        killed_kids=killed if base is None else base.killed_kids | killed,
        sealing_keys=() if base is None else base.sealing_keys,
        first_series=_first_series(None if has_rival else store.first_series(covered_from), base),
    )
    if base is not None and replace(head, version=base.version) == base:
        head = base
    head_bytes = encode_head(head)
    metadata = new_live_metadata(participant, version=published + 1, head=head_bytes, now=now)
    sign_metadata(metadata, key)
    return Outgoing(
        request_id=secrets.token_hex(16),
        metadata=to_bytes(metadata),
        head=head_bytes,
        lists=made.files,
        record=Publication(
            version=published + 1,
            signed_at=now,
            covered_from=covered_from,
            covered_to=covered_to,
            through=through,
            head=head_bytes,
            lists=made.versions,
        ),
    )


def _first_series(kept: int | None, base: Head | None) -> int:
    """What the store says, which drops it when its days are over; without a restore, what stands."""
    if kept is not None:
        return kept
    return 0 if base is None else base.first_series


def _knows(last: Publication, killed: frozenset[bytes], realm: str, participant: str) -> bool:
    """Whether the last head names every key that was killed here."""
    return not killed or killed <= decode_head(last.head, realm=realm, issuer=participant).killed_kids


def _base_head(last: Publication | None, issuer: IssuerView, realm: str, participant: str) -> Head | None:
    """The newer of the head we know to be acknowledged and the one in the trust files."""
    known = decode_head(last.head, realm=realm, issuer=participant) if last is not None else None
    seen = issuer.revocations.head if issuer.revocations is not None else None
    if known is None or (seen is not None and seen.version > known.version):
        return seen
    return known
