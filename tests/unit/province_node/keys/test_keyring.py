"""The online keys: what opens, what signs, and what must not be there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from healthcode.errors import ConfigurationError, PreconditionError, Reason
from healthcode.signing.ed25519 import PrivateKey, kid
from healthcode.signing.keyfile import create_key_file
from healthcode.signing.purpose import KeyPurpose
from province_node.keys.key_files import create_online_key, list_key_infos
from province_node.keys.keyring import Keyring
from tests.simulator.realm import NOW
from tests.unit.province_node.world import HOME, PASSPHRASE, write_keys


def open_ring(world, **changes) -> Keyring:
    values = {"participant": HOME, "realm": world.realm.realm, **changes}
    return Keyring(world.folder / "keys", PASSPHRASE, **values)


def rotate(world) -> PrivateKey:
    """A further LIVE key of the simulated province, published and written as a file of the node."""
    key = world.realm.rotate_key(HOME, KeyPurpose.LIVE, "next")
    document = world.realm.provinces[HOME].document
    later = document.keys[-1].model_copy(update={"not_before": NOW - 3600})
    world.realm.provinces[HOME].document = document.model_copy(update={"keys": (*document.keys[:-1], later)})
    create_key_file(
        world.folder / "keys" / "live-next.key",
        key,
        PASSPHRASE,
        purpose=KeyPurpose.LIVE,
        realm=world.realm.realm,
        participant=HOME,
        created=NOW,
        not_before=NOW - 3600,
        not_after=NOW + 86_400,
        cost="development",
    )
    return key


def live_kid(ring: Keyring, world, now: int = NOW) -> str:
    return kid(ring.signing_key(KeyPurpose.LIVE, world.view.issuers[HOME], now).public).hex()


def test_the_newest_published_key_signs_once_it_has_settled(world):
    """A rotated key signs when it was seen published for settle_seconds; until then the old one goes on."""
    ring = open_ring(world, settle_seconds=30)
    old = live_kid(ring, world)
    new = kid(rotate(world).public).hex()
    assert ring.rescan() == 1
    assert live_kid(ring, world) == old
    world.realm.publish_province(HOME)
    world.refresh()
    assert live_kid(ring, world, NOW + 1) == old
    assert live_kid(ring, world, NOW + 31) == new


def test_an_unpublished_key_never_signs(world):
    """A key file that no authority published is of no use yet."""
    for path in (world.folder / "keys").glob("live*.key"):
        path.unlink()
    rotate(world)
    with pytest.raises(PreconditionError) as refused:
        live_kid(open_ring(world), world)
    assert refused.value.reason is Reason.KEY_UNAVAILABLE


def test_out_of_its_window_a_key_signs_nothing(world):
    """A LIVE key lives 7 days."""
    with pytest.raises(PreconditionError):
        live_kid(open_ring(world), world, NOW + 7 * 86_400)


def test_before_admission_the_error_says_what_is_waited_for(world):
    """A participant that is not in the trust yet learns so."""
    with pytest.raises(PreconditionError, match="approval"):
        open_ring(world).signing_key(KeyPurpose.LIVE, None, NOW)


@pytest.mark.parametrize("changes", [{"participant": "44"}, {"realm": "test-other"}])
def test_keys_of_another_node_are_refused(world, changes):
    """A key file of another participant or realm stops the start."""
    with pytest.raises(ConfigurationError, match="move it away"):
        open_ring(world, **changes)


def test_a_world_readable_or_missing_key_stops_the_start_with_what_to_do(world):
    """Chmod is named for the one, the backup for the other."""
    path = world.folder / "keys" / "live.key"
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        open_ring(world)
    path.chmod(0o600)
    (world.folder / "keys" / "index.key").unlink()
    with pytest.raises(ConfigurationError, match="INDEX key is missing"):
        open_ring(world)


def test_a_lost_head_key_stops_no_start(world):
    """The keyring opens, so that another can be made; only a request without one is refused, with the command."""
    (world.folder / "keys" / "head.key").unlink()
    ring = open_ring(world)
    assert list(ring.head_keys(world.view.issuers[HOME])) == []
    with pytest.raises(ConfigurationError, match="keys rotate --purpose HEAD"):
        ring.head_key()
    path = create_online_key(
        world.folder / "keys",
        KeyPurpose.HEAD,
        PASSPHRASE,
        participant=HOME,
        realm=world.realm.realm,
        now=NOW,
        development=True,
    )
    assert ring.rescan() == 1
    assert ring.head_key().public == list_key_infos(path.parent)[1][1].public


def test_a_published_head_key_that_is_not_here_is_lacked(world):
    """So the folder is looked through again when the authority has published the next one."""
    ring, issuer = open_ring(world), world.view.issuers[HOME]
    assert not ring.lacks(issuer)
    assert ring.lacks(replace(issuer, live_keys=frozenset({b"k" * 32})))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def change_box(path: Path) -> None:
    """Still a key file by its form, which the right passphrase does not open."""
    document = json.loads(path.read_text())
    box = document["box"]
    document["box"] = ("B" if box[0] == "A" else "A") + box[1:]
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("damage", [cut, change_box])
@pytest.mark.parametrize("purpose", [KeyPurpose.HEAD, KeyPurpose.LIVE, KeyPurpose.ANSWER])
def test_a_damaged_key_file_names_the_way_out_without_a_backup_and_it_works(world, damage, purpose):
    """Restore it, or move it aside and make another; with the file aside the keyring opens."""
    path = world.folder / "keys" / f"{purpose.lower()}.key"
    damage(path)
    with pytest.raises(ConfigurationError, match="from its backup") as refused:
        open_ring(world)
    assert f"move it aside, out of {path.parent}" in refused.value.message
    assert f"keys rotate --purpose {purpose}`" in refused.value.message
    path.rename(world.folder / path.name)
    assert len(open_ring(world).infos) == 5


@pytest.mark.parametrize("damage", [cut, change_box])
def test_a_damaged_index_key_names_its_own_way_out(world, damage):
    """Another INDEX key never comes by `keys rotate`."""
    damage(world.folder / "keys" / "index.key")
    with pytest.raises(ConfigurationError, match="keys replace --index-only") as refused:
        open_ring(world)
    assert "rotate" not in refused.value.message


def test_a_wrong_passphrase_is_said_plainly(world):
    """The message names the file and the passphrase, and nothing of either's content."""
    with pytest.raises(ConfigurationError, match="passphrase does not open") as refused:
        Keyring(world.folder / "keys", b"wrong", participant=HOME, realm=world.realm.realm)
    assert "aside" not in refused.value.message, "the keys are sound: nobody is told to give one up"


def test_secrets_for_indices_and_holders_differ(world, tmp_path):
    """Both derive from the INDEX key, apart from each other, and are the same at each start."""
    ring = open_ring(world)
    assert ring.index_secret() != ring.holder_secret()
    assert ring.index_secret() == open_ring(world).index_secret()
    write_keys(tmp_path / "other", world.realm, "44")
    other = Keyring(tmp_path / "other", PASSPHRASE, participant="44", realm=world.realm.realm)
    assert "i" * 8 not in repr(other)
