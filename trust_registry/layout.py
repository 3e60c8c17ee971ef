"""What lies where in a registry's folder.

registry.toml        the configuration
passphrase           opens the online keys (mode 0600), unless a systemd credential does
keys/                online keys: snapshot, timestamp, areas
ceremony/            root and operator keys, until they are carried away
tls/                 the registry's CA, certificate and key
repository/          what everybody may read: metadata/, targets/, lists/
proposals/           what waits for signatures, one file each
joins/               requests of authorities to be admitted, one file each
areas/               area risks that operators approve, one file each
nodes/               what each node reported last, one file each
floor.json           versions that were given out before this tree: never given out again
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["RegistryFolder"]


@dataclass(frozen=True, slots=True)
class RegistryFolder:
    """The paths of one registry; nothing is read or made by asking."""

    root: Path

    @property
    def configuration(self) -> Path:
        return self.root / "registry.toml"

    @property
    def passphrase(self) -> Path:
        return self.root / "passphrase"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def ceremony(self) -> Path:
        return self.root / "ceremony"

    @property
    def founding(self) -> Path:
        """What waits for the signatures that found the realm."""
        return self.ceremony / "founding.json"

    @property
    def tls(self) -> Path:
        return self.root / "tls"

    @property
    def repository(self) -> Path:
        return self.root / "repository"

    @property
    def proposals(self) -> Path:
        return self.root / "proposals"

    @property
    def joins(self) -> Path:
        return self.root / "joins"

    @property
    def areas(self) -> Path:
        return self.root / "areas"

    @property
    def nodes(self) -> Path:
        return self.root / "nodes"

    @property
    def high_water(self) -> Path:
        return self.root / "floor.json"

    @property
    def lock(self) -> Path:
        """Held by the one who writes: the server, or a command beside it."""
        return self.root / ".writer.lock"

    @property
    def serving(self) -> Path:
        """Held by the server for as long as it serves."""
        return self.root / ".serving.lock"
