"""What stops the start: each with its own sentence and exit status, and never a traceback."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from healthcode.clock import SystemClock
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.signing.ed25519 import PrivateKey, kid
from healthcode.signing.keyfile import create_key_file
from healthcode.signing.purpose import KeyPurpose
from province_node.authority.request import decode_request, verify_request
from province_node.keys.setup import NodePlan, create_node
from tests.simulator.process import free_ports
from tests.simulator.realm import SimulatedRealm
from tests.world.command import run_command_here

REALM = "test-start"


@pytest.fixture
def realm() -> SimulatedRealm:
    """The realm of a test: made once, since one that is made a second later has another root."""
    return SimulatedRealm(("31",), realm=REALM, now=SystemClock().now())


@pytest.fixture
def node(tmp_path, realm) -> Path:
    """A node's folder that was never started; no registry listens where it looks for one."""
    now = realm.now
    ca = tmp_path / "registry-ca.pem"
    ca.write_bytes(make_ca("registry", days=10, now=now).certificate_pem)
    public, listen, issuer = free_ports(3)
    plan = NodePlan(
        participant="31",
        realm=REALM,
        registry_endpoint=f"127.0.0.1:{public}",
        registry_ca=ca,
        root_fingerprint=realm.fingerprint,
        listen=f"127.0.0.1:{listen}",
        issuer_listen=f"127.0.0.1:{issuer}",
        endpoint=None,
        metrics_listen=None,
        development=True,
    )
    create_node(tmp_path / "node", plan, passphrase=None, now=now)
    return tmp_path / "node"


@pytest.fixture
def trusting(node, realm) -> Path:
    """The same with the realm's trust on disk, so that the registry is not needed."""
    realm.client(node / "trust").refresh(realm.now)
    return node


def serve(node: Path) -> tuple[int, str]:
    done = run_command_here("province_node", "serve", "--dir", node)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr[done.stderr.find("error:") :]


def test_without_trust_and_registry_it_is_unavailable(node):
    """No trust on disk and nobody to ask: status 4, naming the registry."""
    status, said = serve(node)
    assert status == 4
    assert "registry" in said


def test_an_authority_key_in_the_folder_stops_the_start(node):
    """An offline key, by whatever name, is not served beside."""
    path = node / "trust-me.bin"
    create_key_file(
        path,
        PrivateKey.generate(),
        b"x",
        purpose=KeyPurpose.AUTHORITY,
        realm=REALM,
        created=0,
        cost="development",
    )
    status, said = serve(node)
    assert status == 2
    assert str(path.name) in said
    assert "offline key" in said


def test_a_trust_folder_of_another_root_stops_the_start(node, realm):
    """Trust that began by another root than was announced is no network's fault: status 2, not 4."""
    later = SimulatedRealm(("31",), realm=REALM, now=realm.now + 1)
    later.client(node / "trust").refresh(later.now)
    status, said = serve(node)
    assert status == 2
    assert "was begun with root" in said


def test_a_port_in_use_says_so(trusting):
    """A listener that another process holds is named; the status says to try again."""
    node = trusting
    settings = (node / "node.toml").read_text()
    port = int(settings.split('issuer_listen = "127.0.0.1:')[1].split('"')[0])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        status, said = serve(node)
    assert status == 4, said
    assert str(port) in said


def loosen_key(node: Path) -> None:
    next(node.glob("keys/live-*.key")).chmod(0o644)


def remove_key(node: Path) -> None:
    next(node.glob("keys/index-*.key")).unlink()


def damage_key(node: Path) -> None:
    next(node.glob("keys/live-*.key")).write_bytes(b"{}")


def change_passphrase(node: Path) -> None:
    (node / "passphrase").write_text("another\n")


def loosen_passphrase(node: Path) -> None:
    (node / "passphrase").chmod(0o644)


