"""CAs of a realm's parties, and the certificates that they issue, in memory and as files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from healthcode.identity.peer import PeerId
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.settings import TlsSettings

__all__ = ["Certificates", "issue_plain_leaf", "owner_of", "write_tls"]


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


def issue_plain_leaf(
    ca: CertifiedKey,
    *,
    dns_name: str = "",
    uri: str = "",
    usages: tuple[x509.ObjectIdentifier, ...] = (
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.SERVER_AUTH,
    ),
    start: int,
    days: int = 7,
) -> CertifiedKey:
    """A leaf with the names and usages given, and nothing else: a proxy's, or one of a careless PKI."""
    authority = x509.load_pem_x509_certificate(ca.certificate_pem)
    signer = serialization.load_pem_private_key(ca.key_pem, password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(dns_name)] if dns_name else []
    names += [x509.UniformResourceIdentifier(uri)] if uri else []
    begin = datetime.fromtimestamp(start, UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, dns_name or "leaf")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return CertifiedKey(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


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
