"""How our commands show results to people: names and values, and tables.

Text wraps between words. An id, a key id, a digest, a date is one word, and never broken:
it is there to be read out, compared and copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

__all__ = ["details", "rows"]


def details(data: Mapping[str, Any]) -> Table:
    """A two-column table of names and values; an id or a digest is never broken across lines."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    cells = [_cell(value) for value in data.values()]
    table.add_column(min_width=max(map(_longest_word, cells), default=0))
    for name, cell in zip(data, cells, strict=True):
        table.add_row(Text(name.replace("_", " ")), cell)
    return table


def rows(
    columns: Sequence[str],
    lines: Iterable[Mapping[str, Any]],
    *,
    title: str | None = None,
    empty: str = "none",
) -> RenderableType:
    """A table with a line for each mapping; `columns` are its keys, in order.

    Text wraps between words, and never inside an id, a digest or a date; what does not fit a
    terminal like that is shown as one block for each mapping. Without any line, `empty`.
    """
    found = tuple(lines)
    if not found:
        return Text(f"{title}: {empty}" if title else empty)
    return _Rows(tuple(columns), found, title)


class _Rows:
    """A table that knows what to be where there is no room for it."""

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
            name = Text(column.replace("_", " "))
            table.add_column(
                name,
                min_width=max(map(_longest_word, (name, *mine))),
                # of ids alone: the columns of text make room for it
                no_wrap=all(len(cell.plain.split()) <= 1 for cell in mine),
            )
        for line in cells:
            table.add_row(*line)
        return table


def _longest_word(text: Text) -> int:
    return max(map(cell_len, text.plain.split()), default=0)


def _cell(value: object) -> Text:
    # Text, so that square brackets in data are never read as markup
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
