"""Certificates: one identity each, issued by the right CA, in files that only their owner reads."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from healthcode.errors import ConfigurationError, Reason, UnauthenticatedError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls import development_ca
from healthcode.rpc.mtls.certificate import (
    CertifiedKey,
    decode_leaf,
    is_issued_by,
    load_ca,
    load_tls,
    write_private,
)
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca

NOW = 1_800_000_000
DAY = 86_400
SHANGHAI = PeerId("test-x", PeerKind.PROVINCE, "31")


@pytest.fixture(scope="module")
def ca() -> CertifiedKey:
    return make_ca("Shanghai", days=30, now=NOW)


@pytest.fixture(scope="module")
def leaf(ca: CertifiedKey) -> CertifiedKey:
    return issue_leaf(ca, SHANGHAI, days=7, now=NOW)


@pytest.fixture
def files(tmp_path: Path, ca: CertifiedKey, leaf: CertifiedKey) -> dict[str, Path]:
    paths = {
        "certificate": tmp_path / "leaf.pem",
        "private_key": tmp_path / "leaf.key",
        "ca": tmp_path / "ca.pem",
    }
    leaf.write(paths["certificate"], paths["private_key"])
    paths["ca"].write_bytes(ca.certificate_pem)
    return paths


def load(files: dict[str, Path], **options: Any) -> Any:
    return load_tls(files["certificate"], files["private_key"], files["ca"], **{"now": NOW, **options})


@pytest.mark.parametrize(
    "peer",
    [
        SHANGHAI,
        PeerId("cn", PeerKind.REGISTRY),
        PeerId("cn", PeerKind.GATEWAY),
        PeerId("cn", PeerKind.ISSUER, "31", "backend"),
        PeerId("cn", PeerKind.OPERATOR, None, "wang"),
        PeerId("cn", PeerKind.INTEGRATOR, "44", "metro.line-3"),
    ],
    ids=lambda peer: peer.kind,
)
def test_a_leaf_names_its_peer(ca: CertifiedKey, peer: PeerId) -> None:
    """What was issued is what is read, for each kind."""
    found = decode_leaf(issue_leaf(ca, peer, days=7, now=NOW).certificate_pem)
    assert found.peer == peer
    assert found.not_before <= NOW < found.not_after == NOW + 7 * DAY


@pytest.mark.parametrize("extra", [["spiffe://test-x.healthcode/province/44"], ["https://example.com"]])
def test_two_uris_name_nobody(ca: CertifiedKey, extra: list[str]) -> None:
    """Exactly one URI SAN, whatever the second is."""
    with pytest.raises(UnauthenticatedError) as caught:
        decode_leaf(issue_leaf(ca, SHANGHAI, days=7, now=NOW, extra_uris=extra).certificate_pem)
    assert caught.value.reason is Reason.IDENTITY_MISSING


def test_a_certificate_without_a_uri_names_nobody(ca: CertifiedKey) -> None:
    """A CA's own certificate is no identity."""
    with pytest.raises(UnauthenticatedError) as caught:
        decode_leaf(ca.certificate_pem)
    assert caught.value.reason is Reason.IDENTITY_MISSING


@pytest.mark.parametrize(
    "pem", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_garbage_is_no_certificate(pem: bytes) -> None:
    """Only our own error leaves."""
    with pytest.raises(UnauthenticatedError):
        decode_leaf(pem)
    assert not is_issued_by(pem, ())


def test_only_the_ca_that_issued_it_vouches(ca: CertifiedKey, leaf: CertifiedKey) -> None:
    """Neither another CA, nor one with the same name, nor none."""
    same_name = make_ca("Shanghai", days=30, now=NOW)
    text = ca.certificate_pem.decode()
    assert is_issued_by(leaf.certificate_pem, (text,))
    assert is_issued_by(leaf.certificate_pem, (same_name.certificate_pem.decode(), text))
    assert is_issued_by(leaf.certificate_pem, (same_name.certificate_pem.decode() + text,))
    assert not is_issued_by(leaf.certificate_pem, (same_name.certificate_pem.decode(),))
    assert not is_issued_by(leaf.certificate_pem, ("garbage",))
    assert not is_issued_by(leaf.certificate_pem, ())


def test_a_leaf_is_no_ca(leaf: CertifiedKey) -> None:
    """A published leaf could not vouch for another leaf."""
    forged = issue_leaf(leaf, PeerId("test-x", PeerKind.GATEWAY), days=1, now=NOW)
    assert not is_issued_by(forged.certificate_pem, (leaf.certificate_pem.decode(),))


def test_good_files_load(files: dict[str, Path]) -> None:
    """And their representation shows the identity, no key."""
    loaded = load(files, realm="test-x")
    assert loaded.identity.peer == SHANGHAI
    assert "KEY" not in repr(loaded)
    assert stat.S_IMODE(files["private_key"].stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666])
