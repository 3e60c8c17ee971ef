"""An import that is killed (SIGKILL) at 20 points and resumed: the same levels as one that was not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from examples.holders import holder
from healthcode.identity.document import decode_document
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.integration.province_node.intake_node import IntakeNode, run_intake_node
from tests.simulator.fork_server import run_forked
from tests.unit.province_node.conftest import cheap_keys, world
from tests.unit.province_node.people.persons import DAY, HOUR
from tests.unit.province_node.world import World

__all__ = ["cheap_keys", "world"]

# a million took 51 minutes on a busy machine of two cores: IMPORT_KILL_LINES=1000000 pytest --basetemp FOLDER …
LINES = int(os.environ.get("IMPORT_KILL_LINES", "2000"))
PEOPLE, KILLS = LINES // 20, 20
NUMBERS = [holder(position).number for position in range(PEOPLE)]
SECONDS = max(300, LINES // 100)

pytestmark = [pytest.mark.long, pytest.mark.timeout(SECONDS)]

# dies when the node has answered so many lines; saves at each line, or as rarely as the product does
KILLED = """
import os, signal, sys
from province_node.__main__ import main
from province_node.cli import evidence_import, import_run
left, saves = int(sys.argv.pop(1)), sys.argv.pop(1)
if saves == "often":
    import_run._SAVE_EVERY_SECONDS = 0.0
answered = evidence_import._Queue.answered
def counted(self, response):
    global left
    answered(self, response)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
evidence_import._Queue.answered = counted
main()
"""


@pytest.fixture
def nodes(world: World, tmp_path: Path) -> Iterator[tuple[IntakeNode, IntakeNode]]:
    """Two nodes with the same keys, so that their pseudonyms are the same."""
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    twin = replace(world, store=SqliteNodeStore(folders[1] / "unused.db"))
    with run_intake_node(world, folders[0]) as whole, run_intake_node(twin, folders[1]) as killed:
        yield whole, killed
        whole.persons.store.close()
        killed.persons.store.close()


def write_lines(node: IntakeNode) -> Path:
    """Contacts, the tests that clear some of them, revisions and withdrawals; every 40th line is refused."""
    path = node.folder / "lines.ndjson"
    row: dict[str, Any] = {}
    with path.open("w") as file:
        for number in range(LINES):
            if number % 11 == 5:
                row = {**row, "revision": 2, "withdrawn": number % 2 == 0}
            else:
                row = line(node, number)
            file.write(json.dumps(row) + "\n")
    return path


def line(node: IntakeNode, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {"record": f"r-{number}", "number": NUMBERS[number * 7 % PEOPLE]}
    if number % 40 == 17:
        row["number"] = "110105194912310021"
    if number % 3 == 0:
        row |= {"kind": "CONTACT", "finding": ("CLOSE", "OVERLAP")[number % 2]}
        return row | {"observed_at": node.at(number % 19 * DAY + HOUR)}
    row |= {"kind": "TEST", "finding": "NEGATIVE", "method": "NUCLEIC"}
    return row | {"observed_at": node.at(number % 13 * DAY + HOUR)}


def run_import(*command: str | Path) -> dict[str, Any]:
    """Runs it to its end in its own process; what it printed."""
    done = run_forked("", *command, module="province_node", seconds=SECONDS)
    assert done.returncode == 1, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def levels(node: IntakeNode) -> list[Any]:
    """Of everybody: level, rule, until, next_change, and the evidence that the node knows."""
    node.persons.work()
    found = []
    for number in NUMBERS:
        state = node.persons.state(decode_document("10", number))
        evidence = sorted((item.record, item.revision, item.state) for item in state.evidence)
        current = state.current
        found.append(
            (current and (current.level, current.rule, current.until, current.next_change), evidence)
        )
    return found


def test_an_import_that_is_killed_and_resumed_gives_the_same_levels(
    nodes: tuple[IntakeNode, IntakeNode],
) -> None:
    """At 20 points, with what was kept just before and with what is a second old; each refused line is reported once."""
    whole, killed = nodes
    file = write_lines(whole)
    source = whole.add_source("CONTACT", "TEST")
    expected = run_import("evidence", "import", file, "--as", source, "--json")

    file = write_lines(killed)
    report = killed.folder / "refused.ndjson"
    source = killed.add_source("CONTACT", "TEST")
    command = ("evidence", "import", file, "--as", source, "--report", report, "--resume", "--json")
    for number in range(KILLS):
        saves = "often" if number % 2 else "seldom"
        died = run_forked(KILLED, str(LINES // 24 + number), saves, *map(str, command), seconds=SECONDS)
        assert died.returncode == -9, died.stderr
        killed.persons.work()
    kept = json.loads((killed.folder / "lines.ndjson.import").read_text())
    assert 0 < kept["line"] < LINES
    result = run_import(*command)
    assert sum(result[word] for word in ("accepted", "duplicate", "refused")) == LINES
    assert result["refused"] == expected["refused"]
    reported = [json.loads(line)["line"] for line in report.read_text().splitlines()]
    assert reported == sorted(set(reported))
    assert len(reported) == result["refused"]
    found = levels(whole)
    assert levels(killed) == found
    assert len({level for level, _ in found}) > 3
