"""The files of the node's online keys: made and listed; offline keys found, which must not be here."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from healthcode.errors import ConfigurationError
from healthcode.signing.ed25519 import SEED_BYTES, PrivateKey, kid
from healthcode.signing.keyfile import KeyFileDamageError, KeyInfo, create_key_file, read_key_info
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.layout import DAY_SECONDS

__all__ = [
    "OFFLINE_PURPOSES",
    "ONLINE_PURPOSES",
    "SIGNING_PURPOSES",
    "WINDOW_SECONDS",
    "add_remedy",
    "create_online_key",
    "find_offline_keys",
    "list_key_files",
    "list_key_infos",
    "read_online_info",
]

SIGNING_PURPOSES = (KeyPurpose.LIVE, KeyPurpose.PAPER, KeyPurpose.ANSWER, KeyPurpose.QUESTION)
# INDEX is a secret, not a signing key: index permutation and holder pseudonyms use keys derived from it. It is never
# rotated, because another key would give indices of the same series again.
ONLINE_PURPOSES = (*SIGNING_PURPOSES, KeyPurpose.HEAD, KeyPurpose.INDEX)
OFFLINE_PURPOSES = frozenset({KeyPurpose.AUTHORITY, KeyPurpose.ROOT, KeyPurpose.OPERATOR})

WINDOW_SECONDS = {
    KeyPurpose.LIVE: 7 * DAY_SECONDS,
    KeyPurpose.PAPER: 30 * DAY_SECONDS,
    KeyPurpose.ANSWER: 90 * DAY_SECONDS,
    KeyPurpose.QUESTION: 90 * DAY_SECONDS,
}
"""How long a new key may sign; for LIVE and PAPER this is the longest that other nodes accept."""

_KEY_FILE_MARK = b"healthcode/key/1"
_PURPOSE = re.compile(rb'"purpose"\s*:\s*"([A-Z]+)"')
_MAX_LOOK_BYTES = 1 << 20


def create_online_key(
    folder: Path,
    purpose: KeyPurpose,
    passphrase: bytes,
    *,
    participant: str,
    realm: str,
    now: int,
    not_before: int | None = None,
    development: bool = False,
) -> Path:
    """Makes a key in an encrypted file of mode 0600 in `folder`; durable when it returns."""
    secret = secrets.token_bytes(SEED_BYTES) if purpose is KeyPurpose.INDEX else PrivateKey.generate()
    begins = now if not_before is None else not_before
    window = WINDOW_SECONDS.get(purpose)
    label = kid(secret.public).hex()[:8] if isinstance(secret, PrivateKey) else "secret"
    path = folder / f"{purpose.lower()}-{label}.key"
    create_key_file(
        path,
        secret,
        passphrase,
        purpose=purpose,
        realm=realm,
        participant=participant,
        name=path.stem,
        created=now,
        not_before=begins if window is not None else None,
        not_after=begins + window if window is not None else None,
        cost="development" if development else "production",
    )
    return path


def list_key_infos(folder: Path) -> list[tuple[Path, KeyInfo]]:
    """The unencrypted part of each key file in `folder`. Raises ConfigurationError."""
    return [(path, read_online_info(path)) for path in list_key_files(folder)]


def list_key_files(folder: Path) -> list[Path]:
    """The key files in `folder`. Raises ConfigurationError."""
    if not folder.is_dir():
        raise ConfigurationError(f"the key folder {folder} is missing: run `province-node init` first")
    return sorted(folder.glob("*.key"))


def read_online_info(path: Path) -> KeyInfo:
    """`read_key_info`; the message for a damaged file says what to do without a backup."""
    try:
        return read_key_info(path)
    except KeyFileDamageError as error:
        raise add_remedy(path, error) from None


def add_remedy(path: Path, error: ConfigurationError) -> ConfigurationError:
    """The same error, with what to do if there is no backup."""
    # of a damaged file, only the name tells the purpose
    purpose = path.name.partition("-")[0].removesuffix(".key").upper()
    if purpose == KeyPurpose.INDEX:
        make = "`province-node keys replace --index-only` moves it aside and makes another"
    else:
        named = purpose if purpose in (*SIGNING_PURPOSES, KeyPurpose.HEAD) else "PURPOSE"
        make = f"move it aside, out of {path.parent}, then make another: `province-node keys rotate --purpose {named}`"
    return ConfigurationError(f"{error.message}; where there is no backup, {make}")


def find_offline_keys(root: Path) -> Iterator[Path]:
    """Key files below `root` that belong on an offline machine, under any name and behind any link."""
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # links may form a circle
            folders.clear()
            continue
        seen.add(real)
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and _is_offline_key(path):
                yield path


def _is_offline_key(path: Path) -> bool:
    """Looks at the content only: this also finds a key file of a wrong mode or with padding."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_LOOK_BYTES)
    except OSError:
        return False
    return _KEY_FILE_MARK in data and any(
        purpose.decode() in OFFLINE_PURPOSES for purpose in _PURPOSE.findall(data)
    )
