"""Key files: offline keys are found anywhere in the folder, and a new key has the window of its purpose."""

from __future__ import annotations

import os

import pytest

from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.keyfile import create_key_file
from healthcode.signing.purpose import KeyPurpose
from province_node.keys.key_files import create_online_key, find_offline_keys, list_key_infos
from tests.simulator.realm import NOW
from tests.unit.province_node.world import HOME, PASSPHRASE


@pytest.mark.parametrize("purpose", [KeyPurpose.AUTHORITY, KeyPurpose.ROOT, KeyPurpose.OPERATOR])
def test_an_offline_key_is_found_by_whatever_name(tmp_path, purpose):
    """Renamed, deep down, or readable by all: an offline key in the folder is found."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    path = tmp_path / "deep" / "er" / "notes.txt"
    create_key_file(
        path,
        PrivateKey.generate(),
        PASSPHRASE,
        purpose=purpose,
        realm="test-x",
        created=NOW,
        cost="development",
    )
    path.chmod(0o644)
    (tmp_path / "large").write_bytes(os.urandom(20_000))
    assert list(find_offline_keys(tmp_path)) == [path]


@pytest.mark.parametrize("hidden", ["linked file", "linked folder", "padded"])
def test_an_offline_key_is_found_however_it_lies_there(tmp_path, hidden):
    """A link to the key or to its folder, or white space around it, hides nothing; links that go round end."""
    away, node = tmp_path / "away", tmp_path / "node"
    away.mkdir()
    node.mkdir()
    path = away / "authority-1.key"
    options = {"purpose": KeyPurpose.AUTHORITY, "realm": "test-x", "created": NOW, "cost": "development"}
    create_key_file(path, PrivateKey.generate(), PASSPHRASE, **options)
    (node / "round").symlink_to(node)
    if hidden == "linked file":
        (node / "x.txt").symlink_to(path)
    elif hidden == "linked folder":
        (node / "x").symlink_to(away)
    else:
        (node / "x").write_bytes(path.read_bytes() + b" " * 20_000)
    assert len(list(find_offline_keys(node))) == 1


def test_online_keys_are_no_offline_keys(world):
    """A node's own folder is clean."""
    assert list(find_offline_keys(world.folder)) == []


def test_a_new_key_has_its_purposes_window(tmp_path):
    """LIVE keys are made for 7 days, PAPER for 30, HEAD and INDEX without end, each of mode 0600."""
    for purpose, days in (
        (KeyPurpose.LIVE, 7),
        (KeyPurpose.PAPER, 30),
        (KeyPurpose.HEAD, None),
        (KeyPurpose.INDEX, None),
    ):
        path = create_online_key(
            tmp_path, purpose, PASSPHRASE, participant=HOME, realm="test-x", now=NOW, development=True
        )
        assert path.stat().st_mode & 0o777 == 0o600
        info = dict(list_key_infos(tmp_path))[path]
        assert info.purpose is purpose
        assert info.not_after == (None if days is None else NOW + days * 86_400)
