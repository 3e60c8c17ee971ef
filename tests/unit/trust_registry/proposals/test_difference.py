"""The difference that is shown to whoever signs."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trust_registry.proposals.difference import ChangeKind, differences

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def test_one_province_added_to_an_empty_list_is_shown_in_full() -> None:
    """An entry that joins an empty list is told by its name, leaf by leaf."""
    changes = differences({"roles": []}, {"roles": [{"name": "province-31", "threshold": 2}]})
    assert [str(change) for change in changes] == [
        "+ roles / province-31 / name: province-31",
        "+ roles / province-31 / threshold: 2",
    ]


def test_a_province_before_another_moves_nothing() -> None:
    """Entries are told apart by name, so that an insertion reads as one entry."""
    beijing, shanghai = {"name": "province-11", "threshold": 2}, {"name": "province-31", "threshold": 2}
    changes = differences({"roles": [shanghai]}, {"roles": [beijing, shanghai]})
    assert {change.path for change in changes} == {
        "roles / province-11 / name",
        "roles / province-11 / threshold",
    }


def test_a_changed_leaf_shows_both_values() -> None:
    """A value that changed stands with what it was."""
    (change,) = differences({"version": 1}, {"version": 2})
    assert (change.kind, change.before, change.after) == (ChangeKind.CHANGED, "1", "2")


def test_a_long_value_is_told_by_its_digest() -> None:
    """A certificate is not poured over the screen, and still cannot change unseen."""
    (change,) = differences({"ca": "A" * 500}, {"ca": "A" * 499 + "B"})
    assert change.before != change.after
    assert "sha256:" in str(change)


def test_control_characters_never_reach_the_screen() -> None:
    """A hostile value cannot rewrite the line above it."""
    (change,) = differences({"name": "a"}, {"name": "\x1b[2Kb"})
    assert "\x1b" not in str(change)


@given(JSON, JSON)
def test_what_differs_is_shown_and_what_is_equal_is_not(before: Any, after: Any) -> None:
    """No change goes unseen, and no line stands for nothing."""

    def canonical(value: Any) -> str:
        return repr(value)

    same = canonical(before) == canonical(after)
    changes = differences({"value": before}, {"value": after})
    if same:
        assert not changes
    elif _plain(before) != _plain(after):
        assert changes


def _plain(value: Any) -> Any:
    """The value without the order of keys, types told apart, empty list and object alike."""
    if isinstance(value, dict) and value:
        return {str(name): _plain(item) for name, item in value.items()}
    if value in ([], {}) and isinstance(value, list | dict):
        return "empty"
    if isinstance(value, list):
        if any(isinstance(item, dict | list) for item in value):
            return {f"#{position}": _plain(item) for position, item in enumerate(value, 1)}
        return [f"{type(item).__name__}{item}" for item in value]
    return f"{type(value).__name__}{value}"
