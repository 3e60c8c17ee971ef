"""What a participant may publish, and the reason of each refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthcode.cli.finding import Grade
from healthcode.errors import (
    ConflictError,
    HealthcodeError,
    InvalidInputError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    TrustError,
)
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.revocation.day import day_of
from healthcode.rpc.mtls.development_ca import make_ca
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import authority_role, metadata_file, province_path
from healthcode.trust.format.metadata import sign_metadata, to_bytes
from healthcode.trust.format.new_metadata import new_live_metadata
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import init_trust
from healthcode.trust.verify.roots import root_fingerprint
from tests.simulator.realm import NOW
from tests.simulator.registry import Province, admit, found_registry
from tests.world.clock import ManualClock
from trust_registry.monitoring.check import inspect_folder
from trust_registry.monitoring.status import status_of
from trust_registry.participants.ca_directory import CaDirectory
from trust_registry.participants.request_ids import RequestIds
from trust_registry.participants.submission import Publisher
from trust_registry.registry import Registry
from trust_registry.tree.transaction import Receipt, RoleUpdate

REALM = "test-registry"
TODAY = day_of(NOW)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return found_registry(tmp_path / "registry")


@pytest.fixture
def shanghai(registry: Registry) -> Province:
    province = Province("31", REALM)
    admit(registry, province, Province("44", REALM))
    return province


@pytest.fixture
def publisher(registry: Registry) -> Publisher:
    return Publisher(registry.repository)


def publish_live(publisher: Publisher, province: Province, version: int, spool: Path) -> Receipt:
    metadata, head = province.live_publication(version)
    return publisher.publish_revocations(province.code, metadata, head, province.spool(spool))


def test_an_authority_publishes_its_next_version(publisher: Publisher, shanghai: Province) -> None:
    """Version current + 1, signed by the threshold, is taken and becomes part of a new snapshot."""
    first = publisher.publish_province("31", *shanghai.publication(2))
    second = publisher.publish_province("31", *shanghai.publication(3))
    assert (first.version, second.version) == (2, 3)
    assert second.snapshot_version == first.snapshot_version + 1


def test_an_older_bundle_is_refused_as_older(publisher: Publisher, shanghai: Province) -> None:
    """An older version that was published once is refused: its sender means it to become current."""
    old = shanghai.publication(2)
    publisher.publish_province("31", *old)
    newest = publisher.publish_province("31", *shanghai.publication(3))
    with pytest.raises(
        ConflictError, match="version 2 is older than the published 3; nothing was done"
    ) as caught:
        publisher.publish_province("31", *old)
    assert caught.value.reason is Reason.VERSION_CONFLICT
    again = publisher.publish_province("31", *shanghai.publication(3))
    assert (again.version, again.is_repeat, newest.is_repeat) == (3, True, False)


def test_the_same_publication_again_gives_the_same_result(publisher: Publisher, shanghai: Province) -> None:
    """A call repeated after a lost answer succeeds, even if others published since."""
    publication = shanghai.publication(2)
    publisher.publish_province("31", *publication)
    assert publisher.publish_province("31", *publication).version == 2
    publisher.publish_province("44", *Province("44", REALM).publication(2))
    assert publisher.publish_province("31", *publication).version == 2


@pytest.mark.parametrize("version", [1, 3, 100])
def test_any_other_version_is_refused(publisher: Publisher, shanghai: Province, version: int) -> None:
    """A lower version, the same version with other content, and a version too high are refused."""
    with pytest.raises(ConflictError) as caught:
        publisher.publish_province("31", *shanghai.publication(version, name="another"))
    assert caught.value.reason is Reason.VERSION_CONFLICT


def test_too_few_signatures_are_refused(publisher: Publisher, shanghai: Province) -> None:
    """One of two keys, or a neighbour's keys, publish nothing."""
    for signers, reason in (
        (shanghai.authority[:1], Reason.SIGNATURE_THRESHOLD),
        (Province("44", REALM).authority, Reason.SIGNATURE_FOREIGN),
    ):
        with pytest.raises(HealthcodeError) as caught:
            publisher.publish_province("31", *shanghai.publication(2, signers=signers))
        assert caught.value.reason is reason


