"""Renders results for people. Text wraps only between words, so ids and digests can be copied and compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

__all__ = ["details", "lines", "rows"]


def details(data: Mapping[str, Any]) -> Table:
    """A two-column table of names and values."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    cells = [_cell(value) for value in data.values()]
    table.add_column(min_width=max(map(_longest_word, cells), default=0))
    for name, cell in zip(data, cells, strict=True):
        table.add_row(Text(name.replace("_", " ")), cell)
    return table


def lines(texts: Iterable[str | Text]) -> RenderableType:
    """A line for each text, however long: nothing wraps, so that a line can be searched and copied."""
    # rich joins several Texts into one that wraps, so each is in a group
    return Group(*(Text.assemble(text, no_wrap=True, overflow="ignore") for text in texts))


def rows(
    columns: Sequence[str],
    lines: Iterable[Mapping[str, Any]],
    *,
    title: str | None = None,
    empty: str = "none",
) -> RenderableType:
    """A table with a line for each mapping; `columns` are its keys, in order.

    If the terminal is too narrow, each mapping is shown as a block. Without any line, shows `empty`.
    """
    found = tuple(lines)
    if not found:
        return Text(f"{title}: {empty}" if title else empty)
    return _Rows(tuple(columns), found, title)


class _Rows:
    """A table that becomes blocks if the terminal is too narrow."""

    def __init__(self, columns: Sequence[str], lines: Sequence[Mapping[str, Any]], title: str | None) -> None:
        self._columns = columns
        self._lines = lines
        self._title = title

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self._table()
        wide = Measurement.get(console, options.update_width(10_000), table).minimum
        if not console.is_terminal:
            table.width = None if wide <= options.max_width else wide
        if not console.is_terminal or wide <= options.max_width:
            yield table
            return
        if self._title:
            yield Text(self._title, style="italic")
        for line in self._lines:
            yield details({column: line.get(column) for column in self._columns if column in line})
            yield Text()

    def _table(self) -> Table:
        table = Table(title=self._title, title_justify="left", header_style="bold")
        cells = [[_cell(line.get(column)) for column in self._columns] for line in self._lines]
        for number, column in enumerate(self._columns):
            mine = [line[number] for line in cells]
            # the heading wraps even where the cells do not: two headings that begin alike must not be cut alike
            name = Text(column.replace("_", " "), no_wrap=False)
            table.add_column(
                name,
                min_width=max(map(_longest_word, (name, *mine))),
                # a column of single words does not wrap; columns of text do
                no_wrap=all(len(cell.plain.split()) <= 1 for cell in mine),
            )
        for line in cells:
            table.add_row(*line)
        return table


def _longest_word(text: Text) -> int:
    return max(map(cell_len, text.plain.split()), default=0)


def _cell(value: object) -> Text:
    # Text, because rich would interpret square brackets in a str as markup
    if isinstance(value, Text):
        return value
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, Mapping):
        return Text(", ".join(f"{name} {each}" for name, each in value.items()) or "none")
    if isinstance(value, list | tuple):
        return Text(", ".join(str(item) for item in value) or "none")
    return Text(str(value))
