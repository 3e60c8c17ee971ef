"""CAs of a realm's parties, and the certificates that they issue, in memory and as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from healthcode.identity.peer import PeerId
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.settings import TlsSettings

__all__ = ["Certificates", "owner_of", "write_tls"]


def owner_of(peer: PeerId) -> str:
    """Whose CA issues a peer's certificate: a participant's code, or "gateway", "registry"."""
    return peer.participant or peer.kind.lower()


def write_tls(folder: Path, leaf: CertifiedKey, ca: CertifiedKey) -> TlsSettings:
    """Writes a certificate, its key and its CA into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_file = folder / "ca.pem"
    tls = TlsSettings(certificate=folder / "leaf.pem", private_key=folder / "leaf.key", ca=ca_file)
    leaf.write(tls.certificate, tls.private_key)
    ca_file.write_bytes(ca.certificate_pem)
    return tls


class Certificates:
    """CAs by owner, made when they are first asked for; files go into `folder`."""

    def __init__(self, folder: Path, *, now: int) -> None:
        self.folder = folder
        self.now = now
        self._cas: dict[str, CertifiedKey] = {}
        self._tls: dict[tuple[str, str], TlsSettings] = {}

    def ca(self, owner: str) -> CertifiedKey:
        if owner not in self._cas:
            self._cas[owner] = make_ca(f"{owner} CA", days=30, now=self.now)
        return self._cas[owner]

    def take_ca(self, owner: str, folder: Path) -> None:
        """Uses the CA that a command has made in `folder`."""
        self._cas[owner] = CertifiedKey((folder / "ca.pem").read_bytes(), (folder / "ca.key").read_bytes())

    def ca_pem(self, owner: str) -> str:
        return self.ca(owner).certificate_pem.decode()

    def leaf(self, peer: PeerId, *, ca: str | None = None, **options: Any) -> CertifiedKey:
        """A certificate in the name of `peer`, issued by its own CA or by that of `ca`."""
        return issue_leaf(self.ca(ca or owner_of(peer)), peer, **{"days": 7, "now": self.now, **options})

    def tls(self, peer: PeerId, *, ca: str | None = None) -> TlsSettings:
        """The files of a server: made once for each peer and CA."""
        key = (peer.dns_name, ca or owner_of(peer))
        if key not in self._tls:
            folder = self.folder / f"tls-{'-'.join(key)}"
            self._tls[key] = write_tls(folder, self.leaf(peer, ca=ca), self.ca(key[1]))
        return self._tls[key]
