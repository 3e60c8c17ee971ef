"""Prints the steps as they happen, one row each, and writes them as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Row:
    """One step: the action, the expected result, the actual result."""

    number: int
    chapter: str
    title: str
    expected: str
    happened: str
    as_expected: bool
    seconds: float


class UnexpectedError(Exception):
    """A step did not go as expected. The text says what happened instead."""


@dataclass(slots=True)
class Report:
    """Collects rows while steps run, and shows the running one."""

    console: Console
    rows: list[Row] = field(default_factory=list)
    heading: str = ""
    started: float = field(default_factory=time.monotonic)

    def opening(self) -> None:
        """Announces the demo."""
        self.console.print(
            Panel(
                "A registry, a gateway and four participants — the national platform (00), Beijing (11),\n"
                "Shanghai (31) and Guangdong (44) — each its own process, over mTLS on this machine.",
                title="healthcode: one code can pass",
                box=box.ROUNDED,
                expand=False,
                padding=(0, 2),
            )
        )

    @contextmanager
    def working(self, what: str) -> Iterator[Callable[[str], None]]:
        """Shows that something runs. Yields a function that sets the text."""
        began = time.monotonic()
        with self.console.status(what) as status:
            yield status.update
        self.console.print(f"[dim]{what} {time.monotonic() - began:.0f} s[/]")

    def chapter(self, heading: str) -> None:
        """Begins a chapter; the steps that follow belong to it."""
        self.heading = heading
        self.console.print(f"\n[bold cyan]{heading}[/]")

    def step(self, title: str, expected: str, action: Callable[[], str]) -> None:
        """Runs `action`, which returns what happened. UnexpectedError, or any other error, fails the step."""
        number = len(self.rows) + 1
        began = time.monotonic()
        try:
            with self.console.status(f"[bold]{number}[/] {title}"):
                happened, as_expected = action(), True
        except UnexpectedError as error:
            happened, as_expected = str(error), False
        except Exception as error:  # noqa: BLE001  a step that breaks is told as a failed step, and the story goes on
            happened, as_expected = f"{type(error).__name__}: {error}", False
        row = Row(
            number, self.heading, title, expected, happened, as_expected, round(time.monotonic() - began, 3)
        )
        self.rows.append(row)
        self._show(row)

    @property
    def all_as_expected(self) -> bool:
        """Whether there were steps and each went as expected."""
        return bool(self.rows) and all(row.as_expected for row in self.rows)

    def _show(self, row: Row) -> None:
        mark = Text("✓ ", style="bold green") if row.as_expected else Text("✗ ", style="bold red")
        line = mark + Text(f"{row.number:>2} ", style="bold") + Text(row.title)
        line.append(f"  {row.seconds:.1f} s", style="dim")
        self.console.print(line, soft_wrap=True)
        if not row.as_expected:
            self.console.print(Text(f"      expected {row.expected}", style="yellow"), soft_wrap=True)
            self.console.print(Text(f"      happened {row.happened}", style="red"), soft_wrap=True)

    def closing(self) -> None:
        """Prints all steps as a table, and the result."""
        table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
        table.add_column("#", justify="right", style="bold")
        table.add_column("what was done", ratio=4)
        table.add_column("expected", ratio=3)
        table.add_column("what happened", ratio=4)
        table.add_column("s", justify="right", style="dim")
        table.add_column("")
        heading = ""
        for row in self.rows:
            if row.chapter != heading:
                heading = row.chapter
                table.add_section()
                table.add_row("", Text(heading, style="bold cyan"))
            table.add_row(
                str(row.number),
                Text(row.title),
                Text(row.expected, style="dim"),
                Text(row.happened, style="" if row.as_expected else "red"),
                f"{row.seconds:.1f}",
                "[bold green]✓[/]" if row.as_expected else "[bold red]✗[/]",
            )
        self.console.print()
        self.console.print(table)
        wrong = sum(not row.as_expected for row in self.rows)
        seconds = time.monotonic() - self.started
        if wrong == 0:
            self.console.print(f"[bold green]All {len(self.rows)} steps as expected[/] in {seconds:.0f} s.")
        else:
            self.console.print(
                f"[bold red]{wrong} of {len(self.rows)} steps not as expected[/] ({seconds:.0f} s)."
            )

    def write_json(self, path: Path, processes: Sequence[int]) -> None:
        """Writes the rows for scripts. `processes` are the ids of all started processes."""
        document = {
            "as_expected": self.all_as_expected,
            "seconds": round(time.monotonic() - self.started, 1),
            "processes": list(processes),
            "steps": [asdict(row) for row in self.rows],
        }
        path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
