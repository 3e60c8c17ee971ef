"""Where many provinces have news, some are fetched at a time; what comes of it is what one after the other would give."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from healthcode.errors import Reason, TrustError, UnavailableError
from healthcode.trust.client import TrustClient
from healthcode.trust.refresh.candidate import Candidate, SourceLimits
from healthcode.trust.refresh.next_state import _AT_ONCE
from healthcode.trust.store import TrustStore, init_trust
from tests.simulator.realm import SimulatedRealm
from tests.world.waiting import PATIENCE_SECONDS

CODES = tuple(str(code) for code in (*range(11, 16), *range(31, 38)))


class FarSource:
    """Over a network: each fetch takes a moment; how many were under way at once."""

    def __init__(self, realm: SimulatedRealm, seconds: float = 0.01) -> None:
        self.name = realm.name
        self.most = 0
        self._realm = realm
        self._seconds = seconds
        self._lock = threading.Lock()
        self._under_way = 0

    def fetch(self, path: str, max_bytes: int) -> bytes:
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        try:
            time.sleep(self._seconds)
            return self._realm.fetch(path, max_bytes)
        finally:
            with self._lock:
                self._under_way -= 1


@pytest.fixture
def country() -> SimulatedRealm:
    return SimulatedRealm(CODES)


def test_news_of_many_come_at_once_within_a_bound(country: SimulatedRealm, tmp_path: Path) -> None:
    """The same files, in the same order, and the same refusals as a client that fetches alone comes to."""
    far = FarSource(country)
    folders = [tmp_path / "far", tmp_path / "near"]
    for folder in folders:
        init_trust(folder, country, country.fingerprint)
    clients = [TrustClient(folders[0], far), TrustClient(folders[1], country)]
    for client in clients:
        assert client.refresh(country.now).rejected == ()
    assert 1 < far.most <= _AT_ONCE
    for code in CODES:
        country.revoke(code, 7, country.now + 600)
        country.publish_live(code)
    for code in CODES[1::3]:
        country.tampered[
            f"metadata/{country.versions[f'province-{code}-live']}.province-{code}-live.json"
        ] = b"{}"
    country.publish()
    results = [client.refresh(country.now) for client in clients]
    assert [each.participant for each in results[0].rejected] == list(CODES[1::3])
    assert results[0].rejected == results[1].rejected
    states = [TrustStore.open(folder).state.files for folder in folders]
    assert states[0] == states[1]
    assert list(states[0].issuers) == list(CODES)


def test_a_source_that_goes_away_is_not_asked_for_everything(country: SimulatedRealm, tmp_path: Path) -> None:
    """What is under way fails; of the rest nothing is tried."""

    class Going(FarSource):
        asked = 0

        def fetch(self, path: str, max_bytes: int) -> bytes:
            if "province" in path:
                self.asked += 1
                raise UnavailableError("gone", reason=Reason.TRUST_UNAVAILABLE)
            return super().fetch(path, max_bytes)

    source = Going(country)
    client = TrustClient(tmp_path / "trust", source)
    init_trust(tmp_path / "trust", country, country.fingerprint)
    assert len(client.refresh(country.now).rejected) == len(CODES)
    assert source.asked <= 2 * _AT_ONCE


class HeldSource(FarSource):
    """Answers when it is released; `asked` counts the calls that wait."""

    def __init__(self, realm: SimulatedRealm) -> None:
        super().__init__(realm)
        self.asked = threading.Semaphore(0)
        self.release = threading.Event()
        self.release.set()

    def fetch(self, path: str, max_bytes: int) -> bytes:
        if not self.release.is_set():
            self.asked.release()
            self.release.wait(PATIENCE_SECONDS)
        return self._realm.fetch(path, max_bytes)


def test_bytes_are_bounded_whoever_fetches(country: SimulatedRealm) -> None:
    """What is under way counts as if it were as long as it may be, and what it did not need is given back."""
    source = HeldSource(country)
    candidate = Candidate(source, SourceLimits(refresh_bytes=3_000))
    size = len(candidate.fetch("metadata/timestamp.json", 2_000))
    assert len(candidate.fetch("metadata/timestamp.json", 2_000)) == size
    left = 3_000 - 2 * size
    source.release.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(candidate.fetch, "metadata/timestamp.json", left)
        assert source.asked.acquire(timeout=PATIENCE_SECONDS)
        with pytest.raises(TrustError) as refused:
            candidate.fetch("metadata/timestamp.json", left)
        source.release.set()
        assert len(first.result()) == size
    assert refused.value.reason is Reason.TOO_LARGE
    assert len(candidate.fetch("metadata/timestamp.json", 2_000)) == size