def foreign_certificate(node: Path) -> None:
    ca = CertifiedKey((node / "tls/ca.pem").read_bytes(), (node / "tls/ca.key").read_bytes())
    for name in ("node.pem", "node.key"):
        (node / "tls" / name).unlink()
    other = PeerId("test-elsewhere", PeerKind.PROVINCE, "31")
    issue_leaf(ca, other, days=1, now=SystemClock().now()).write(node / "tls/node.pem", node / "tls/node.key")


def neighbours_certificate(node: Path) -> None:
    ca = CertifiedKey((node / "tls/ca.pem").read_bytes(), (node / "tls/ca.key").read_bytes())
    for name in ("node.pem", "node.key"):
        (node / "tls" / name).unlink()
    other = PeerId(REALM, PeerKind.PROVINCE, "44")
    issue_leaf(ca, other, days=1, now=SystemClock().now()).write(node / "tls/node.pem", node / "tls/node.key")


def misspell(node: Path) -> None:
    path = node / "node.toml"
    path.write_text(path.read_text().replace("issuer_listen", "issuer_lissten"))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (loosen_key, "chmod 600"),
        (remove_key, "INDEX key is missing"),
        (damage_key, "keys rotate --purpose LIVE"),
        (change_passphrase, "passphrase does not open"),
        (loosen_passphrase, "chmod 600"),
        (foreign_certificate, "test-elsewhere"),
        (neighbours_certificate, "province/44"),
        (misspell, "did you mean `issuer_listen`"),
    ],
)
def test_what_does_not_hold_stops_the_start_with_what_to_do(trusting, spoil, says):
    """Keys, passphrase, certificates and configuration: status 2, and a sentence that names the file."""
    spoil(trusting)
    status, said = serve(trusting)
    assert status == 2
    assert says in said


@pytest.mark.parametrize("purpose", ["HEAD", "LIVE"])
def test_a_damaged_key_without_a_backup_is_moved_aside_and_made_anew(trusting, tmp_path, purpose):
    """`keys rotate` says the same way out as `serve`; after it, the same command makes the key and the request."""
    (path,) = trusting.glob(f"keys/{purpose.lower()}-*.key")
    path.write_bytes(path.read_bytes()[:100])
    rotate = ("keys", "rotate", "--dir", trusting, "--purpose", purpose, "--json")
    refused = run_command_here("province_node", *rotate)
    assert refused.returncode == 2
    assert f"keys rotate --purpose {purpose}" in json.loads(refused.stderr)["error"]["message"]
    path.rename(tmp_path / path.name)
    done = run_command_here("province_node", *rotate)
    assert done.returncode == 0, done.stderr
    request = decode_request((trusting / "request.json").read_bytes())
    verify_request(request, participant="31", realm=REALM)
    kids = {key.kid.hex() for key in request.province.keys} | {kid(request.live_public).hex()}
    assert json.loads(done.stdout)["kid"] in kids


def test_check_finds_all_of_it_at_once_and_changes_nothing(node):
    """`check` goes on after the first problem, and names each; the configuration's status comes first."""
    loosen_key(node)
    before = sorted(path for path in node.rglob("*"))
    done = run_command_here("province_node", "check", "--dir", node, "--json")
    found = {finding["what"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert done.returncode == 2
    assert found["online keys"]["grade"] == "FAILED"
    assert found["registry"]["grade"] == "FAILED"
    assert found["certificate node.pem"]["grade"] == "OK"
    assert sorted(path for path in node.rglob("*")) == before


def test_check_tells_an_absent_registry_from_a_wrong_configuration(node):
    """With only the registry out of reach the status is 4."""
    done = run_command_here("province_node", "check", "--dir", node, "--json")
    assert done.returncode == 4


def test_a_command_without_a_node_is_unavailable(node):
    """Asking a node that does not run ends with 4 and says what to do."""
    done = run_command_here("province_node", "verify", "--dir", node, "CNHT1:ABC")
    assert done.returncode == 4
    assert "province-node serve" in done.stderr
    assert "Traceback" not in done.stderr
