"""Issuing in bulk against a running node: a kill costs nobody a code, and gives nobody two."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from examples.holders import holder
from healthcode.identity.document import decode_document
from healthcode.v1 import verdict_pb2
from healthcode.wire.code import decode_code
from healthcode.wire.holder_tag import HolderMatch, match_holder
from province_node.settings import load_node_settings
from tests.integration.province_node.world import REALM, Federation, open_federation
from tests.simulator.fork_server import Forked, start_forked
from tests.world.waiting import PATIENCE_SECONDS, eventually, wait_until

pytestmark = pytest.mark.xdist_group("province_node_bulk")

ROWS = 330
KILLS = 24


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    with open_federation(tmp_path_factory.mktemp("bulk"), ["31"]) as made:
        asyncio.run(_until_valid(made))
        yield made


async def _until_valid(federation: Federation) -> None:
    async def is_valid() -> bool:
        code = (await federation.issue()).code
        return (await federation.verify(code, "31")).outcome == verdict_pb2.OUTCOME_VALID

    await eventually(is_valid)


def people(count: int) -> list[dict[str, str]]:
    found = (holder(position) for position in range(count))
    return [{"number": each.number, "name": each.name} for each in found]


def write_rows(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def issued_in_store(federation: Federation, *, valid_only: bool = True) -> int:
    """How many indices the node has recorded as issued, and not as revoked."""
    with closing(sqlite3.connect(load_node_settings(federation.node("31")).database)) as store:
        (count,) = store.execute(
            "SELECT count(*) FROM code WHERE NOT EXISTS (SELECT 1 FROM revocation "
            "WHERE revocation.day = code.day AND revocation.idx = code.idx)"
            if valid_only
            else "SELECT count(*) FROM code"
        ).fetchone()
    return int(count)


class Runs:
    """`issue` in processes of its own."""

    def __init__(self, federation: Federation, folder: Path, rows: Sequence[dict[str, str]]) -> None:
        self._node = federation.node("31")
        self._log = folder / "issue.log"
        self._source = write_rows(folder / "holders.ndjson", rows)
        self.out = folder / "codes.ndjson"

    @property
    def arguments(self) -> tuple[str | Path, ...]:
        return ("issue", "--dir", self._node, "--file", self._source, "--out", self.out)

    def start(self, *more: str) -> Forked:
        with self._log.open("a") as log:
            return start_forked(*self.arguments, *more, module="province_node", stdout=log, stderr=log)

    def finish(self, *more: str) -> int:
        status = self.start(*more).wait(PATIENCE_SECONDS * 4)
        assert status in (0, 1), self._log.read_text()
        return status

    def kill_after(self, seconds: float, *more: str) -> bool:
        """Starts, and kills `seconds` after the run has begun; whether it was still running."""
        process = self.start(*more)
        run_file = self.out.with_name("codes.ndjson.run")
        wait_until(lambda: run_file.exists() or process.poll() is not None)
        time.sleep(seconds)
        was_running = process.poll() is None
        process.kill()
        process.wait(PATIENCE_SECONDS)
        return was_running

    def rows(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.out.read_text().splitlines()]


def test_a_holder_who_is_in_a_file_twice_gets_no_code(federation: Federation, tmp_path: Path) -> None:
    """GREEN in line 1 and RED in line 121: refused in both, in any spelling of the number; the others get codes."""
    rows = people(160)
    twice = rows[0]["number"]
    rows[120] = {"number": f" {twice[:6]} {twice[6:]} ".lower(), "name": "x", "level": "RED", "reason": "A4"}
    runs = Runs(federation, tmp_path, rows)
    before = issued_in_store(federation, valid_only=False)
    assert runs.finish() == 1
    refused = [row for row in runs.rows() if "code" not in row]
    assert [row["row"] for row in refused] == [1, 121]
    for row in refused:
        assert "lines 1, 121" in row["refused_message"]
        assert twice not in row["refused_message"]
    assert issued_in_store(federation, valid_only=False) - before == 158


@pytest.mark.long
def test_a_run_that_is_killed_anywhere_goes_on(federation: Federation, tmp_path: Path) -> None:
    """Each row has its holder's code once, and no other code of the run is out: no index in the store that no row has."""
    rows = people(ROWS)
    warm = Runs(federation, tmp_path, rows)
    warm.finish()  # a holder's tag of the day is the slow part
    began = time.monotonic()
    warm.finish("--overwrite")
    lasts = time.monotonic() - began
    kills = 0
    for point in range(KILLS * 2):
        folder = tmp_path / f"run-{point}"
        folder.mkdir()
        runs = Runs(federation, folder, rows)
        before = issued_in_store(federation)
        # the first kill anywhere; the second one in the run that goes on
        kills += runs.kill_after(lasts * point / KILLS / 2)
        if point % 2 and not runs.out.exists():
            kills += runs.kill_after(lasts * (point % 7) / 14, "--resume")
        if not runs.out.exists() or runs.out.with_name("codes.ndjson.run").exists():
            runs.finish("--resume")
        found = runs.rows()
        assert [row["row"] for row in found] == list(range(1, ROWS + 1))
        assert all("code" in row for row in found), found
        assert len({row["index"] for row in found}) == ROWS
        assert issued_in_store(federation) - before == ROWS, point
        assert sorted(path.name for path in folder.glob("codes*")) == ["codes.ndjson"]
        for position in (0, ROWS // 2, ROWS - 1):
            claims = decode_code(found[position]["code"], REALM).claims
            document = decode_document("10", rows[position]["number"])
            assert match_holder(claims, document) is HolderMatch.MATCH
        if kills >= KILLS:
            break
    assert kills >= KILLS, kills


def test_a_run_that_was_cut_is_not_begun_again_by_accident(federation: Federation, tmp_path: Path) -> None:
    """Without --resume it is refused, and so is a run of another file or level, and a finished file is kept."""
    rows = people(120)
    runs = Runs(federation, tmp_path, rows)
    assert runs.kill_after(0)
    before = issued_in_store(federation)

    def refused(*more: str) -> str:
        told = federation.command("31", *runs.arguments[:1], *runs.arguments[3:], *more, status=2)
        return json.dumps(told)

    assert "--resume" in refused()
    assert "--resume" in refused("--overwrite")
    assert "the options are others" in refused("--resume", "--presentation", "PAPER")
    write_rows(tmp_path / "holders.ndjson", rows[:-1])
    assert "the file of holders has changed" in refused("--resume")
    write_rows(tmp_path / "holders.ndjson", rows)
    assert runs.finish("--resume") == 0
    assert issued_in_store(federation) - before <= 120
    assert "--overwrite" in refused()
    assert "--overwrite" in refused("--resume")
    kept = runs.out.read_bytes()
    assert runs.finish("--overwrite") == 0
    assert runs.out.read_bytes() != kept
