"""A development CA and its leaves. A real realm has its own PKI."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from healthcode.clock import utc
from healthcode.errors import ConfigurationError
from healthcode.identity.peer import PeerId
from healthcode.rpc.mtls.certificate import SERVERS
from healthcode.rpc.mtls.tls_files import CertifiedKey

__all__ = ["issue_leaf", "make_ca"]


def make_ca(common_name: str, *, days: int, now: int) -> CertifiedKey:
    """A development CA with a P-256 key and path length 0. `now` in epoch seconds."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        _builder(name, name, key.public_key(), days, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return CertifiedKey(_pem(builder.sign(key, hashes.SHA256())), _key_pem(key))


def issue_leaf(
    ca: CertifiedKey,
    peer: PeerId,
    *,
    dns_names: Sequence[str] = (),
    days: int,
    now: int,
    extra_uris: Sequence[str] = (),
) -> CertifiedKey:
    """A leaf for `peer` with a P-256 key, issued by `ca`.

    A server's leaf carries its DNS name (`province-31.healthcode`), `localhost`, 127.0.0.1, ::1 and `dns_names`
    (host names or IP addresses). `extra_uris` makes certificates that must be refused, for tests.
    """
    authority = x509.load_pem_x509_certificate(ca.certificate_pem)
    signer = serialization.load_pem_private_key(ca.key_pem, password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise ConfigurationError("the development CA's key is not an elliptic-curve key")
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in (peer.uri, *extra_uris)]
    if peer.kind in SERVERS:
        hosts = dict.fromkeys((str(peer.dns_name), "localhost", "127.0.0.1", "::1", *dns_names))
        names += [_host_name(host) for host in hosts]
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, peer.uri.rpartition("healthcode/")[2][:64])])
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if peer.kind in SERVERS:
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    builder = (
        _builder(subject, authority.subject, key.public_key(), days, now)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(_authority_key(authority), critical=False)
    )
    return CertifiedKey(_pem(builder.sign(signer, hashes.SHA256())), _key_pem(key))


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int, now: int
) -> x509.CertificateBuilder:
    start = utc(now)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        # one hour earlier, for peers whose clock is behind
        .not_valid_before(start - timedelta(hours=1))
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _authority_key(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The key identifier distinguishes a CA from its successor of the same name."""
    try:
        found = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        found = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
