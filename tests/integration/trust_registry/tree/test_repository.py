"""The one writer: what is durable when, what renews itself, what is removed."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from healthcode.cli.finding import Grade
from healthcode.errors import ConfigurationError, UnavailableError
from healthcode.revocation.day import day_of
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage import files
from healthcode.trust.format.key_possession import new_province_key
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.format.metadata import expires_at
from healthcode.trust.format.metadata_fields import signed_at
from tests.simulator.realm import NOW, fixed_key
from tests.simulator.registry import Province, admit, found_registry, plan
from tests.world.clock import ManualClock
from trust_registry.founding.ceremony import hold_ceremony
from trust_registry.monitoring.check import inspect_folder
from trust_registry.monitoring.status import status_of
from trust_registry.participants.checks import authority_of
from trust_registry.participants.submission import Publisher
from trust_registry.registry import Registry, check_offline_keys, open_registry
from trust_registry.tree.retention import remove_superseded

REALM = "test-registry"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def registry(tmp_path: Path, clock: ManualClock) -> Registry:
    return found_registry(tmp_path / "registry", clock=clock)


def test_renewing_signs_the_timestamp_alone(registry: Registry, clock: ManualClock) -> None:
    """A minute later there is a newer timestamp over the same snapshot."""
    clock.at += 60
    receipt = registry.repository.renew()
    assert (receipt.timestamp_version, receipt.snapshot_version) == (2, 1)
    assert signed_at(registry.repository.published().timestamp.signed) == clock.at


def test_snapshot_and_areas_are_renewed_at_half_their_life(registry: Registry, clock: ManualClock) -> None:
    """Nobody needs to remember a day's or two days' expiry."""
    clock.at += 13 * 3600
    assert registry.repository.renew().snapshot_version == 2
    clock.at += 13 * 3600
    registry.repository.renew()
    published = registry.repository.published()
    assert published.version_of("areas") == 2
    assert expires_at(published.snapshot.signed) > clock.at + 80_000


def test_a_registry_that_slept_for_a_month_wakes_up(registry: Registry, clock: ManualClock) -> None:
    """Expired online roles are no dead end: the first renewal makes them good."""
    clock.at += 30 * 86_400
    registry.repository.renew()
    published = registry.repository.published()
    for metadata in (published.timestamp, published.snapshot):
        assert expires_at(metadata.signed) > clock.at


def test_a_publication_cut_off_before_its_commit_never_happened(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was written before the timestamp is not current, and does not stand in the way of the next."""
    shanghai = Province("31", REALM)
    admit(registry, shanghai)
    publisher = Publisher(registry.repository)
    before = registry.repository.published().versions

    def cut(path: Path, data: bytes, *, mode: int = 0o644) -> None:
        if path.name == "timestamp.json":
            raise UnavailableError("cut off")
        files.save_file(path, data, mode=mode)

    with monkeypatch.context() as patched:
        patched.setattr("trust_registry.tree.transaction.save_file", cut)
        with pytest.raises(UnavailableError):
            publisher.publish_province("31", *shanghai.publication(2))
    assert registry.repository.published().versions == before
    assert publisher.publish_province("31", *shanghai.publication(2, name="again")).version == 2


def test_superseded_files_go_and_current_ones_and_roots_stay(
    registry: Registry, clock: ManualClock, tmp_path: Path
) -> None:
    """After the time of grace only what is current is left, and it is whole."""
    shanghai = Province("31", REALM)
    admit(registry, shanghai)
    publisher = Publisher(registry.repository)
    shanghai.revoke(day_of(NOW), [1])
    for version in (1, 2, 3):
        metadata, head = shanghai.live_publication(version)
        publisher.publish_revocations("31", metadata, head, shanghai.spool(tmp_path / "spool"))
    tree = registry.repository.tree
    assert remove_superseded(registry.repository, 3600) == 0
    for path in registry.folder.repository.rglob("*"):
        if path.is_file():
            os.utime(path, (1, 1))
    assert remove_superseded(registry.repository, 3600) > 0
    assert not tree.has(metadata_file("province-31-live", 1))
    assert tree.has(metadata_file("province-31-live", 3))
    assert tree.has(metadata_file("root", 1))
    findings = inspect_folder(registry.folder, clock, {})
    assert [each.detail for each in findings if each.what == "trust tree"] == [
        "1 participants, every signature is valid"
    ]
    assert remove_superseded(registry.repository, 3600) == 0


def test_a_ceremony_founds_once(registry: Registry, clock: ManualClock) -> None:
    """A second ceremony in the same folder is refused, and changes nothing."""
    with pytest.raises(ConfigurationError, match="not empty"):
        hold_ceremony(plan(), registry.folder, clock, confirm=lambda step: True)


