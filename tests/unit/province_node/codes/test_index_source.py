"""Indices: each once, whatever is killed, and none while issuing is stopped."""

from __future__ import annotations

import pytest

from healthcode.errors import PreconditionError, Reason
from healthcode.revocation.day import day_of
from province_node.codes.index_source import IndexSource
from tests.simulator.realm import NOW

DAY = day_of(NOW)


def source(world) -> IndexSource:
    return IndexSource(world.store.issuing, b"s" * 32)


def test_indices_are_never_given_twice_whatever_is_killed(world):
    """New sources on the same store, as after each restart, never repeat an index of a day."""
    taken: list[int] = []
    for _ in range(4):
        fresh = source(world)
        taken += [fresh.take(DAY) for _ in range(50)]
    assert len(set(taken)) == 200


def test_a_stop_holds_once_the_reserved_indices_are_forgotten(world):
    """The store gives none while issuing is stopped, and says why."""
    ours = source(world)
    ours.take(DAY)
    world.store.publishing.stop_issuing("another node", NOW)
    ours.forget()
    with pytest.raises(PreconditionError, match="another node") as refused:
        ours.take(DAY)
    assert refused.value.reason is Reason.NOT_COVERED
    world.store.publishing.resume_issuing()
    ours.take(DAY)
