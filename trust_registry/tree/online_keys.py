"""The registry's online keys, which sign snapshot, timestamp and areas without a person.

They cannot admit a participant, nor change a file that others signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from healthcode.errors import ConfigurationError, Reason
from healthcode.signing.ed25519 import PrivateKey, kid
from healthcode.signing.keyfile import Cost, create_key_file, read_key_file, read_key_info
from healthcode.signing.passphrase import read_passphrase
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.metadata import Root, signing_keys
from trust_registry.layout import RegistryFolder
from trust_registry.settings import KeySettings

__all__ = [
    "OnlineKeys",
    "create_next_key",
    "create_online_keys",
    "offline_keys_in",
    "online_key_files",
    "read_online_keys",
    "roles_without_key",
]

_PURPOSES = (KeyPurpose.SNAPSHOT, KeyPurpose.TIMESTAMP, KeyPurpose.AREAS)
_OFFLINE = frozenset({KeyPurpose.ROOT, KeyPurpose.OPERATOR, KeyPurpose.AUTHORITY})


@dataclass(frozen=True, slots=True)
class OnlineKeys:
    """The keys in use; `spare` are older and newer ones of the same purposes, kept for a rotation."""

    snapshot: PrivateKey
    timestamp: PrivateKey
    areas: PrivateKey
    spare: tuple[PrivateKey, ...] = ()

    def among(self, publics: frozenset[bytes]) -> PrivateKey | None:
        """The first key whose public key is in `publics`."""
        held = (self.snapshot, self.timestamp, self.areas, *self.spare)
        return next((key for key in held if key.public in publics), None)


def create_online_keys(
    folder: Path, passphrase: bytes, *, realm: str, created: int, cost: Cost
) -> OnlineKeys:
    """Creates the three keys and their files of mode 0600."""
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
    return OnlineKeys(keys["snapshot"], keys["timestamp"], keys["areas"])


def create_next_key(
    folder: RegistryFolder,
    purpose: KeyPurpose,
    settings: KeySettings,
    realm: str,
    environ: Mapping[str, str],
    *,
    created: int,
    cost: Cost,
    passphrase: bytes | None = None,
) -> bytes:
    """Creates another key for snapshot, timestamp or areas beside the one in use; returns its public key.

    It signs nothing until root (for areas: targets) names it. `passphrase` as in read_online_keys. Raises
    ConfigurationError.
    """
    if passphrase is None:
        passphrase = read_passphrase(settings.passphrase_file, settings.credential, environ=environ)
    # one passphrase must open all keys, or the next start fails
    read_online_keys(folder, settings, realm, environ, passphrase=passphrase)
    key = PrivateKey.generate()
    name = f"{purpose.lower()}-{kid(key.public).hex()[:8]}"
    create_key_file(
        folder.keys / f"{name}.key",
        key,
        passphrase,
        purpose=purpose,
        realm=realm,
        name=name,
        created=created,
        cost=cost,
    )
    return key.public


def read_online_keys(
    folder: RegistryFolder,
    settings: KeySettings,
    realm: str,
    environ: Mapping[str, str],
    *,
    passphrase: bytes | None = None,
) -> OnlineKeys:
    """Opens the online keys, with `passphrase` or the configured one.

    During a rotation a purpose has several keys; root says which one signs. Raises ConfigurationError naming the
    file that is wrong or missing, and what to do.
    """
    if passphrase is None:
        passphrase = read_passphrase(settings.passphrase_file, settings.credential, environ=environ)
    found: dict[KeyPurpose, list[PrivateKey]] = {purpose: [] for purpose in _PURPOSES}
    first = [folder.keys / f"{purpose.lower()}.key" for purpose in _PURPOSES]
    for path in online_key_files(folder):
        loaded = read_key_file(path, passphrase)
        if loaded.info.purpose not in found:
            raise ConfigurationError(
                f"{path} is a key of purpose {loaded.info.purpose}: it does not belong there"
            )
        if path in first and path.stem != loaded.info.purpose.lower():
            raise ConfigurationError(
                f"{path} is a key of purpose {loaded.info.purpose}, not {path.stem.upper()}"
            )
        if loaded.info.realm != realm:
            raise ConfigurationError(
                f"{path} is of realm {loaded.info.realm}, and this registry is of {realm}",
                reason=Reason.REALM_MISMATCH,
            )
        found[loaded.info.purpose].append(loaded.private)
    missing = [purpose for purpose, keys in found.items() if not keys]
    if missing:
        raise ConfigurationError(
            f"{folder.keys / f'{missing[0].lower()}.key'} is missing: restore it from its backup"
        )
    spare = tuple(key for keys in found.values() for key in keys[1:])
    snapshot, timestamp, areas = (found[purpose][0] for purpose in _PURPOSES)
    return OnlineKeys(snapshot, timestamp, areas, spare)


def roles_without_key(folder: RegistryFolder, root: Root) -> list[str]:
    """The roles that cannot be signed here, since no key file has a key that root names for them.

    Raises ConfigurationError for a file that is not a key file.
    """
    held = {read_key_info(path).public for path in online_key_files(folder)}
    return [role for role in ("snapshot", "timestamp") if held.isdisjoint(signing_keys(root, role)[0])]


def online_key_files(folder: RegistryFolder) -> list[Path]:
    """The key files: the first key of each purpose, then the later ones."""
    first = [folder.keys / f"{purpose.lower()}.key" for purpose in _PURPOSES]
    return [*(path for path in first if path.exists()), *sorted(folder.keys.glob("*-*.key"))]


def offline_keys_in(root: Path) -> list[Path]:
    """Key files below `root` that must not be on a machine with a network: of root, operators and authorities."""
    found = []
    for path in sorted(root.rglob("*.key")):
        try:
            info = read_key_info(path)
        except ConfigurationError:
            continue  # a TLS key, or damaged: the code that uses it reports that
        if info.purpose in _OFFLINE:
            found.append(path)
    return found
