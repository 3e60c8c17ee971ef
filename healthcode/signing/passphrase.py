"""Reads the passphrase of a key file: from a file, a systemd credential, or a person.

Never from an argument or an environment variable: others on the machine can read those.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from healthcode.errors import ConfigurationError, InvalidInputError

__all__ = ["MIN_PASSPHRASE_CHARACTERS", "check_passphrase", "check_secret_file", "read_passphrase"]

MIN_PASSPHRASE_CHARACTERS = 12

_MAX_BYTES = 1024
_MODES = (0o600, 0o400)


def check_passphrase(text: str, of: str = "a key") -> None:
    """Refuses a new passphrase that is too short; `of` says whose. Raises InvalidInputError.

    A thief of a key file can guess without limit, so only the passphrase protects it.
    """
    if len(text) < MIN_PASSPHRASE_CHARACTERS:
        raise InvalidInputError(
            f"the passphrase of {of} is too short: use {MIN_PASSPHRASE_CHARACTERS} characters or more"
        )


def check_secret_file(path: Path, what: str) -> None:
    """Refuses a secret file that is missing, not a regular file, or readable by others.

    Raises ConfigurationError, which says what to do. systemd credentials have their own
    folder and are read without this check.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise ConfigurationError(
            f"{what} {path} is missing: restore it from its backup, or name it where it lies"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{what} {path} cannot be reached: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{what} {path} is no regular file")
    mode = stat.S_IMODE(status.st_mode)
    if mode not in _MODES:
        raise ConfigurationError(
            f"{what} {path} has mode {mode:04o}, so others may read it: run chmod 600 {path}, "
            "and replace the secret if they may have done so"
        )


def read_passphrase(
    file: Path | None = None,
    credential: str | None = None,
    prompt: Callable[[], str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> bytes:
    """The passphrase, from the first of the three sources that is given. Drops one newline at the end.

    `credential` names a file that systemd's LoadCredential= put into
    $CREDENTIALS_DIRECTORY of `environ`. Raises ConfigurationError when there is none,
    when it cannot be read, or when it is empty.
    """
    if file is not None:
        check_secret_file(file, "passphrase file")
        return _read(file, "passphrase file")
    if credential is not None:
        folder = (environ or {}).get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise ConfigurationError(
                f"the passphrase is the systemd credential {credential}, and $CREDENTIALS_DIRECTORY is not set: "
                f"start the service by a unit with LoadCredential={credential}:/path/to/file, or give a command "
                "that takes it --passphrase-file"
            )
        if "/" in credential or credential in ("", ".", ".."):
            raise ConfigurationError(f"{credential!r} is no name of a systemd credential")
        return _read(Path(folder) / credential, "systemd credential")
    if prompt is not None:
        return _checked(prompt().encode(), "what was typed")
    raise ConfigurationError(
        "no passphrase: give a passphrase file of mode 0600, a systemd credential, or run at a terminal"
    )


def _read(path: Path, what: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            data = stream.read(_MAX_BYTES + 2)
    except OSError as error:
        raise ConfigurationError(f"{what} {path} cannot be read: {error.strerror}") from None
    return _checked(data, f"{what} {path}")


def _checked(data: bytes, where: str) -> bytes:
    passphrase = data.removesuffix(b"\n").removesuffix(b"\r")
    if not passphrase:
        raise ConfigurationError(f"the passphrase is empty: {where}")
    if len(passphrase) > _MAX_BYTES:
        raise ConfigurationError(f"the passphrase is longer than {_MAX_BYTES} bytes: {where}")
    return passphrase
