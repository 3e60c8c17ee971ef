"""A signing key in a file of mode 0600 without a passphrase: for a person's own machine, where each act asks nothing."""

from __future__ import annotations

import re
from pathlib import Path

from healthcode.errors import ConfigurationError
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.passphrase import check_secret_file
from healthcode.storage.reading import read_bounded

__all__ = ["encode_plain_key", "read_plain_key"]

_FORMAT = "healthcode/plain-key/1"
_TEXT = re.compile(rf"{_FORMAT} ([0-9a-f]{{64}})\n?")
_MAX_BYTES = 4096


def encode_plain_key(key: PrivateKey) -> bytes:
    """The bytes of the file, which are secret."""
    return f"{_FORMAT} {key.seed().hex()}\n".encode()


def read_plain_key(path: Path) -> PrivateKey:
    """The key in `path`. Raises ConfigurationError: missing, readable by others, or no such key."""
    check_secret_file(path, "signing key")
    match = _TEXT.fullmatch(read_bounded(path, _MAX_BYTES).decode("ascii", "replace"))
    if match is None:
        raise ConfigurationError(f"{path} is no signing key of format {_FORMAT}: restore it from its backup")
    return PrivateKey(bytes.fromhex(match[1]))
