"""Changes the passphrase of key files. The old passphrase must be known; the key stays the same.

An old copy still opens with the old passphrase: if somebody may have both, rotate the key instead.
"""

from __future__ import annotations

import glob
import secrets
from collections.abc import Sequence
from pathlib import Path

from healthcode.errors import ConfigurationError, InvalidInputError
from healthcode.signing.keyfile import LoadedKey, create_key_file, read_key_cost, read_key_file, read_key_info
from healthcode.signing.passphrase import check_passphrase
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.files import move_batch, write_atomic

__all__ = ["change_passphrase", "replace_passphrase_file"]


def change_passphrase(paths: Sequence[Path], old: bytes, new: bytes) -> list[Path]:
    """Gives key files the passphrase `new`. Returns the changed ones; skips those that have it already.

    After an interruption some files have the new passphrase: run it again with the same two passphrases. Raises
    InvalidInputError for a new passphrase that is too short or equals the old one; ConfigurationError, which names
    the file, when neither passphrase opens one of them. Nothing is changed then.
    """
    check_passphrase(new.decode(errors="replace"))
    if new == old:
        raise InvalidInputError("the new passphrase is the old one: nothing would change")
    found = [(path, _open(path, old, new)) for path in paths]
    changed = [(path, key) for path, key in found if key is not None]
    for path in paths:  # an interrupted earlier run left these
        for left in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}"):
            left.unlink(missing_ok=True)
    for path, key in changed:
        _relock(path, key, new)
    return [path for path, _ in changed]


def replace_passphrase_file(path: Path, passphrase: bytes) -> None:
    """Puts another passphrase into a passphrase file of mode 0600, whole or not at all. Raises ConfigurationError."""
    try:
        write_atomic(path, passphrase + b"\n", mode=0o600)
    except OSError as error:
        raise ConfigurationError(f"passphrase file {path} cannot be written: {error.strerror}") from error


def _open(path: Path, old: bytes, new: bytes) -> LoadedKey | None:
    """The opened key; None when the new passphrase already opens it."""
    read_key_info(path)  # a file that is no key file gets its own message, not one about passphrases
    try:
        return read_key_file(path, old)
    except ConfigurationError:
        try:
            read_key_file(path, new)
        except ConfigurationError:
            pass
        else:
            return None
        raise


def _relock(path: Path, key: LoadedKey, passphrase: bytes) -> None:
    info = key.info
    # the search for keys in a folder does not match this name
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        create_key_file(
            beside,
            key.secret if info.purpose is KeyPurpose.INDEX else key.private,
            passphrase,
            purpose=info.purpose,
            realm=info.realm,
            participant=info.participant,
            name=info.name,
            created=info.created,
            not_before=info.not_before,
            not_after=info.not_after,
            cost=read_key_cost(path),
        )
        again = read_key_file(beside, passphrase)
        if again.secret != key.secret or again.info != info:
            raise ConfigurationError(f"{path} was not changed: what was written does not hold the same key")
        move_batch({beside: path})
    except OSError as error:
        raise ConfigurationError(f"key file {path} cannot be written: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)
