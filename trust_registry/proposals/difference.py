"""The difference between two JSON values as lines of text, complete, so that a signer sees every change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Change", "ChangeKind", "Summary", "differences"]

# objects in a list are matched by the first of these fields, so that one added province is one added line
_IDENTITY_FIELDS = ("name", "participant", "code", "kid", "seq", "id")
_LONGEST_VALUE = 132  # a signature in hex fits, a certificate does not


class ChangeKind(StrEnum):
    """A value was added, removed or changed."""

    ADDED = "+"
    REMOVED = "-"
    CHANGED = "~"


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a difference; `before` or `after` is None if the value did not exist."""

    kind: ChangeKind
    path: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.kind is ChangeKind.CHANGED:
            return f"~ {self.path}: {self.before} → {self.after}"
        return f"{self.kind} {self.path}: {self.after if self.kind is ChangeKind.ADDED else self.before}"


@dataclass(frozen=True, slots=True)
class Summary:
    """What the changes of one file mean, in lines of text; its values are shown when a person asks for them."""

    file: str
    lines: tuple[str, ...]

    def covers(self, change: Change) -> bool:
        """Whether this is a change of the file."""
        return change.path == self.file or change.path.startswith(f"{self.file} /")


def differences(before: Any, after: Any, path: str = "") -> list[Change]:
    """Every leaf that differs between two JSON values, in the order of `after`, then the removed ones."""
    return list(_walk(before, after, path))


class _Missing:
    """A value that does not exist; None is a JSON value."""


_MISSING = _Missing()


def _walk(before: Any, after: Any, path: str) -> Iterator[Change]:
    if isinstance(before, _Missing):
        yield from _leaves(after, path, ChangeKind.ADDED)
        return
    if isinstance(after, _Missing):
        yield from _leaves(before, path, ChangeKind.REMOVED)
        return
    before_items, after_items = _items(before), _items(after)
    if before_items is not None and after_items is not None:
        yield from _walk_items(before_items, after_items, path)
    elif before_items is not None or after_items is not None:
        yield from _leaves(before, path, ChangeKind.REMOVED)
        yield from _leaves(after, path, ChangeKind.ADDED)
    elif json.dumps(before) != json.dumps(after):  # as JSON, since to Python 1, 1.0 and True are equal
        yield Change(ChangeKind.CHANGED, path, _text(before), _text(after))


def _walk_items(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterator[Change]:
    for name, value in after.items():
        yield from _walk(before.get(name, _MISSING), value, _join(path, name))
    for name, value in before.items():
        if name not in after:
            yield from _walk(value, _MISSING, _join(path, name))


def _leaves(value: Any, path: str, kind: ChangeKind) -> Iterator[Change]:
    items = _items(value)
    if items:
        for name, item in items.items():
            yield from _leaves(item, _join(path, name), kind)
        return
    text = _text(value)
    yield Change(
        kind, path, None if kind is ChangeKind.ADDED else text, None if kind is ChangeKind.REMOVED else text
    )


def _items(value: Any) -> Mapping[str, Any] | None:
    """The parts of a value by name; None for a leaf. A short list of plain values is a leaf."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list):
        if not value:
            return {}
        is_plain = not any(isinstance(item, Mapping | list) for item in value)
        if not is_plain or len(_joined(value)) > _LONGEST_VALUE:
            return dict(zip(_names(value), value, strict=True))
    return None


def _names(values: Sequence[Any]) -> list[str]:
    if all(isinstance(value, Mapping) for value in values):
        for field in _IDENTITY_FIELDS:
            names = [str(value[field]) for value in values if field in value]
            if len(names) == len(values) == len(set(names)):
                return names
    return [f"#{position}" for position in range(1, len(values) + 1)]


def _join(path: str, name: str) -> str:
    shown = name if name.isprintable() else ascii(name)
    return f"{path} / {shown}" if path else shown


def _text(value: Any) -> str:
    if isinstance(value, Mapping | list) and not value:
        return "(none)"
    text = _joined(value) if isinstance(value, list) else str(value)
    if len(text) > _LONGEST_VALUE or not text.isprintable():
        digest = hashlib.sha256(text.encode()).hexdigest()
        return f"{len(text)} characters, sha256:{digest}"
    return text


def _joined(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))
