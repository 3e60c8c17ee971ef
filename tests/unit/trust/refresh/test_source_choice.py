"""Several sources: the newest that holds wins; a lying, frozen or slow one delays and never misleads."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from healthcode.errors import HealthcodeError, NotFoundError, Reason, TrustError, UnavailableError
from healthcode.revocation.state import RevocationStatus
from healthcode.trust.client import RefreshResult, TrustClient
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.refresh.candidate import SourceLimits
from healthcode.trust.sources.trust_source import TrustSource, too_large
from healthcode.trust.store import init_trust
from tests.simulator.realm import SimulatedRealm

LIMITS = SourceLimits(answer_seconds=0.3, first_rest_seconds=0)
TIMESTAMP = metadata_file("timestamp")


class Copy:
    """A mirror's copy of a realm as it stood when it was made; `wrong` answers in its place."""

    def __init__(self, name: str, realm: SimulatedRealm) -> None:
        self.name = name
        self.files = dict(realm.files)
        self.asked: list[str] = []
        self.wrong: Callable[[str], bytes | None] = lambda _path: None

    def fetch(self, path: str, max_bytes: int) -> bytes:
        self.asked.append(path)
        data = self.wrong(path)
        if data is None:
            data = self.files.get(path)
        if data is None:
            raise NotFoundError(f"{self.name} has no file {path}")
        if len(data) > max_bytes:
            raise too_large(path, max_bytes, self.name)
        return data


@pytest.fixture
def start(folder: Path, realm: SimulatedRealm) -> Callable[..., TrustClient]:
    """A client over sources, its folder begun with the realm's root."""

    def start(*sources: TrustSource, limits: SourceLimits = LIMITS) -> TrustClient:
        init_trust(folder, sources, realm.fingerprint)
        return TrustClient(folder, sources, source_limits=limits)

    return start


Start = Callable[..., TrustClient]


def news(realm: SimulatedRealm) -> int:
    """A revocation that is published now; its index."""
    index = 100 + realm.snapshot_version
    realm.now += 60
    realm.revoke("31", index, realm.now + 3600)
    realm.publish_live("31")
    realm.publish()
    return index


def revoked(result: RefreshResult, realm: SimulatedRealm, index: int) -> bool:
    state = result.view.issuers["31"].revocations
    assert state is not None
    return state.status(index, realm.now + 3600) is RevocationStatus.REVOKED


def why(client: TrustClient) -> dict[str, Reason]:
    return {note.source: note.reason for note in client.passed_over}


def test_a_fresh_source_wins_over_a_frozen_one(realm: SimulatedRealm, start: Start) -> None:
    """Whatever their order, and although what the frozen one serves still holds; it is told once it lags far."""
    frozen = Copy("frozen", realm)
    client = start(frozen, realm)
    client.refresh(realm.now)
    index = news(realm)
    result = client.refresh(realm.now)
    assert (result.source, revoked(result, realm, index), why(client)) == (realm.name, True, {})
    realm.now += 600
    realm.sign_timestamp()
    assert client.refresh(realm.now).view.timestamp_signed_at == realm.now
    assert why(client) == {"frozen": Reason.TRUST_FROZEN}


def test_equals_are_taken_in_order(realm: SimulatedRealm, start: Start) -> None:
    """The first named is preferred; the others are asked for a timestamp and no more."""
    second = Copy("second", realm)
    client = start(realm, second)
    assert client.refresh(realm.now).source == realm.name
    assert second.asked == [TIMESTAMP]


def test_a_liar_is_found_out_and_passed_over(realm: SimulatedRealm, start: Start) -> None:
    """A timestamp that claims to be the newest, unsigned: noted by its reason, and the honest one taken."""
    liar = Copy("liar", realm)
    other = SimulatedRealm(now=realm.now)
    other.timestamp_key = realm.key("a stranger")
    other.timestamp_version = 10_000
    other.sign_timestamp()
    liar.files[TIMESTAMP] = other.files[TIMESTAMP]
    client = start(liar, realm)
    result = client.refresh(realm.now)
    assert result.source == realm.name
    assert why(client) == {"liar": Reason.SIGNATURE_THRESHOLD}