def test_check_finds_what_is_wrong_and_says_what_to_do(registry: Registry, clock: ManualClock) -> None:
    """A readable key, a wrong passphrase, a damaged tree, a clock behind: each by its own sentence."""

    def failed() -> list[str]:
        return [
            each.detail for each in inspect_folder(registry.folder, clock, {}) if each.grade is Grade.FAILED
        ]

    assert failed() == []
    clock.at -= 86_400
    assert any("set the clock" in text for text in failed())
    clock.at += 86_400
    key = registry.folder.keys / "snapshot.key"
    key.chmod(0o644)
    assert any("chmod 600" in text for text in failed())
    key.chmod(0o600)
    registry.folder.passphrase.write_bytes(b"another passphrase\n")
    assert any("does not open" in text for text in failed())
    registry.folder.passphrase.unlink()
    assert any("is missing" in text for text in failed())


def test_check_finds_a_damaged_tree(registry: Registry, clock: ManualClock) -> None:
    """A flipped byte in a published file does not wait for a client to find it."""
    path = registry.folder.repository / metadata_file("targets", 1)
    path.write_bytes(path.read_bytes().replace(b'"threshold"', b'"thresholb"', 1))
    findings = inspect_folder(registry.folder, clock, {})
    assert [each.what for each in findings if each.grade is Grade.FAILED] == ["trust tree"]


def test_holders_keys_on_the_server_warn_in_a_test_realm_and_stop_cn(registry: Registry) -> None:
    """What a development ceremony leaves is told; the same in cn refuses to serve."""
    (warning,) = check_offline_keys(registry)
    assert "operator-1.key" in warning
    settings = registry.settings.model_copy(update={"realm": "cn"})
    real = dataclasses.replace(registry, settings=settings)
    with pytest.raises(ConfigurationError, match="Carry each to its key holder"):
        check_offline_keys(real)
    for path in [*registry.folder.ceremony.glob("*.key"), registry.folder.tls / "ca.key"]:
        path.unlink()
    assert check_offline_keys(real) == []


def test_another_realm_in_the_configuration_is_found(registry: Registry, clock: ManualClock) -> None:
    """registry.toml and the tree must be of one realm."""
    text = registry.folder.configuration.read_text()
    registry.folder.configuration.write_text(text.replace('realm = "test-registry"', 'realm = "test-other"'))
    with pytest.raises(ConfigurationError, match="realm"):
        open_registry(registry.folder, clock, {})


def test_status_says_who_must_act(registry: Registry, clock: ManualClock) -> None:
    """A role that nears its end names its people."""
    admit(registry, Province("31", REALM))
    status = status_of(registry)
    assert {line["note"] for line in status["roles"]} == {"ok"}
    assert [line["participant"] for line in status["participants"]] == ["31"]
    clock.at = NOW + 70 * 86_400
    registry.repository.renew()
    notes = {line["role"]: line["note"] for line in status_of(registry)["roles"]}
    assert "propose renewal targets" in notes["targets"]
    assert "authority of Shanghai" in notes["province-31"]
    assert notes["timestamp"] == "ok"


def test_status_shows_every_key_and_certificate_and_warns_at_a_third_of_its_life(
    registry: Registry, clock: ManualClock
) -> None:
    """A key of seven days asks for its successor when a third is left, and who must make it; one that has one does not."""
    shanghai = Province("31", REALM)
    admit(registry, shanghai)
    status = status_of(registry)
    assert status["act"] == []
    (key,) = status["keys"]
    assert key["key"] == "31 LIVE"
    assert (len(key["version"]), key["note"]) == (16, "ok")
    assert {line["certificate"] for line in status["certificates"]} == {"registry", "registry CA", "31 CA"}
    assert {line["role"]: line["threshold"] for line in status["signers"]} == {
        "root": 2,
        "targets": 2,
        "snapshot": 1,
        "timestamp": 1,
        "areas": 1,
    }
    begins, ends = NOW - 3600, NOW + 6 * 86_400
    clock.at = ends - (ends - begins) // 3
    assert not [line for line in status_of(registry)["act"] if line["what"].startswith("key")]
    clock.at += 1
    registry.repository.renew()
    (act,) = [line for line in status_of(registry)["act"] if line["what"].startswith("key")]
    assert act == {
        "who": "the authority of Shanghai",
        "what": f"key 31 LIVE {key['version']}",
        "by": "2026-11-27T08:00:00Z",
    }
    second = new_province_key(
        "31",
        KeyPurpose.LIVE,
        fixed_key("the next key"),
        REALM,
        not_before=clock.at,
        not_after=clock.at + 6 * 86_400,
    )
    both = (*authority_of(registry.repository.published(), "31").province.keys, second)
    Publisher(registry.repository).publish_province("31", *shanghai.publication(2, now=clock.at, keys=both))
    found = status_of(registry)
    assert [line for line in found["act"] if line["what"].startswith("key")] == []
    assert {line["key"]: line["note"] for line in found["keys"]} == {
        "31 LIVE": "ok",
        "31 LIVE before": "replaced: ends by itself",
    }
    clock.at = ends
    assert [line["note"] for line in status_of(registry)["keys"]] == ["ok", "ended"]