def test_a_province_cannot_publish_for_another(publisher: Publisher, shanghai: Province) -> None:
    """What 44 signed is refused under 31, and what 31 says of 44 too."""
    with pytest.raises(HealthcodeError):
        publisher.publish_province("31", *Province("44", REALM).publication(2))
    with pytest.raises(TrustError) as caught:
        publisher.publish_province("31", *shanghai.publication(2, participant="44"))
    assert caught.value.reason is Reason.PATH_FORBIDDEN


def test_who_is_not_admitted_publishes_nothing(publisher: Publisher, shanghai: Province) -> None:
    """A stranger is told to send a join request."""
    with pytest.raises(PermissionDeniedError) as caught:
        publisher.publish_province("11", *Province("11", REALM).publication(1))
    assert caught.value.reason is Reason.PARTICIPANT_UNKNOWN


def test_a_file_other_than_the_signed_one_is_refused(publisher: Publisher, shanghai: Province) -> None:
    """The hash in the metadata decides."""
    metadata, data = shanghai.publication(2)
    with pytest.raises(TrustError):
        publisher.publish_province("31", metadata, data + b" ")


def test_garbage_is_refused_as_garbage(publisher: Publisher, shanghai: Province) -> None:
    """Bytes that are no metadata are refused with an error."""
    for garbage in (b"", b"{}", b"[" * 100_000, b'{"signed": {"_type": "root"}}'):
        with pytest.raises(InvalidInputError):
            publisher.publish_province("31", garbage, garbage)


def test_revocations_reach_a_client(
    publisher: Publisher, shanghai: Province, registry: Registry, tmp_path: Path
) -> None:
    """Head and lists are served as published, and a client's view refuses the index."""
    shanghai.revoke(TODAY, [5, 9])
    publish_live(publisher, shanghai, 1, tmp_path / "spool")
    source = FolderSource(registry.folder.repository)
    init_trust(
        tmp_path / "trust", source, root_fingerprint(registry.repository.tree.read(metadata_file("root", 1)))
    )
    result = TrustClient(tmp_path / "trust", source).refresh(NOW)
    assert not result.rejected
    state = result.view.issuers["31"].revocations
    assert state is not None
    assert state.status(9, NOW + 60).value == "REVOKED"
    assert state.status(6, NOW + 60).value == "CLEAR"


def test_a_list_that_was_not_sent_is_asked_for(
    publisher: Publisher, shanghai: Province, tmp_path: Path
) -> None:
    """A head never becomes public before its lists."""
    shanghai.revoke(TODAY, [5])
    metadata, head = shanghai.live_publication(1)
    with pytest.raises(InvalidInputError, match="neither sent"):
        publisher.publish_revocations("31", metadata, head, {})
    assert publish_live(publisher, shanghai, 1, tmp_path / "spool").version == 1


def test_a_list_already_published_need_not_come_again(
    publisher: Publisher, shanghai: Province, tmp_path: Path
) -> None:
    """Re-signing the same head needs no lists."""
    shanghai.revoke(TODAY, [5])
    publish_live(publisher, shanghai, 1, tmp_path / "spool")
    metadata, head = shanghai.live_publication(2)
    assert publisher.publish_revocations("31", metadata, head, {}).version == 2


def test_a_list_that_is_no_list_is_refused(publisher: Publisher, shanghai: Province, tmp_path: Path) -> None:
    """A well-signed list that clients could not read is refused."""
    shanghai.revoke(TODAY, [5])
    (sha256_hex,) = shanghai.lists
    spool = tmp_path / "garbage"
    spool.write_bytes(b"garbage")
    metadata, head = shanghai.live_publication(1)
    with pytest.raises(InvalidInputError):
        publisher.publish_revocations("31", metadata, head, {sha256_hex: spool})


