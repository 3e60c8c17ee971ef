"""Each test of this folder runs against every store of `stores.STORES`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from province_node.store.protocols import NodeStore
from tests.contract.store.stores import STORES


@pytest.fixture(params=sorted(STORES))
def kind(request: pytest.FixtureRequest) -> str:
    """Which store, by its name in STORES."""
    return str(request.param)


@pytest.fixture
def open_again(kind: str, tmp_path: Path) -> Iterator[Callable[[], NodeStore]]:
    """Opens one more store on the same state, as another process would."""
    opened: list[NodeStore] = []

    def open_one() -> NodeStore:
        opened.append(STORES[kind](tmp_path))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def store(open_again: Callable[[], NodeStore]) -> NodeStore:
    return open_again()
