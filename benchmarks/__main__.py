"""`make bench`: runs every benchmark of this folder, and writes benchmarks/results.json.

`make bench ONLY=id` runs the one that gives this figure, and keeps the other rows. A new file registers its functions
(`benchmarks.measure`).
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import REGISTRY, Benchmark, Figure

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 measured, also when a goal is missed; 2 usage."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", metavar="ID", help="run the benchmark of this figure alone")
    parser.add_argument("--list", action="store_true", help="say which figures there are")
    options = parser.parse_args(arguments)
    for module in pkgutil.iter_modules([str(FOLDER)]):
        if module.name not in {"__main__", "measure"}:
            importlib.import_module(f"benchmarks.{module.name}")
    ids = [name for each in REGISTRY for name in each.ids]
    if options.list:
        print("\n".join(ids))
        return 0
    if options.only and options.only not in ids:
        print(f"no benchmark {options.only!r}; there are: {', '.join(ids)}", file=sys.stderr)
        return 2
    chosen = [each for each in REGISTRY if not options.only or options.only in each.ids]
    figures = _measure(chosen, options.only)
    _write(figures, ids)
    return 0


def _measure(chosen: Sequence[Benchmark], only: str | None) -> list[Figure]:
    errors = Console(stderr=True)
    figures: list[Figure] = []
    table = Table("id", "what", "value", "unit", "goal", "rounds", title="Benchmarks")
    for column in table.columns[2:]:
        column.justify = "right"
    for each in chosen:
        started = time.monotonic()
        with errors.status(f"measuring {only or ', '.join(each.ids)}"):
            found = list(each.run())
        if {figure.id for figure in found} != set(each.ids):
            raise RuntimeError(f"a benchmark promised {each.ids}, and gave {[one.id for one in found]}")
        figures += found
        errors.print(f"[dim]{each.run.__module__}.{each.run.__name__}: {time.monotonic() - started:.1f} s[/]")
    for figure in figures:
        colour = {True: "green", False: "red", None: "default"}[figure.is_met]
        table.add_row(
            figure.id,
            figure.what,
            f"[{colour}]{figure.value:.4g}[/]",
            figure.unit,
            figure.goal or "—",
            str(figure.rounds),
        )
    # a file or a pipe gets whole rows, not the eighty columns that a terminal is guessed to have
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    missed = [figure.id for figure in figures if figure.is_met is False]
    if missed:
        errors.print(f"[red]missed their goal: {', '.join(missed)}[/]")
    return figures


def _write(figures: Sequence[Figure], ids: Sequence[str]) -> None:
    """Replaces the measured rows. Rows with unknown ids are removed."""
    rows = {row["id"]: row for row in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    rows |= {figure.id: asdict(figure) for figure in figures}
    kept = [rows[name] for name in ids if name in rows]
    fresh = RESULTS.with_suffix(".tmp")
    fresh.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    fresh.replace(RESULTS)


if __name__ == "__main__":
    sys.exit(main())
