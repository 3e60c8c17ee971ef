"""An honest registry: what a client takes, keeps and shows."""

import os
import signal
from pathlib import Path

import pytest

from healthcode.errors import ConfigurationError, TrustError
from healthcode.policy.words import RiskLevel
from healthcode.revocation.state import RevocationStatus
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.client import TrustClient
from healthcode.trust.disk.read import current_generation, generation_numbers
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import TrustStore, init_trust
from tests.simulator.fork_server import run_forked
from tests.simulator.realm import SimulatedRealm


def test_the_first_refresh_brings_everything(client: TrustClient, realm: SimulatedRealm) -> None:
    """Issuers with keys, lists, policy, areas and services stand in the view."""
    view = client.open().view
    assert view.realm == "test-simulator"
    assert set(view.issuers) == {"00", "11", "31"}
    shanghai = view.issuers["31"]
    (live,) = shanghai.keys_for(KeyPurpose.LIVE, realm.now)
    assert live.public == realm.provinces["31"].keys[KeyPurpose.LIVE].public
    assert shanghai.endpoints["federation"] == "province-31.healthcode:7100"
    assert shanghai.live_signed_at == realm.now
    assert view.areas.risk("310115", realm.now) is RiskLevel.HIGH
    assert view.areas_expires is not None
    assert view.areas_expires > realm.now
    assert view.policy.in_force(realm.now).version
    assert view.services["registry"].public_endpoint == "127.0.0.1:7002"
    assert view.earliest_expiry == realm.now + 3600
    assert view.warnings == ()


def test_nothing_new_changes_nothing(client: TrustClient, realm: SimulatedRealm) -> None:
    """The same timestamp again is no change and fetches two files: the next root, the timestamp."""
    realm.fetched.clear()
    result = client.refresh(realm.now)
    assert (result.changed, result.generation) == (False, 1)
    assert realm.fetched == ["metadata/2.root.json", "metadata/timestamp.json"]


