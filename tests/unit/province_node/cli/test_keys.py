"""`province-node keys` and `check`: which key signs, no second one by accident, and a passphrase that systemd keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from healthcode.clock import SystemClock, rfc3339
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.keyfile import create_key_file
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import IssuerKey
from province_node.cli.key_lines import key_lines
from province_node.keys.setup import create_node
from province_node.settings import NodeSettings, load_node_settings
from tests.simulator.realm import NOW
from tests.unit.province_node.cli.command import command, plan_of
from tests.unit.province_node.world import PASSPHRASE, World


def test_keys_list_says_which_signs_and_when_the_next_begins(world: World, tmp_path: Path) -> None:
    """A published key that has not settled, and one whose window is to come, name their time."""
    world.clock.at = NOW
    files = {"next": NOW - 10, "later": NOW + 3600}
    issuer = world.view.issuers["31"]
    keys = dict(issuer.keys)
    for name, begins in files.items():
        key = PrivateKey.generate()
        create_key_file(
            tmp_path / "keys" / f"{name}.key", key, PASSPHRASE, purpose=KeyPurpose.LIVE,
            realm=world.realm.realm, participant="31", created=NOW, not_before=begins,
            not_after=begins + 86_400, cost="development",
        )  # fmt: skip
        old = next(each for each in keys.values() if each.purpose is KeyPurpose.LIVE)
        made = replace(old, kid=name.encode().ljust(8), public=key.public, not_before=begins)
        assert isinstance(made, IssuerKey)
        keys[made.kid] = made
    view = replace(world.view, issuers={**world.view.issuers, "31": replace(issuer, keys=keys)})
    create_node(tmp_path / "node", plan_of(tmp_path), passphrase=None, now=NOW)
    settings: NodeSettings = load_node_settings(tmp_path / "node")
    settings = settings.model_copy(
        update={"keys": settings.keys.model_copy(update={"folder": tmp_path / "keys", "settle_seconds": 60})}
    )
    signs = {str(line["file"]): line["signs"] for line in key_lines(settings, view, NOW)}
    assert signs["live.key"] == "now"
    assert signs["next.key"] == f"from {rfc3339(NOW + 50)}"
    assert signs["later.key"] == f"from {rfc3339(NOW + 3600)}"
    assert signs["index.key"] is None


def test_a_second_key_is_not_made_by_accident(tmp_path: Path) -> None:
    """While one waits to be published, another must be asked for."""
    node = tmp_path / "node"
    create_node(node, plan_of(tmp_path), passphrase=None, now=SystemClock().now())
    rotate = ("keys", "rotate", "--dir", node, "--purpose", "live", "--json")
    status, _, err = command(*rotate)
    assert status == 1
    assert "not published yet" in err
    assert "--again" in err
    assert len(list(node.glob("keys/live-*.key"))) == 1
    assert command(*rotate, "--again")[0] == 0
    assert len(list(node.glob("keys/live-*.key"))) == 2


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, Path]:
    """A node whose passphrase is a systemd credential, and the file it comes from."""
    secret = tmp_path / "secret"
    secret.write_bytes(PASSPHRASE + b"\n")
    secret.chmod(0o600)
    plan = plan_of(tmp_path, development=False, tls_ca=tmp_path / "ca.pem", credential="node-passphrase")
    create_node(tmp_path / "node", plan, passphrase=PASSPHRASE, now=SystemClock().now())
    return tmp_path / "node", secret


def test_check_warns_of_a_passphrase_that_systemd_keeps(kept: tuple[Path, Path]) -> None:
    """A warning, not a fault, and how to try the keys all the same."""
    node, secret = kept

    def keys_finding(*more: str | Path) -> tuple[str, str]:
        _, out, _ = command("check", "--dir", node, "--json", *more)
        return next(
            (found["grade"], found["detail"])
            for found in json.loads(out)["findings"]
            if found["what"] == "online keys"
        )

    mark, text = keys_finding()
    assert mark == "WARNING"
    assert "node-passphrase" in text
    assert "--passphrase-file" in text
    assert keys_finding("--passphrase-file", secret)[0] == "OK"


def test_keys_rotate_takes_the_passphrase_from_a_file(kept: tuple[Path, Path]) -> None:
    """Outside systemd too; without file and terminal one sentence says so."""
    node, secret = kept
    rotate = ("keys", "rotate", "--dir", node, "--purpose", "LIVE", "--again", "--json")
    status, out, err = command(*rotate, "--passphrase-file", secret)
    assert (status, err) == (0, "")
    assert json.loads(out)["version"] == 1
