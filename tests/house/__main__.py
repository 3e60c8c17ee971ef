"""Prints how the house is built, and fails when a rule is broken: `python -m tests.house [--root DIR] [--journeys] [--json]`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.house.journeys import trace_journeys
from tests.house.structure import Structure, measure

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Gives 1 when a rule is broken, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.house", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to measure")
    parser.add_argument("--json", action="store_true", help="print all measures as JSON")
    parser.add_argument(
        "--journeys", action="store_true", help="trace the four journeys of docs/architecture.md"
    )
    parser.add_argument("--quiet", action="store_true", help="print the broken rules alone")
    arguments = parser.parse_args()
    if arguments.journeys:
        _print_journeys(arguments.root)
        return 0
    structure = measure(arguments.root)
    if arguments.json:
        sys.stdout.write(json.dumps(asdict(structure), indent=2, ensure_ascii=False) + "\n")
    elif not arguments.quiet:
        _print(structure)
    for problem in structure.problems:
        sys.stderr.write(problem + "\n")
    return 1 if structure.problems else 0


def _print_journeys(root: Path) -> None:
    table = Table(
        "journey", "modules entered", "calls into a module entered before", title="The four journeys"
    )
    for name, trace in trace_journeys(root).items():
        table.add_row(
            name.removeprefix("test_").replace("_", " "), str(len(trace.modules)), str(trace.returns)
        )
    Console().print(table)


def _print(structure: Structure) -> None:
    console = Console()
    folders = Table("folder", "modules", "import levels", title="Folders")
    for folder in structure.folders:
        folders.add_row(folder.name, str(folder.modules), str(folder.levels))
    console.print(folders)
    table = Table("measure", "value", title="The house")
    rows: dict[str, object] = {
        "modules": structure.modules,
        "lines": structure.lines,
        "words of docstring": structure.docstring_words,
        "words of the old idiom in docstrings": structure.idiom_words,
        "basenames that occur twice": len(structure.repeated_names),
        "circles of modules": len(structure.module_circles),
        "circles of folders": len(structure.folder_circles),
        "module docstrings over three lines": len(structure.long_docstrings),
        "constructors with over six collaborators": len(structure.crowded_constructors),
        "largest module": "{} lines, {}".format(*structure.largest_modules[0]),
        "largest function": "{} lines, {}".format(*structure.largest_functions[0]),
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
