"""The files and folders of a registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["RegistryFolder"]


@dataclass(frozen=True, slots=True)
class RegistryFolder:
    """The paths of one registry. Asking for a path reads and creates nothing."""

    root: Path

    @property
    def configuration(self) -> Path:
        return self.root / "registry.toml"

    @property
    def passphrase(self) -> Path:
        """Opens the online keys (mode 0600), unless a systemd credential does."""
        return self.root / "passphrase"

    @property
    def keys(self) -> Path:
        """The online keys: snapshot, timestamp, areas."""
        return self.root / "keys"

    @property
    def ceremony(self) -> Path:
        """The keys of root holders and operators, until they are carried away."""
        return self.root / "ceremony"

    @property
    def founding(self) -> Path:
        """The first root and targets, until they have their signatures."""
        return self.ceremony / "founding.json"

    @property
    def tls(self) -> Path:
        """The registry's CA, certificate and key."""
        return self.root / "tls"

    @property
    def repository(self) -> Path:
        """The published files: metadata/, targets/, lists/."""
        return self.root / "repository"

    @property
    def proposals(self) -> Path:
        """Proposals that wait for signatures, one file each."""
        return self.root / "proposals"

    @property
    def joins(self) -> Path:
        """Requests of authorities to be admitted, one file each."""
        return self.root / "joins"

    @property
    def areas(self) -> Path:
        """Area risks that operators approve, one file each."""
        return self.root / "areas"

    @property
    def nodes(self) -> Path:
        """The last report of each node, one file each."""
        return self.root / "nodes"

    @property
    def high_water(self) -> Path:
        """The highest versions published before a restore or rebuild, and the accepted losses."""
        return self.root / "floor.json"

    @property
    def restored(self) -> Path:
        """There after a restore, until nodes have reported what they have: meanwhile nothing is signed."""
        return self.root / "restored.json"

    @property
    def events(self) -> Path:
        """The event log: who proposed, signed and published, a line each."""
        return self.root / "events.ndjson"

    @property
    def lock(self) -> Path:
        """Locked by the process that writes: the server, or a command run at the same time."""
        return self.root / ".writer.lock"

    @property
    def serving(self) -> Path:
        """Locked by the server while it serves."""
        return self.root / ".serving.lock"
