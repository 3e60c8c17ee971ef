"""An import that is killed (SIGKILL) at 20 points and resumed: the same levels as one that was not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from examples.holders import holders
from healthcode.identity.document import decode_document
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.integration.province_node.intake_node import IntakeNode, run_intake_node
from tests.simulator.fork_server import run_forked
from tests.unit.province_node.conftest import cheap_keys, world
from tests.unit.province_node.people.persons import DAY, HOUR
from tests.unit.province_node.world import World

__all__ = ["cheap_keys", "world"]

pytestmark = pytest.mark.long

PEOPLE, LINES, KILLS = 100, 2000, 20

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


def lines(node: IntakeNode) -> list[dict[str, Any]]:
    """Contacts, the tests that clear some of them, stays, revisions and withdrawals; every 40th line is refused."""
    people = [each.number for each in holders()][:PEOPLE]
    found: list[dict[str, Any]] = []
    for number in range(LINES):
        row: dict[str, Any] = {"record": f"r-{number}", "number": people[number * 7 % PEOPLE]}
        if number % 40 == 17:
            row["number"] = "110105194912310021"
        if number % 3 == 0:
            row |= {"kind": "CONTACT", "finding": ("CLOSE", "OVERLAP")[number % 2]}
            row["observed_at"] = node.at(number % 19 * DAY + HOUR)
        else:
            row |= {"kind": "TEST", "finding": "NEGATIVE", "method": "NUCLEIC"}
            row["observed_at"] = node.at(number % 13 * DAY + HOUR)
        if number % 11 == 5 and found:
            row = {**found[-1], "revision": 2, "withdrawn": number % 2 == 0}
        found.append(row)
    return found


def levels(node: IntakeNode) -> list[Any]:
    """Of everybody: level, rule and the grounds that the node knows."""
    node.persons.work()
    found = []
    for each in list(holders())[:PEOPLE]:
        state = node.persons.state(decode_document(each.document_type, each.number))
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
    file = whole.write("lines.ndjson", lines(whole))
    source = whole.add_source("CONTACT", "TEST")
    done = whole.command("evidence", "import", file, "--as", source, "--json")
    assert done.status == 1, done.err
    expected = done.json()

    file = killed.write("lines.ndjson", lines(killed))
    report = killed.folder / "refused.ndjson"
    source = killed.add_source("CONTACT", "TEST")
    command = ("evidence", "import", file, "--as", source, "--report", report, "--resume", "--json")
    for number in range(KILLS):
        saves = "often" if number % 2 else "seldom"
        died = run_forked(KILLED, str(60 + 7 * number), saves, *map(str, command))
        assert died.returncode == -9, died.stderr
        killed.persons.work()
    kept = json.loads((killed.folder / "lines.ndjson.import").read_text())
    assert 0 < kept["line"] < LINES
    done = killed.command(*command)
    assert done.status == 1, done.err
    result = done.json()
    assert sum(result[word] for word in ("accepted", "duplicate", "refused")) == LINES
    assert result["refused"] == expected["refused"]
    reported = [json.loads(line)["line"] for line in report.read_text().splitlines()]
    assert reported == sorted(set(reported))
    assert len(reported) == result["refused"]
    assert levels(killed) == levels(whole)
    assert len({level for level, _ in levels(whole)}) > 3
