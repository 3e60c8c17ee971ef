"""The registry's online keys: they sign snapshot, timestamp and areas without a person.

They start unattended: their passphrase lies in a file of mode 0600, or comes as a
systemd credential. They cannot admit anybody, nor change what others signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from healthcode.errors import ConfigurationError, Reason
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.keyfile import Cost, create_key_file, read_key_file, read_key_info
from healthcode.signing.passphrase import read_passphrase
from healthcode.signing.purpose import KeyPurpose
from trust_registry.folder import RegistryFolder
from trust_registry.repository import OnlineKeys
from trust_registry.settings import KeySettings

__all__ = ["create_online_keys", "offline_keys_in", "read_online_keys"]

_PURPOSES = (KeyPurpose.SNAPSHOT, KeyPurpose.TIMESTAMP, KeyPurpose.AREAS)
_OFFLINE = frozenset({KeyPurpose.ROOT, KeyPurpose.OPERATOR, KeyPurpose.AUTHORITY})


def create_online_keys(
    folder: Path, passphrase: bytes, *, realm: str, created: int, cost: Cost
) -> OnlineKeys:
    """Makes the three keys and their files of mode 0600."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = {}
    for purpose in _PURPOSES:
        name = purpose.lower()
        keys[name] = PrivateKey.generate()
        create_key_file(
            folder / f"{name}.key",
            keys[name],
            passphrase,
            purpose=purpose,
            realm=realm,
            name=name,
            created=created,
            cost=cost,
        )
    return OnlineKeys(**keys)


def read_online_keys(
    folder: RegistryFolder, settings: KeySettings, realm: str, environ: Mapping[str, str]
) -> OnlineKeys:
    """Opens the three keys. Raises ConfigurationError naming the file that is wrong and what to do."""
    passphrase = read_passphrase(settings.passphrase_file, settings.credential, environ=environ)
    keys = {}
    for purpose in _PURPOSES:
        path = folder.keys / f"{purpose.lower()}.key"
        loaded = read_key_file(path, passphrase)
        if loaded.info.purpose is not purpose:
            raise ConfigurationError(f"{path} is a key of purpose {loaded.info.purpose}, not {purpose}")
        if loaded.info.realm != realm:
            raise ConfigurationError(
                f"{path} is of realm {loaded.info.realm}, and this registry is of {realm}",
                reason=Reason.REALM_MISMATCH,
            )
        keys[purpose.lower()] = loaded.private
    return OnlineKeys(**keys)


def offline_keys_in(root: Path) -> list[Path]:
    """Every key file below `root` that belongs on no machine with a network: root's, operators', authorities'."""
    found = []
    for path in sorted(root.rglob("*.key")):
        try:
            info = read_key_info(path)
        except ConfigurationError:
            continue  # a TLS key, or damaged; whoever needs it says so
        if info.purpose in _OFFLINE:
            found.append(path)
    return found
