"""Describes the online keys, for `keys list` and `status`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError
from healthcode.signing.keyfile import KeyInfo
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.store import TrustStore
from healthcode.trust.view import IssuerView, TrustView
from province_node.keys.held_keys import HeldKeys
from province_node.keys.key_files import SIGNING_PURPOSES, list_key_files, read_online_info
from province_node.settings import NodeSettings

__all__ = ["NEW", "NOT_BEGUN", "NOT_HELD", "files_of", "key_lines", "read_view"]

NEW = "not published"
NOT_BEGUN = ", not begun"
NOT_HELD = "NOT HELD by the running node"


def key_lines(
    settings: NodeSettings, view: TrustView | None, now: int, held: HeldKeys | None = None
) -> list[dict[str, object]]:
    """A line for each key file: purpose, kid, state, when it signs, whether it is held, window, file.

    `held` is what the running process has; None if none runs, whose keys would sign so after a start.
    """
    if held is not None and not held.opened:  # it starts: nothing is known of it
        held = None
    issuer = view.issuers.get(settings.participant) if view is not None else None
    published = {} if issuer is None else {key.public: key for key in issuer.keys.values()}
    killed = issuer.revocations.head.killed_kids if issuer is not None and issuer.revocations else frozenset()
    lines: list[dict[str, object]] = []
    found, unreadable = _read_infos(settings.keys.folder)
    mine = {info.public for _, info in found}
    signs = {} if issuer is None else _signing(issuer, mine, settings.keys.settle_seconds, now)
    live_keys = frozenset() if issuer is None else issuer.live_keys
    live_since = max((info.created for _, info in found if info.public in live_keys), default=0)
    for path, info in found:
        kid = info.kid if info.public is not None else None
        state = "in use" if info.purpose not in SIGNING_PURPOSES else NEW
        if info.purpose is KeyPurpose.HEAD and issuer is not None and info.public not in issuer.live_keys:
            state = NEW if info.created >= live_since else "replaced"
        if kid in killed:
            state = "killed"
        elif info.public in published:
            state = "published"
        if info.not_before is not None and now < info.not_before:
            state += NOT_BEGUN
        if info.not_after is not None and now >= info.not_after:
            state += ", over"
        is_held = None if held is None else not held.lacks(path.name, kid.hex() if kid is not None else None)
        when = signs.get(info.public) if info.public is not None else None
        lines.append(
            {
                "purpose": info.purpose.value,
                "kid": kid.hex() if kid is not None else None,
                "state": state,
                "signs": NOT_HELD if when is not None and is_held is False else when,
                "held": is_held,
                "not_before": None if info.not_before is None else rfc3339(info.not_before),
                "not_after": None if info.not_after is None else rfc3339(info.not_after),
                "file": path.name,
            }
        )
    return [*lines, *(_unreadable_line(path, held) for path in unreadable)]


def files_of(lines: Iterable[Mapping[str, object]]) -> Iterator[tuple[str, str | None]]:
    """File and kid of each line."""
    for line in lines:
        kid = line["kid"]
        yield str(line["file"]), kid if isinstance(kid, str) else None


def _read_infos(folder: Path) -> tuple[list[tuple[Path, KeyInfo]], list[Path]]:
    """The public part of each key file, and the files that this process cannot read. Raises ConfigurationError."""
    found, unreadable = [], []
    for path in list_key_files(folder):
        try:
            found.append((path, read_online_info(path)))
        except HealthcodeError:
            unreadable.append(path)
    return found, unreadable


def _unreadable_line(path: Path, held: HeldKeys | None) -> dict[str, object]:
    is_held = None if held is None else path.name in held.opened
    return {
        "purpose": path.name.partition("-")[0].removesuffix(".key").upper(),
        "kid": None,
        "state": "CANNOT BE READ",
        "signs": None,
        "held": is_held,
        "not_before": None,
        "not_after": None,
        "file": path.name,
    }


def _signing(issuer: IssuerView, mine: Collection[bytes | None], settle: int, now: int) -> dict[bytes, str]:
    """When each published key signs, by public key: `now`, or `from` a time.

    The same rule as `Keyring.signing_key`, except for a key published late in its window: only the
    running node knows when it first saw that key.
    """
    signs: dict[bytes, str] = {}
    for purpose in SIGNING_PURPOSES:
        begun = [key for key in issuer.keys_for(purpose, now) if key.public in mine]
        settled = [key for key in begun if now - key.not_before >= settle] or begun[-1:]
        for key in begun[: begun.index(settled[0])] if settled else ():
            signs[key.public] = f"from {rfc3339(key.not_before + settle)}"
        for key in settled[:1]:
            signs[key.public] = "now"
    for key in issuer.keys.values():
        if key.public in mine and key.not_before > now and key.purpose in SIGNING_PURPOSES:
            signs[key.public] = f"from {rfc3339(key.not_before)}"
    return signs


def read_view(settings: NodeSettings) -> TrustView | None:
    try:
        return TrustStore.open(settings.trust.folder).view
    except HealthcodeError:
        return None
