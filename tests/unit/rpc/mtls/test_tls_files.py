"""The TLS files of a service: checked when they are loaded, and never overwritten."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from healthcode.errors import ConfigurationError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls import development_ca
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.rpc.mtls.tls_files import CertifiedKey, load_ca, load_tls, write_private

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
    with pytest.raises(ConfigurationError, match="not a CA's"):
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