def test_a_newer_timestamp_alone_makes_the_view_younger_in_place(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """The minute's timestamp is kept durably without a new generation."""
    realm.now += 60
    realm.sign_timestamp()
    result = client.refresh(realm.now)
    assert (result.changed, result.generation) == (True, 1)
    assert result.view.timestamp_signed_at == realm.now
    assert TrustStore.open(folder).view.timestamp_signed_at == realm.now


def test_a_revocation_arrives_and_fetches_only_what_changed(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """One province's change costs its metadata, its head and its list."""
    expires = realm.now + 3600
    realm.revoke("31", 7, expires)
    realm.publish_live("31")
    realm.publish()
    realm.fetched.clear()
    result = client.refresh(realm.now)
    assert result.generation == 2
    state = result.view.issuers["31"].revocations
    assert state is not None
    assert state.status(7, expires) is RevocationStatus.REVOKED
    assert state.status(8, expires) is RevocationStatus.CLEAR
    assert len(realm.fetched) == 6


def test_a_new_province_and_a_new_key_arrive(client: TrustClient, realm: SimulatedRealm) -> None:
    """Onboarding and rotation reach a client in one refresh each."""
    realm.add_province("44")
    realm.publish_province("44")
    realm.publish_live("44")
    realm.publish()
    assert "44" in client.refresh(realm.now).view.issuers
    realm.rotate_key("44", KeyPurpose.LIVE, "second")
    realm.publish_province("44")
    realm.publish()
    view = client.refresh(realm.now).view
    assert len(view.issuers["44"].keys_for(KeyPurpose.LIVE, realm.now)) == 2


def test_a_province_whose_node_never_published_has_keys_but_no_lists(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """Its codes are then NOT_COVERED; nothing is made up."""
    realm.add_province("44")
    realm.publish_province("44")
    realm.publish()
    result = client.refresh(realm.now)
    assert result.rejected == ()
    assert result.view.issuers["44"].revocations is None


def test_a_silent_node_ages_alone(client: TrustClient, realm: SimulatedRealm) -> None:
    """Live metadata past its expiry is left to the tiers, for those who had it and for those who had not."""
    realm.now += 2 * 86_400
    realm.publish_areas({})
    for code in ("00", "11"):
        realm.publish_live(code)
    realm.publish()
    view = client.refresh(realm.now).view
    assert view.age_seconds("11", realm.now) == 0
    assert view.age_seconds("31", realm.now) == 2 * 86_400
    assert view.earliest_expiry < realm.now


def test_a_folder_of_files_is_a_source_like_any_other(realm: SimulatedRealm, tmp_path: Path) -> None:
    """Files carried by hand work as the registry does."""
    mirror = tmp_path / "mirror"
    for path, data in realm.files.items():
        (mirror / path).parent.mkdir(parents=True, exist_ok=True)
        (mirror / path).write_bytes(data)
    source = FolderSource(mirror)
    init_trust(tmp_path / "trust", source, realm.fingerprint)
    result = TrustClient(tmp_path / "trust", source).refresh(realm.now)
    assert set(result.view.issuers) == {"00", "11", "31"}


def test_two_processes_may_share_a_folder(client: TrustClient, realm: SimulatedRealm, folder: Path) -> None:
    """A client goes on from what another one left."""
    realm.publish_live("31")
    realm.publish()
    assert TrustClient(folder, realm).refresh(realm.now).generation == 2
    realm.publish_live("11")
    realm.publish()
    result = client.refresh(realm.now)
    assert result.generation == 3
    assert result.view.issuers["31"].head_version == 2


def test_three_generations_are_kept_beside_the_newest(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """Older ones go: their folder is the next one's."""
    for _ in range(5):
        realm.publish_live("31")
        realm.publish()
        client.refresh(realm.now)
    assert generation_numbers(folder) == [6, 5, 4, 3]
    assert current_generation(folder) == 6


def test_a_folder_that_was_never_begun_is_a_configuration_error(
    realm: SimulatedRealm, tmp_path: Path
) -> None:
    """The message says how to begin one."""
    with pytest.raises(ConfigurationError, match="healthcode trust init"):
        TrustClient(tmp_path, realm).refresh(realm.now)


def test_refresh_by_a_clock_that_is_given(realm: SimulatedRealm, folder: Path) -> None:
    """python-tuf's own clock never counts: trust of a past and of a future realm is fresh at its time."""
    for shift in (-10 * 365 * 86_400, 10 * 365 * 86_400):
        elsewhen = SimulatedRealm(("31",), now=realm.now + shift)
        client = elsewhen.client(folder.with_name(f"trust{shift}"))
        assert client.refresh(elsewhen.now).changed


POINTS = ("national.fetched", "verified", "files.written", "generation.synced", "current.swapped")

CUT = """
import os, signal, sys
from pathlib import Path
from healthcode.trust.client import TrustClient
from tests.simulator.realm import SimulatedRealm

realm = SimulatedRealm(("00", "11", "31"))
realm.revoke("31", 7, realm.now + 3600)
realm.publish_live("31")
realm.publish()

def cut(step):
    if step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

TrustClient(Path(sys.argv[1]), realm, checkpoint=cut).refresh(realm.now)
"""


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_step_leaves_a_folder_that_opens(
    client: TrustClient, realm: SimulatedRealm, folder: Path, point: str
) -> None:
    """Kill -9 in the middle: the old trust or the new serves, never half of each, and the next refresh heals."""
    done = run_forked(CUT, folder, point)
    assert done.returncode == -signal.SIGKILL, done.stderr
    store = TrustStore.open(folder)
    assert store.warnings == ()
    assert store.view.issuers["31"].head_version == (2 if point == "current.swapped" else 1)
    realm.revoke("31", 7, realm.now + 3600)
    realm.publish_live("31")
    realm.publish()
    result = TrustClient(folder, realm).refresh(realm.now)
    assert result.view.issuers["31"].head_version == 2
    assert TrustStore.open(folder).view.issuers["31"].head_version == 2


def test_a_full_disk_loses_nothing(
    client: TrustClient, realm: SimulatedRealm, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generation that cannot be written leaves the one before, and no rubbish."""
    realm.publish_live("31")
    realm.publish()

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(TrustError, match="No space left") as caught:
            client.refresh(realm.now)
    assert caught.value.reason == "STORAGE_FULL"
    assert generation_numbers(folder) == [1]
    assert client.refresh(realm.now).generation == 2
