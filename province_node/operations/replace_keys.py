"""Online keys that cannot be opened any more, replaced: the passphrase is lost, or the INDEX key is.

What nobody can open is put aside, never deleted: it may turn up. New keys take its place,
which count once the authority has signed them. The old keys stay published, so the codes
that they signed are as good as before.

No index is ever given twice. A new INDEX key orders the indices of a series anew, so it may
never meet a series that the old one drew from: the next series is opened, durably, before
the new key is there, and nothing is issued before the registry has acknowledged a head that
says so. A kill in between opens one series too many when it is done again.

What a lost INDEX key takes with it: the pseudonyms of holders. Who had a code is a stranger
to the new key. Codes issued before are revoked by code, by rule or by operator; not by holder.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from healthcode.errors import ConfigurationError, PreconditionError, Reason
from healthcode.revocation.index import SERIES_LIMIT
from healthcode.signing.keyfile import read_key_info
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.files import sync
from healthcode.trust.view import IssuerView
from province_node.keys.keyring import ONLINE_PURPOSES, create_online_key
from province_node.publishing.catch_up import catch_up
from province_node.settings import NodeSettings
from province_node.store.node_store import NodeStore

__all__ = ["Replaced", "is_index_file", "replace_index_key", "replace_keys"]


@dataclass(frozen=True, slots=True)
class Replaced:
    """What was done: where the old files are (None: there were none), and the series that comes next."""

    aside: Path | None
    first_series: int


def replace_keys(
    settings: NodeSettings, issuer: IssuerView | None, passphrase: bytes, *, now: int, development: bool
) -> Replaced:
    """Puts all online keys aside and makes new ones; durable when it returns. The node must not run.

    `issuer` is this participant as the registry publishes it now. Raises ConfigurationError;
    PreconditionError (INDEX_EXHAUSTED) when every series was opened.
    """
    folder = settings.keys.folder
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(mode=0o700)
        for purpose in ONLINE_PURPOSES:
            _create(fresh, purpose, settings, passphrase, now, development=development)
        first_series = _open_next_series(settings, issuer, now)
        aside = _free_name(folder, now) if folder.exists() else None
        if aside is not None:
            folder.rename(aside)
        fresh.rename(folder)
        sync(folder.parent)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be replaced: {error.strerror}") from error
    return Replaced(aside, first_series)


def replace_index_key(
    settings: NodeSettings, issuer: IssuerView | None, passphrase: bytes, *, now: int, development: bool
) -> Replaced:
    """The same for the INDEX key alone: the others are there, and `passphrase` is theirs."""
    folder = settings.keys.folder
    aside = _free_name(folder, now)
    try:
        first_series = _open_next_series(settings, issuer, now)
        old = [path for path in sorted(folder.glob("*.key")) if is_index_file(path)]
        if old:
            aside.mkdir(mode=0o700)
            for path in old:
                path.rename(aside / path.name)
            sync(aside)
            sync(folder)
        _create(folder, KeyPurpose.INDEX, settings, passphrase, now, development=development)
    except OSError as error:
        raise ConfigurationError(f"the INDEX key cannot be replaced: {error.strerror}") from error
    return Replaced(aside if old else None, first_series)


def _open_next_series(settings: NodeSettings, issuer: IssuerView | None, now: int) -> int:
    store = NodeStore(settings.database)
    try:
        first_series = catch_up(store, issuer, now).first_series
    finally:
        store.close()
    if first_series >= SERIES_LIMIT:
        # padding by another INDEX key would meet codes of the last series
        raise PreconditionError(
            "every series of indices was opened for the days to come, so there is none for another INDEX key: "
            "do it again once the published head has forgotten them (about a month)",
            reason=Reason.INDEX_EXHAUSTED,
        )
    return first_series


def _create(
    folder: Path,
    purpose: KeyPurpose,
    settings: NodeSettings,
    passphrase: bytes,
    now: int,
    *,
    development: bool,
) -> None:
    create_online_key(
        folder,
        purpose,
        passphrase,
        participant=settings.participant,
        realm=settings.realm,
        now=now,
        development=development,
    )


def is_index_file(path: Path) -> bool:
    """Whether a key file is of the INDEX key; by its name when it is damaged."""
    try:
        return read_key_info(path).purpose is KeyPurpose.INDEX
    except ConfigurationError:
        return path.name.startswith("index")


def _free_name(folder: Path, now: int) -> Path:
    """Beside the folder, where no key is looked for."""
    number = 1
    while (found := folder.with_name(f"{folder.name}.lost-{now}-{number}")).exists():
        number += 1
    return found
