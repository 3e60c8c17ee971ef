"""Trust anchors: what a province publishes as its CA harms nobody but that province."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from healthcode.errors import DecodeError, PreconditionError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.trust.verify.tls_ca import TlsCa, decode_tls_ca, select_tls_cas, split_pem, verify_tls_cas
from tests.simulator.realm import NOW, PEM

GARBAGE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def ca(name: str = "Shanghai CA") -> str:
    return make_ca(name, days=30, now=NOW).certificate_pem.decode()


def built(name: x509.Name, key: object = None, *, is_ca: bool = True) -> str:
    """A CA certificate as one may be made with other tools."""
    signer = ec.generate_private_key(ec.SECP256R1())
    whole = x509.load_pem_x509_certificate(PEM.encode())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(whole.subject)
        .public_key(key or signer.public_key())  # type: ignore[arg-type]  # whatever the test gives
        .serial_number(1)
        .not_valid_before(whole.not_valid_before_utc)
        .not_valid_after(whole.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def name(*values: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in values])


@pytest.mark.parametrize(
    ("pem", "detail"),
    [
        (GARBAGE, "tls_ca.certificate"),
        ("-----BEGIN CERTIFICATE-----\n", "tls_ca.certificate"),
        (PEM + PEM, "tls_ca.certificate"),
        (PEM.replace("MIIB", "MIIC"), "tls_ca.certificate"),
        ("-----BEGIN CERTIFICATE-----\n" + "A" * 20_000, "tls_ca.certificate"),
        ("-----BEGIN CERTIFICATE-----\n上海", "tls_ca.certificate"),
        (built(name((NameOID.COMMON_NAME, "A leaf")), is_ca=False), "tls_ca.not_ca"),
        (built(name()), "tls_ca.subject"),
        (built(name(*[(NameOID.ORGANIZATIONAL_UNIT_NAME, "x" * 60)] * 5)), "tls_ca.subject"),
        (
            built(name((NameOID.COMMON_NAME, "Ed")), ed25519.Ed25519PrivateKey.generate().public_key()),
            "tls_ca.key",
        ),
    ],
)
def test_what_is_not_exactly_one_ca_is_refused(pem: str, detail: str) -> None:
    """Anything that TLS might stumble over never gets to it."""
    with pytest.raises(DecodeError) as caught:
        decode_tls_ca(pem)
    assert caught.value.detail == detail


def test_an_anchor_is_written_anew() -> None:
    """Text around the certificate does not get into a pool."""
    assert decode_tls_ca(PEM + "-----BEGIN CERTIFI\n").pem == PEM


def test_bad_entries_harm_their_owner_alone() -> None:
    """Garbage is left out and told; the good entries of the same owner count, and everybody else's."""
    good, other = ca("Tianjin CA"), ca("Guangdong CA")
    kept, faults = select_tls_cas({"11": (GARBAGE, good), "44": (other,)})
    assert kept == {"11": (good,), "44": (other,)}
    assert [(fault.owner, fault.is_claimed) for fault in faults] == [("11", False)]
    assert "entry 1 of 11" in faults[0].message


@pytest.mark.parametrize(
    "same",
    [
        ((NameOID.COMMON_NAME, "Shanghai CA"),),
        ((NameOID.COMMON_NAME, " shanghai   ca "),),
        ((NameOID.COMMON_NAME, "SHANGHAI CA"),),
    ],
)
def test_a_subject_belongs_to_whom_it_was_published_for_first(
    same: tuple[tuple[x509.ObjectIdentifier, str], ...],
) -> None:
    """Another's subject, however it is written, is refused on admission, and left out of the pool."""
    first, claimed = ca(), built(name(*same))
    with pytest.raises(PreconditionError, match="31 published another CA"):
        verify_tls_cas("11", (claimed,), {"31": (first,)})
    kept, faults = select_tls_cas({"31": (first,), "11": (claimed, ca("Tianjin CA"))})
    assert (kept["31"], len(kept["11"])) == ((first,), 1)
    assert [(fault.owner, fault.is_claimed) for fault in faults] == [("11", True)]


def test_a_shared_ca_and_a_renewed_one_are_no_claim() -> None:
    """The very same certificate may serve several; one participant may have two CAs of one name."""
    shared, renewed = ca(), ca()
    verify_tls_cas("11", (shared,), {"31": (shared,)})
    verify_tls_cas("31", (shared, renewed), {"31": (shared,)})
    kept, faults = select_tls_cas({"31": (shared, renewed), "11": (shared,)})
    assert (kept, faults) == ({"31": (shared, renewed), "11": (shared,)}, ())


def test_development_certificates_tell_a_ca_from_its_successor() -> None:
    """The leaf names its CA's key, so that two CAs of one name are told apart."""
    authority = make_ca("Shanghai CA", days=30, now=NOW)
    leaf = issue_leaf(authority, PeerId("test-anchor", PeerKind.PROVINCE, "31"), days=1, now=NOW)
    of_leaf = x509.load_pem_x509_certificate(leaf.certificate_pem).extensions
    of_ca = x509.load_pem_x509_certificate(authority.certificate_pem).extensions
    named = of_leaf.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert named == of_ca.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def test_a_file_of_several_is_split() -> None:
    """An operator's file with comments and two CAs gives two entries."""
    one, two = ca("One"), ca("Two")
    assert split_pem(f"Our CAs\n{one}and\n{two}") == (one, two)
    assert split_pem(GARBAGE) == ()


def test_a_fault_of_ours_over_one_entry_harms_its_owner_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody foresaw leaves the entry out; the other owners keep their CAs."""
    sound = decode_tls_ca

    def surprised(pem: str) -> TlsCa:
        if pem == "surprise":
            raise RecursionError
        return sound(pem)

    monkeypatch.setattr("healthcode.trust.verify.tls_ca.decode_tls_ca", surprised)
    kept, faults = select_tls_cas({"11": ("surprise",), "31": (PEM,)})
    assert (kept["11"], len(kept["31"])) == ((), 1)
    assert [fault.owner for fault in faults] == ["11"]
