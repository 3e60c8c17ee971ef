"""Submissions that arrive together are published together; each is answered for itself once it is durable."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from healthcode.errors import ConflictError, Reason, UnavailableError
from tests.simulator.registry import Province, admit, found_registry
from tests.world.waiting import PATIENCE_SECONDS
from trust_registry.participants.batch import BatchQueue
from trust_registry.participants.submission import Publisher, Submission
from trust_registry.registry import Registry
from trust_registry.tree.transaction import Receipt

REALM = "test-registry"
CODES = ("11", "12", "13", "31", "44")


@pytest.fixture
def provinces() -> dict[str, Province]:
    return {code: Province(code, REALM) for code in CODES}


@pytest.fixture
def registry(tmp_path: Path, provinces: dict[str, Province]) -> Registry:
    made = found_registry(tmp_path / "registry")
    admit(made, *provinces.values())
    return made


def live(province: Province, version: int = 1) -> Submission:
    metadata, head = province.live_publication(version)
    return Submission(province.code, metadata, head, {})


@asynccontextmanager
async def running(
    publisher: Publisher, *, window_seconds: float = 0.2, sizes: list[int] | None = None
) -> AsyncIterator[BatchQueue]:
    found = sizes if sizes is not None else []
    groups = BatchQueue(publisher, window_seconds=window_seconds, on_published=found.append)
    task = asyncio.create_task(groups.run())
    try:
        yield groups
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_first_after_a_quiet_time_goes_at_once(
    registry: Registry, provinces: dict[str, Province]
) -> None:
    """The first submission waits for no window, however long that is."""
    async with running(Publisher(registry.repository), window_seconds=3600) as groups:
        async with asyncio.timeout(PATIENCE_SECONDS):
            receipt = await groups.submit(live(provinces["11"]))
    assert receipt.version == 1


async def test_what_comes_in_one_window_is_one_snapshot(
    registry: Registry, provinces: dict[str, Province]
) -> None:
    """The submissions after the first are one batch: each gets its own version and the common snapshot."""
    before = registry.repository.published().versions.snapshot
    sizes: list[int] = []
    async with running(Publisher(registry.repository), sizes=sizes) as groups:
        first = await groups.submit(live(provinces["11"]))
        others = await asyncio.gather(*(groups.submit(live(provinces[code])) for code in CODES[1:]))
    assert first.snapshot_version == before + 1
    assert {receipt.snapshot_version for receipt in others} == {before + 2}
    assert sizes == [1, 4]
    published = registry.repository.published()
    assert all(published.version_of(f"province-{code}-live") == 1 for code in CODES)


async def test_one_that_is_refused_harms_no_other(registry: Registry, provinces: dict[str, Province]) -> None:
    """One batch with a wrong version, a stranger, a fault and a good one: only the good one is published."""
    submissions = [
        live(provinces["11"], version=7),
        live(Province("32", REALM)),
        Submission("12", b"\x00", b"", {}),
        live(provinces["31"]),
    ]
    async with running(Publisher(registry.repository)) as groups:
        await groups.submit(live(provinces["44"]))
        results = await asyncio.gather(*(groups.submit(each) for each in submissions), return_exceptions=True)
    assert isinstance(results[0], ConflictError)
    assert [getattr(each, "reason", None) for each in results[:3]] == [
        Reason.VERSION_CONFLICT,
        Reason.PARTICIPANT_UNKNOWN,
        Reason.MALFORMED_MESSAGE,
    ]
    assert isinstance(results[3], Receipt)


async def test_two_of_one_participant_are_two_batches_in_order(
    registry: Registry, provinces: dict[str, Province]
) -> None:
    """The second is checked against the first, so it is the next version and not a conflict."""
    async with running(Publisher(registry.repository), window_seconds=0.05) as groups:
        receipts = await asyncio.gather(
            *(groups.submit(live(provinces["31"], version)) for version in (1, 2, 3))
        )
    assert [receipt.version for receipt in receipts] == [1, 2, 3]
    assert len({receipt.snapshot_version for receipt in receipts}) == 3


class Obstructed(Publisher):
    """A publisher whose turn can be held up, and fails on demand."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry.repository)
        self.error: Exception | None = None
        self.begun = threading.Event()
        self.may_go = threading.Event()
        self.may_go.set()

    def publish_batch(self, submissions: Sequence[Submission]) -> list[Receipt | Exception]:
        self.begun.set()
        assert self.may_go.wait(PATIENCE_SECONDS)
        if self.error is not None:
            raise self.error
        return super().publish_batch(submissions)


async def test_nobody_is_acknowledged_when_the_batch_fails_and_the_next_one_goes_through(
    registry: Registry, provinces: dict[str, Province]
) -> None:
    """A full disk or a fault is told to every caller of the batch; the same submission succeeds later."""
    publisher = Obstructed(registry)
    async with running(publisher, window_seconds=0.05) as groups:
        for error in (UnavailableError("full", reason=Reason.STORAGE_FULL), ValueError("a fault of ours")):
            publisher.error = error
            results = await asyncio.gather(
                *(groups.submit(live(provinces[code])) for code in CODES), return_exceptions=True
            )
            assert {type(each) for each in results} == {type(error)}
        publisher.error = None
        results = await asyncio.gather(*(groups.submit(live(provinces[code])) for code in CODES))
    assert {receipt.version for receipt in results} == {1}


async def test_a_caller_that_goes_away_releases_its_files_in_any_case(
    registry: Registry, provinces: dict[str, Province]
) -> None:
    """A cancelled caller's files are released once, whether its batch waits or has started."""
    publisher = Obstructed(registry)
    released: list[str] = []
    freed = threading.Event()

    def release(name: str) -> Callable[[], None]:
        def free() -> None:
            released.append(name)
            if name == "under way":
                freed.set()

        return free

    async with running(publisher, window_seconds=0.3) as groups:
        publisher.may_go.clear()
        under_way = asyncio.create_task(groups.submit(live(provinces["11"]), release=release("under way")))
        assert await asyncio.to_thread(publisher.begun.wait, PATIENCE_SECONDS)
        waiting = asyncio.create_task(groups.submit(live(provinces["12"]), release=release("waiting")))
        await asyncio.sleep(0)  # it is in the queue, where it stays while the other is under way
        for task in (under_way, waiting):
            task.cancel()
        await asyncio.gather(under_way, waiting, return_exceptions=True)
        assert released == ["waiting"]
        publisher.may_go.set()
        assert await asyncio.to_thread(freed.wait, PATIENCE_SECONDS)
        assert released == ["waiting", "under way"]
    published = registry.repository.published()
    assert published.version_of("province-11-live") == 1
    assert published.version_of("province-12-live") == 0


async def test_the_same_bytes_again_get_the_same_answer(
    registry: Registry, provinces: dict[str, Province]
) -> None:
    """A repeated submission gets its receipt again and makes no snapshot."""
    submission = live(provinces["31"])
    async with running(Publisher(registry.repository), window_seconds=0.01) as groups:
        first = await groups.submit(submission)
        again = await groups.submit(submission)
    assert first.version == again.version
    assert registry.repository.published().versions.snapshot == first.snapshot_version