@pytest.mark.parametrize("restarted", [False, True])
def test_a_day_only_grows(
    publisher: Publisher, shanghai: Province, registry: Registry, tmp_path: Path, restarted: bool
) -> None:
    """A list that lost an entry is refused, also by a registry that has just started."""
    shanghai.revoke(TODAY, [5, 9])
    publish_live(publisher, shanghai, 1, tmp_path / "spool")
    shanghai.revoke(TODAY, [5, 7, 8])
    again = Publisher(registry.repository) if restarted else publisher
    with pytest.raises(TrustError) as caught:
        publish_live(again, shanghai, 2, tmp_path / "spool")
    assert caught.value.reason is Reason.LIST_SHRANK


def test_another_live_key_publishes_nothing(publisher: Publisher, shanghai: Province) -> None:
    """Only the node that the authority named can revoke."""
    metadata, head = shanghai.live_publication(1, signer=Province("44", REALM).live_key)
    with pytest.raises(PermissionDeniedError) as caught:
        publisher.publish_revocations("31", metadata, head, {})
    assert caught.value.reason is Reason.SIGNATURE_FOREIGN


def test_a_head_of_the_future_is_refused(publisher: Publisher, shanghai: Province) -> None:
    """A node whose clock is ahead is told so."""
    _, head = shanghai.live_publication(1)
    metadata = new_live_metadata("31", version=1, head=head, now=NOW + 3600)
    sign_metadata(metadata, shanghai.live_key)
    with pytest.raises(HealthcodeError, match="clock"):
        publisher.publish_revocations("31", to_bytes(metadata), head, {})


def test_a_request_id_stands_for_one_content() -> None:
    """An id passes again with the same content, is refused with another, and is free after a day."""
    clock = ManualClock()
    ids = RequestIds(clock)
    ids.check("31", "a", b"one")
    ids.check("31", "a", b"one")
    ids.check("44", "a", b"two")
    with pytest.raises(ConflictError) as caught:
        ids.check("31", "a", b"two")
    assert caught.value.reason is Reason.REQUEST_ID_REUSED
    clock.at += 86_400
    ids.check("31", "a", b"two")
    for unusable in ("", "x" * 65):
        with pytest.raises(InvalidInputError):
            ids.check("31", unusable, b"one")


def test_the_ca_subject_of_another_province_is_refused(publisher: Publisher, shanghai: Province) -> None:
    """TLS finds only one CA of a subject, so the second to claim it is refused."""
    guangdong = Province("44", REALM)
    guangdong.ca = make_ca(f"{REALM} 31 CA", days=30, now=NOW)
    with pytest.raises(PreconditionError, match="31 published another CA with the subject"):
        publisher.publish_province("44", *guangdong.publication(2))
    assert publisher.publish_province("31", *shanghai.publication(2)).version == 2


def test_published_cas_that_clash_stay_with_the_first(registry: Registry, shanghai: Province) -> None:
    """A clashing CA that was published all the same is ignored; `status` and `check` name it."""
    directory = CaDirectory(registry.repository.tree)
    before = set(directory.all())
    guangdong = Province("44", REALM)
    own, garbage = guangdong.ca.certificate_pem.decode(), "-----BEGIN CERTIFICATE-----\nAAAA\n"
    claimed = make_ca(f"{REALM} 31 CA", days=30, now=NOW).certificate_pem.decode()
    metadata, data = guangdong.publication(2, tls_ca=(claimed, garbage, own))
    with registry.repository.transaction() as transaction:
        transaction.publish({authority_role("44"): RoleUpdate(2, metadata, {province_path("44"): data})})
    assert set(directory.all()) - before == {own}
    assert shanghai.ca.certificate_pem.decode() not in directory.cas_for(
        PeerId(REALM, PeerKind.PROVINCE, "44")
    )
    told = status_of(registry)["certificates_left_out"]
    assert [line.partition(":")[0] for line in told] == [
        f"tls_ca entry {n} of 44 is left out" for n in (1, 2)
    ]
    (finding,) = [
        each for each in inspect_folder(registry.folder, ManualClock(NOW), {}) if "CAs" in each.what
    ]
    assert (finding.grade, finding.detail) == (Grade.WARNING, "; ".join(told))
    # and it can still mend what it published
    publisher = Publisher(registry.repository)
    assert publisher.publish_province("44", *guangdong.publication(3)).version == 3
    assert status_of(registry)["certificates_left_out"] == []