def test_a_forgery_that_claims_to_be_older_is_told_too(
    realm: SimulatedRealm, start: Start, folder: Path
) -> None:
    """A source that was not needed is still noted when nobody whom root names signed its timestamp; alone it is named."""
    forged = Copy("forged", realm)
    signed = json.loads(forged.files[TIMESTAMP])
    signed["signatures"][0]["sig"] = "00" * 64
    forged.files[TIMESTAMP] = json.dumps(signed).encode()
    client = start(realm, forged)
    news(realm)
    assert client.refresh(realm.now).source == realm.name
    assert why(client) == {"forged": Reason.SIGNATURE_THRESHOLD}
    alone = TrustClient(folder, (forged,), source_limits=LIMITS)
    with pytest.raises(HealthcodeError, match="forged") as caught:
        alone.refresh(realm.now)
    assert caught.value.reason is Reason.SIGNATURE_THRESHOLD


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"{", Reason.MALFORMED_MESSAGE), (b" " * 100_000, Reason.TOO_LARGE), (b"[]", Reason.MALFORMED_MESSAGE)],
)
def test_rubbish_is_passed_over(realm: SimulatedRealm, start: Start, data: bytes, reason: Reason) -> None:
    """What is no timestamp, or is longer than one may be."""
    rubbish = Copy("rubbish", realm)
    rubbish.wrong = lambda path: data if path == TIMESTAMP else None
    client = start(rubbish, realm)
    assert client.refresh(realm.now).source == realm.name
    assert why(client) == {"rubbish": reason}


def test_an_old_set_under_a_new_folder_is_passed_over(realm: SimulatedRealm, start: Start) -> None:
    """Of two sources the older is tried when the newer fails, and then taken, if it is not older than ours."""
    older = Copy("older", realm)
    news(realm)
    broken = Copy("broken", realm)
    broken.wrong = lambda path: b"{}" if "snapshot" in path else None
    client = start(broken, older)
    assert client.refresh(realm.now).source == "older"
    realm_client = TrustClient(client.open().directory, [realm, broken, older], source_limits=LIMITS)
    realm_client.refresh(realm.now)
    realm.offline = True
    # with the timestamp that we have it has nothing more to show
    assert realm_client.refresh(realm.now).changed is False
    broken.wrong = lambda _path: b"{}"
    with pytest.raises(TrustError) as caught:
        realm_client.refresh(realm.now)
    assert why(realm_client)["older"] is Reason.TRUST_ROLLBACK
    assert "older" in caught.value.message
    assert "out of reach" in caught.value.message


def test_a_slow_source_costs_a_moment(realm: SimulatedRealm, start: Start) -> None:
    """It is asked with the others, waited for briefly, and then rests."""
    slow, let_go = Copy("slow", realm), threading.Event()

    def hang(_path: str) -> None:
        let_go.wait(60)

    client = start(realm, slow, limits=SourceLimits(answer_seconds=1, first_rest_seconds=3600))
    slow.wrong = hang
    began = time.monotonic()
    index = news(realm)
    assert revoked(client.refresh(realm.now), realm, index)
    assert why(client) == {"slow": Reason.SOURCE_SLOW}
    assert time.monotonic() - began < 30
    asked = len(slow.asked)
    index = news(realm)
    assert revoked(client.refresh(realm.now), realm, index)
    assert len(slow.asked) == asked
    let_go.set()


def test_a_source_that_rests_is_asked_when_no_other_holds(realm: SimulatedRealm, start: Start) -> None:
    """Nothing is given up for good."""
    second = Copy("second", realm)
    client = start(second, realm, limits=SourceLimits(answer_seconds=1, first_rest_seconds=3600))
    second.wrong = lambda _path: b"{"
    client.refresh(realm.now)
    assert why(client) == {"second": Reason.MALFORMED_MESSAGE}
    second.wrong = lambda _path: None
    index = news(realm)
    second.files = dict(realm.files)
    realm.offline = True
    result = client.refresh(realm.now)
    assert (result.source, revoked(result, realm, index)) == ("second", True)


def test_what_one_source_lacks_another_gives(realm: SimulatedRealm, start: Start) -> None:
    """A newest timestamp that holds, and a province's list spoilt: the list comes from elsewhere, the blame stays."""
    client = start(realm)
    client.refresh(realm.now)
    index = news(realm)
    spoilt = Copy("spoilt", realm)
    realm.now += 60
    realm.sign_timestamp()
    spoilt.files[TIMESTAMP] = realm.files[TIMESTAMP]
    spoilt.wrong = lambda path: b"spoilt" if path.startswith("lists/") else None
    honest = Copy("honest", realm)
    client = TrustClient(client.open().directory, [spoilt, honest], source_limits=LIMITS)
    result = client.refresh(realm.now)
    assert (result.source, result.rejected, revoked(result, realm, index)) == ("spoilt", (), True)
    assert why(client) == {"spoilt": Reason.LIST_TRUNCATED}


