"""A node's folder: what init lays out, and how node.toml is read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from healthcode.errors import ConfigurationError
from healthcode.identity.peer import PeerKind
from healthcode.rpc.mtls.development_ca import make_ca
from healthcode.rpc.mtls.tls_files import load_tls
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.key_possession import verify_key_possession
from province_node.__main__ import cli
from province_node.authority.request import decode_request
from province_node.keys.setup import NodePlan, check_node_plan, create_node, open_keyring
from province_node.settings import load_node_settings
from tests.simulator.realm import NOW

REALM = "test-setup"


@pytest.fixture
def plan(tmp_path):
    ca = tmp_path / "registry-ca.pem"
    ca.write_bytes(make_ca("registry", days=10, now=NOW).certificate_pem)
    return NodePlan(
        participant="31",
        realm=REALM,
        registry_endpoint="127.0.0.1:7002",
        registry_ca=ca,
        root_fingerprint="sha256:" + "0" * 64,
        listen="127.0.0.1:7310",
        issuer_listen="127.0.0.1:7311",
        endpoint=None,
        metrics_listen="127.0.0.1:7312",
        development=True,
    )


def test_a_development_node_is_whole(tmp_path, plan):
    """Configuration, keys, certificates and request hold together, and open without a person."""
    settings = create_node(tmp_path / "node", plan, passphrase=None, now=NOW)
    keyring = open_keyring(settings, {})
    assert {info.purpose for info in keyring.infos} == {
        KeyPurpose.LIVE,
        KeyPurpose.PAPER,
        KeyPurpose.ANSWER,
        KeyPurpose.QUESTION,
        KeyPurpose.HEAD,
        KeyPurpose.INDEX,
    }
    tls = load_tls(settings.tls.certificate, settings.tls.private_key, settings.tls.ca, now=NOW, realm=REALM)
    assert (tls.identity.peer.kind, tls.identity.peer.participant) == (PeerKind.PROVINCE, "31")
    request = decode_request((tmp_path / "node" / "request.json").read_bytes())
    assert (request.version, request.live_public) == (1, keyring.head_key().public)
    assert dict(request.province.endpoints) == {"federation": "127.0.0.1:7310"}
    for key in request.province.keys:
        verify_key_possession("31", key, REALM)


def test_nothing_secret_is_readable_by_others(tmp_path, plan):
    """Keys, passphrase and TLS keys are of mode 0600."""
    create_node(tmp_path / "node", plan, passphrase=None, now=NOW)
    node = tmp_path / "node"
    secrets = [node / "passphrase", *node.glob("keys/*.key"), *node.glob("tls/*.key")]
    assert len(secrets) == 1 + 6 + 4
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}


def test_a_node_is_never_overwritten(tmp_path, plan):
    """Init in a folder that holds a node is refused."""
    create_node(tmp_path / "node", plan, passphrase=None, now=NOW)
    with pytest.raises(ConfigurationError, match="has a node already"):
        create_node(tmp_path / "node", plan, passphrase=None, now=NOW)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"realm": "cn"}, "never for cn"),
        ({"root_fingerprint": "sha256:abc"}, "64 hex digits"),
        ({"development": False}, "--tls-ca"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, plan, changes, says):
    """A bad plan leaves no configuration behind."""
    with pytest.raises(ConfigurationError, match=says):
        create_node(tmp_path / "node", replace(plan, **changes), passphrase=b"x", now=NOW)
    assert not (tmp_path / "node" / "node.toml").exists()


def test_in_production_the_pki_is_the_provinces_own(tmp_path, plan):
    """Without --development no CA key and no passphrase are made; the CA is taken over."""
    given = replace(plan, development=False, tls_ca=plan.registry_ca, credential="node-passphrase")
    settings = create_node(tmp_path / "node", given, passphrase=b"secret", now=NOW)
    assert settings.keys.credential == "node-passphrase"
    names = {path.name for path in (tmp_path / "node").rglob("*")}
    assert names.isdisjoint({"passphrase", "ca.key", "node.pem"})


def edit(tmp_path, plan, old: str, new: str):
    create_node(tmp_path / "node", plan, passphrase=None, now=NOW)
    path = tmp_path / "node" / "node.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return tmp_path / "node"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("issuer_listen", "isuer_listen", "did you mean `issuer_listen`"),
        ('listen = "127.0.0.1:7310"', 'listen = "everywhere"', "host:port"),
        ('participant = "31"', 'participant = "99x"', "participant"),
        ('realm = "test-setup"', 'realm = "Test"', "realm"),
        ('passphrase_file = "passphrase"', 'credential = "a"\npassphrase_file = "b"', "not both"),
    ],
)
def test_a_wrong_configuration_names_the_key(tmp_path, plan, old, new, says):
    """Unknown keys and wrong values are errors that name them."""
    with pytest.raises(ConfigurationError, match=says):
        load_node_settings(edit(tmp_path, plan, old, new))


def test_paths_count_from_the_folder(tmp_path, plan, monkeypatch):
    """A node starts the same from anywhere."""
    create_node(tmp_path / "node", plan, passphrase=None, now=NOW)
    monkeypatch.chdir("/")
    settings = load_node_settings(tmp_path / "node")
    for path in (settings.database, settings.trust.folder, settings.keys.folder, settings.tls.ca):
        assert path.is_relative_to(tmp_path / "node")


def test_what_cannot_be_is_found_without_a_passphrase(tmp_path, plan):
    """A folder that is taken, a bad fingerprint, a CA that is not there: before anybody is asked for anything."""
    create_node(tmp_path / "node", plan, passphrase=None, now=NOW)
    with pytest.raises(ConfigurationError, match="has a node already"):
        check_node_plan(tmp_path / "node", plan)
    with pytest.raises(ConfigurationError, match="64 hex digits"):
        check_node_plan(tmp_path / "new", replace(plan, root_fingerprint="nonsense"))
    with pytest.raises(ConfigurationError, match=r"none\.pem"):
        check_node_plan(tmp_path / "new", replace(plan, tls_ca=tmp_path / "none.pem"))
    assert not (tmp_path / "new").exists()


def test_init_says_what_the_pki_must_issue(tmp_path, plan):
    """Each file with its URI, and the node's with the DNS name that others look for."""
    secret = tmp_path / "secret"
    secret.write_text("twelve characters\n")
    secret.chmod(0o600)
    arguments = ["init", "--dir", tmp_path / "node", "--participant", "31", "--realm", REALM]
    arguments += ["--registry", plan.registry_endpoint, "--registry-ca", plan.registry_ca]
    arguments += ["--root-fingerprint", plan.root_fingerprint, "--tls-ca", plan.registry_ca]
    arguments += ["--passphrase-file", secret]
    result = CliRunner().invoke(cli, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["certificates"] == {
        "tls/node.pem": f"URI:spiffe://{REALM}.healthcode/province/31, DNS:province-31.healthcode",
        "tls/issuer.pem": f"URI:spiffe://{REALM}.healthcode/issuer/31/console",
        "tls/integrator.pem": f"URI:spiffe://{REALM}.healthcode/integrator/31/console",
    }
