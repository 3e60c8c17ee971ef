"""Replaces online keys that cannot be opened any more: the passphrase is lost, or the INDEX key is."""

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
from province_node.keys.key_files import ONLINE_PURPOSES, create_online_key
from province_node.publishing.catch_up import catch_up
from province_node.settings import NodeSettings
from province_node.store.opening import open_store

__all__ = ["Replaced", "is_index_file", "replace_index_key", "replace_keys"]


@dataclass(frozen=True, slots=True)
class Replaced:
    """Where the old files went (None: there were none), and the series of indices that comes next."""

    aside: Path | None
    first_series: int


def replace_keys(
    settings: NodeSettings, issuer: IssuerView | None, passphrase: bytes, *, now: int, development: bool
) -> Replaced:
    """Moves all online keys aside and makes new ones; durable when it returns. The node must not run.

    `issuer` is this participant as the registry publishes it now. Raises ConfigurationError;
    PreconditionError (INDEX_EXHAUSTED) when every series was opened.
    """
    # Old keys are moved aside, not deleted: the passphrase may be found. They stay published, so their codes stay
    # valid. New keys are in force once the authority has signed them.
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
    """`replace_keys` for the INDEX key only; `passphrase` is that of the other keys.

    Pseudonyms of holders made with the old key are lost: codes issued before can be revoked by code, rule or issuer,
    not by holder.
    """
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
    # A new INDEX key maps a series to other indices, so in a series of the old key it would give indices twice. The next
    # series is durable before the new key exists; a kill in between costs one series.
    store = open_store(settings.database)
    try:
        first_series = catch_up(store.publishing, issuer, now).first_series
    finally:
        store.close()
    if first_series >= SERIES_LIMIT:
        # in the last series, padding by another INDEX key would collide with codes
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
    """Whether a file has the INDEX key; for a damaged file, its name decides."""
    try:
        return read_key_info(path).purpose is KeyPurpose.INDEX
    except ConfigurationError:
        return path.name.startswith("index")


def _free_name(folder: Path, now: int) -> Path:
    """A free name beside the key folder, where keys are not read."""
    number = 1
    while (found := folder.with_name(f"{folder.name}.lost-{now}-{number}")).exists():
        number += 1
    return found
