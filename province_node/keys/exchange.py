"""Replaces a compromised ANSWER, QUESTION or HEAD key, or one that is not published yet (no codes depend on it)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from healthcode.errors import ConfigurationError, InvalidInputError
from healthcode.signing.keyfile import read_key_info
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import IssuerView
from province_node.keys.key_files import create_online_key, list_key_infos
from province_node.settings import NodeSettings

__all__ = ["Exchanged", "StolenKey", "exchange_key", "find_stolen"]

_ASIDE = "keys-in-wrong-hands"
_MUST_BE_KILLED = frozenset({KeyPurpose.LIVE, KeyPurpose.PAPER})


@dataclass(frozen=True, slots=True)
class StolenKey:
    """A key of this node. `file` None: the key is published, and its file is missing here."""

    kid: bytes
    purpose: KeyPurpose
    file: Path | None
    is_published: bool

    @property
    def must_be_killed(self) -> bool:
        """Whether the key must be killed, because codes depend on it."""
        return self.is_published and self.purpose in _MUST_BE_KILLED


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The new key file, and where the old file went (None: it stays until the new key is published)."""

    file: Path
    aside: Path | None


def find_stolen(settings: NodeSettings, issuer: IssuerView | None, kid: bytes) -> StolenKey:
    """The key with this kid. Raises InvalidInputError when this node has none."""
    published = {} if issuer is None else issuer.keys
    live_keys = frozenset() if issuer is None else issuer.live_keys
    for path, info in list_key_infos(settings.keys.folder):
        if info.public is not None and info.kid == kid:
            is_published = kid in published or info.public in live_keys
            return StolenKey(kid, info.purpose, path, is_published)
    if kid in published:
        return StolenKey(kid, KeyPurpose(published[kid].purpose), None, is_published=True)
    raise InvalidInputError(
        f"this node has no key {kid.hex()}: `province-node keys list` shows its keys",
        fields={"kid": "no key of this node"},
    )


def exchange_key(
    settings: NodeSettings,
    stolen: StolenKey,
    passphrase: bytes,
    *,
    now: int,
    development: bool,
) -> Exchanged:
    """Makes a new key, or reuses a new HEAD key that is not published yet; durable when it returns.

    Until the authority publishes the new key, the old key stays in force, and the running node goes on with it.
    """
    if stolen.file is not None and stolen.purpose is KeyPurpose.HEAD:
        # the newest HEAD key is the one that the next request names, so its time must be later
        created = read_key_info(stolen.file).created
        waiting = _newer_head(settings.keys.folder, created)
        now = max(now, created + 1)
    else:
        waiting = None
    made = waiting or create_online_key(
        settings.keys.folder,
        stolen.purpose,
        passphrase,
        participant=settings.participant,
        realm=settings.realm,
        now=now,
        development=development,
    )
    if stolen.file is None or (stolen.purpose is KeyPurpose.HEAD and stolen.is_published):
        # only the published HEAD key can publish revocations until the new one is published
        return Exchanged(made, None)
    folder = settings.keys.folder.with_name(_ASIDE)
    aside = folder / stolen.file.name
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        stolen.file.rename(aside)
    except OSError as error:
        raise ConfigurationError(f"{stolen.file} cannot be moved aside: {error.strerror}") from error
    return Exchanged(made, aside)


def _newer_head(folder: Path, created: int) -> Path | None:
    """The HEAD key that was made last, if after `created`: it waits to be published."""
    heads = [(info.created, path) for path, info in list_key_infos(folder) if info.purpose is KeyPurpose.HEAD]
    newest, path = max(heads)
    return path if newest > created else None
