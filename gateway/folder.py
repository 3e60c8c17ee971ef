"""What lies where in a gateway's folder.

gateway.toml         the configuration
tls/                 its CA's certificate, its own certificate and key, the registry's CA
trust/               generations of signed trust files
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["GatewayFolder"]


@dataclass(frozen=True, slots=True)
class GatewayFolder:
    """The paths of one gateway; nothing is read or made by asking."""

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
        """In a test realm alone: elsewhere the CA's key is not on this machine."""
        return self.tls / "ca.key"

    @property
    def registry_ca(self) -> Path:
        return self.tls / "registry-ca.pem"