def test_what_no_source_has_right_is_the_provinces_fault(realm: SimulatedRealm, start: Start) -> None:
    """A head that is signed wrong is wrong everywhere; no source is blamed, and the rest moves."""
    second = Copy("second", realm)
    client = start(realm, second)
    client.refresh(realm.now)
    realm.publish_live("31", signer=realm.key("a stranger"))
    index = 5
    realm.revoke("11", index, realm.now + 3600)
    realm.publish_live("11")
    realm.publish()
    second.files = dict(realm.files)
    result = client.refresh(realm.now)
    assert [(each.participant, each.reason) for each in result.rejected] == [("31", Reason.SIGNATURE_FOREIGN)]
    assert client.passed_over == ()
    assert result.view.issuers["11"].live_version == 2


def test_a_thief_of_one_mirror_cannot_starve_the_others(realm: SimulatedRealm, start: Start) -> None:
    """It serves the newest timestamp and keeps back the snapshot, each time anew: the mirror that lags still brings news."""
    thief, lagging = Copy("thief", realm), Copy("lagging", realm)
    client = start(thief, lagging)
    client.refresh(realm.now)
    for _ in range(3):
        index = news(realm)
        lagging.files = dict(realm.files)
        realm.now += 60
        realm.sign_timestamp()
        thief.files = {path: data for path, data in realm.files.items() if "snapshot" not in path}
        result = client.refresh(realm.now)
        assert (result.source, revoked(result, realm, index)) == ("lagging", True)
        assert why(client) == {"thief": Reason.FILE_UNKNOWN}


def test_endless_files_have_an_end(realm: SimulatedRealm, start: Start) -> None:
    """All that a refresh takes from one source is bounded, in bytes and in time."""
    for limits, reason in (
        (SourceLimits(refresh_bytes=4_000), Reason.TOO_LARGE),
        (SourceLimits(refresh_seconds=-1), Reason.SOURCE_SLOW),
    ):
        client = start(realm, limits=limits)
        with pytest.raises(HealthcodeError) as caught:
            client.refresh(realm.now)
        assert caught.value.reason is reason


def test_nothing_within_reach_is_unavailable(realm: SimulatedRealm, start: Start) -> None:
    """What each said stands in the error, and the last good serves on."""
    second = SimulatedRealm(now=realm.now)
    client = start(realm, second)
    client.refresh(realm.now)
    realm.offline = second.offline = True
    with pytest.raises(UnavailableError, match=r"(out of reach.*){2}"):
        client.refresh(realm.now)
    assert client.open().view.timestamp_version == 1


def test_a_folder_begins_from_whichever_source_has_the_root(realm: SimulatedRealm, folder: Path) -> None:
    """The fingerprint is proof enough; a source without it, or out of reach, is passed over."""
    other = SimulatedRealm(("31",), realm="test-other")
    dead = SimulatedRealm(("31",))
    dead.offline = True
    init_trust(folder, [dead, other, realm], realm.fingerprint)
    client = TrustClient(folder, [dead, other, realm], source_limits=LIMITS)
    assert client.refresh(realm.now).view.realm == realm.realm
    with pytest.raises(HealthcodeError):
        init_trust(folder / "none", [dead, other], realm.fingerprint)


def test_an_idle_refresh_checks_what_can_have_changed(realm: SimulatedRealm, start: Start) -> None:
    """Nothing new, or the timestamp alone: two files, each fetched once; and what is wrong with them is found."""
    client = start(realm)
    client.refresh(realm.now)
    realm.fetched.clear()
    realm.now += 60
    realm.sign_timestamp()
    assert client.refresh(realm.now).view.timestamp_signed_at == realm.now
    assert realm.fetched == ["metadata/2.root.json", TIMESTAMP]
    good = realm.files[TIMESTAMP]
    realm.timestamp_key, true_key = realm.key("a stranger"), realm.timestamp_key
    realm.sign_timestamp()
    forged = realm.files[TIMESTAMP]
    for wrong, reason in ((forged, Reason.SIGNATURE_THRESHOLD), (b"{}", Reason.MALFORMED_MESSAGE)):
        realm.tampered[TIMESTAMP] = wrong
        with pytest.raises(HealthcodeError) as caught:
            client.refresh(realm.now)
        assert caught.value.reason is reason
    realm.tampered.clear()
    realm.files[TIMESTAMP] = good
    realm.timestamp_key = true_key
    assert client.refresh(realm.now).changed is False
    # a further root is never passed by, and a snapshot that has expired is not renewed by its timestamp
    realm.rotate_root(timestamp_key=realm.key("timestamp-2"))
    realm.sign_timestamp()
    assert client.refresh(realm.now).view.root_version == 2
    realm.now += 86_400
    realm.sign_timestamp()
    with pytest.raises(TrustError) as caught:
        client.refresh(realm.now)
    assert caught.value.reason is Reason.TRUST_FROZEN
