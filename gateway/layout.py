"""The paths in a gateway's folder: gateway.toml, tls/ and trust/."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["GatewayFolder"]


@dataclass(frozen=True, slots=True)
class GatewayFolder:
    """The paths of one gateway. A property reads and creates nothing."""

    root: Path

    @property
    def configuration(self) -> Path:
        return self.root / "gateway.toml"

    @property
    def tls(self) -> Path:
        return self.root / "tls"

    @property
    def certificate(self) -> Path:
        return self.tls / "gateway.pem"

    @property
    def private_key(self) -> Path:
        return self.tls / "gateway.key"

    @property
    def ca(self) -> Path:
        return self.tls / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """Only in a test realm; in production the CA's key is on another machine."""
        return self.tls / "ca.key"

    @property
    def registry_ca(self) -> Path:
        return self.tls / "registry-ca.pem"