def test_a_key_that_others_can_read_is_refused(files: dict[str, Path], mode: int) -> None:
    """The message is the command that repairs it."""
    files["private_key"].chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {files['private_key']}"):
        load(files)


@pytest.mark.parametrize("name", ["certificate", "private_key", "ca"])
def test_a_missing_file_is_named(files: dict[str, Path], name: str) -> None:
    """Each by its path."""
    files[name].unlink()
    with pytest.raises(ConfigurationError, match=f"{files[name]} is missing"):
        load(files)


@pytest.mark.parametrize("name", ["certificate", "private_key", "ca"])
def test_a_file_of_garbage_is_named(files: dict[str, Path], name: str) -> None:
    """Each by its path, and nothing of it is shown."""
    files[name].write_bytes(b"s3cret garbage")
    with pytest.raises(ConfigurationError, match=str(files[name])) as caught:
        load(files)
    assert "s3cret" not in caught.value.message


def test_a_key_of_another_certificate(files: dict[str, Path], ca: CertifiedKey) -> None:
    """A renewed certificate with the old key is found at once."""
    files["certificate"].write_bytes(issue_leaf(ca, SHANGHAI, days=7, now=NOW).certificate_pem)
    with pytest.raises(ConfigurationError, match="is not the key of"):
        load(files)


def test_another_ca(files: dict[str, Path]) -> None:
    """The CA beside a certificate must be the one that issued it."""
    files["ca"].write_bytes(make_ca("Shanghai", days=30, now=NOW).certificate_pem)
    with pytest.raises(ConfigurationError, match="was not issued by"):
        load(files)


def test_a_leaf_in_the_place_of_the_ca(files: dict[str, Path]) -> None:
    """A mix-up of files is told as one."""
    with pytest.raises(ConfigurationError, match="no CA"):
        load_ca(files["certificate"])


def test_an_expired_certificate_says_when(files: dict[str, Path]) -> None:
    """And one that does not hold yet points to the clock."""
    with pytest.raises(ConfigurationError, match="expired at 2027-01-22"):
        load(files, now=NOW + 7 * DAY)
    with pytest.raises(ConfigurationError, match="clock"):
        load(files, now=NOW - DAY)


def test_another_realm(files: dict[str, Path]) -> None:
    """A certificate of a rehearsal does not start the real one."""
    with pytest.raises(ConfigurationError, match="realm"):
        load(files, realm="cn")


def test_a_service_needs_the_name_that_its_callers_look_for(
    files: dict[str, Path], ca: CertifiedKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the URI alone nobody could connect, so it is refused, and what it needs is spelled out."""
    with monkeypatch.context() as patch:
        patch.setattr(development_ca, "SERVERS", frozenset())  # a PKI that knows of the URI alone
        leaf = issue_leaf(ca, SHANGHAI, days=7, now=NOW)
    files["private_key"].unlink()
    leaf.write(files["certificate"], files["private_key"])
    with pytest.raises(ConfigurationError) as caught:
        load(files)
    assert "lacks the DNS name province-31.healthcode" in caught.value.message
    assert "URI:spiffe://test-x.healthcode/province/31, DNS:province-31.healthcode" in caught.value.message


def test_a_client_needs_no_name(files: dict[str, Path], ca: CertifiedKey) -> None:
    """Nobody connects to an integrator."""
    files["private_key"].unlink()
    integrator = PeerId("test-x", PeerKind.INTEGRATOR, "31", "metro")
    issue_leaf(ca, integrator, days=7, now=NOW).write(files["certificate"], files["private_key"])
    assert load(files).identity.peer == integrator


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """The old one stays as it was."""
    path = tmp_path / "key"
    write_private(path, b"first")
    with pytest.raises(ConfigurationError, match="never overwritten"):
        write_private(path, b"second")
    assert path.read_bytes() == b"first"
