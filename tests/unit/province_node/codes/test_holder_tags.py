"""Drawing holder tags: on fewer threads than there are cores, and in turns."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from healthcode.identity.document import IdentityDocument
from province_node.codes import holder_tags
from province_node.codes.holder_tags import HolderTags
from province_node.store.records import HolderTag
from tests.world.people import order


class Drawing:
    """Draws tags slowly, and knows how many were drawn, and how many at once."""

    def __init__(self) -> None:
        self.drawn = self.at_once = self.most = 0
        self._lock = threading.Lock()

    def draw(self, _: IdentityDocument, salt: bytes) -> bytes:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            self.drawn += 1
        time.sleep(0.01)
        with self._lock:
            self.at_once -= 1
        return salt[:2]


class EmptyStore:
    def holder_tags(self, holders: object, day: int) -> dict[bytes, HolderTag]:
        return {}


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Drawing:
    made = Drawing()
    monkeypatch.setattr(holder_tags, "holder_tag", made.draw)
    return made


def holders(count: int) -> dict[bytes, IdentityDocument]:
    return {number.to_bytes(32): order().document for number in range(count)}


def draw(tags: HolderTags, count: int) -> dict[bytes, HolderTag]:
    try:
        return tags.draw(holders(count), 1)
    finally:
        tags.close()


@pytest.mark.parametrize(("cores", "threads"), [(None, 1), (1, 1), (2, 1), (4, 3)])
def test_a_core_is_left_for_verifying(
    drawing: Drawing, monkeypatch: pytest.MonkeyPatch, cores: int | None, threads: int
) -> None:
    """By default as many tags are drawn at once as there are cores, less one, and at least one."""
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    tags = draw(HolderTags(EmptyStore(), None), 12)  # type: ignore[arg-type]  # all that is asked of it
    assert len({each.salt for each in tags.values()}) == 12
    assert drawing.most == threads


def test_a_single_tag_waits_for_what_is_begun_and_for_no_batch(drawing: Drawing) -> None:
    """While three batches of 30 draw, a single tag comes before most of theirs."""
    tags = HolderTags(EmptyStore(), 1)  # type: ignore[arg-type]  # as above
    with ThreadPoolExecutor(3) as pool:
        batches = [pool.submit(tags.draw, holders(30), 1) for _ in range(3)]
        while drawing.drawn < 3:
            time.sleep(0.001)
        tags.draw(holders(1), 1)
        drawn = drawing.drawn
        assert [len(batch.result()) for batch in batches] == [30] * 3
    tags.close()
    assert drawn < 45
