"""A laboratory's file over mTLS: sources, imports, refusals by line and field, withdrawal, and what a place must check."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from rich.console import Console

from healthcode.errors import HealthcodeError, Reason
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1 import province_node_pb2
from healthcode.v1.province_node_pb2_grpc import ProvinceNodeServiceStub
from province_node.cli import evidence
from province_node.cli.connection import _open, integrator
from province_node.settings import load_node_settings
from tests.integration.province_node.intake_node import IntakeNode, run_intake_node
from tests.unit.province_node.conftest import cheap_keys, world
from tests.unit.province_node.people.persons import DAY, GREEN, HOUR, OTHER, RED
from tests.unit.province_node.world import World
from tests.world.log import json_log
from tests.world.people import VALID_IDS

__all__ = ["cheap_keys", "world"]


@pytest.fixture
def node(world: World, tmp_path: Path) -> Iterator[IntakeNode]:
    with run_intake_node(world, tmp_path) as made:
        yield made


def contact(node: IntakeNode, record: str, **changes: Any) -> dict[str, Any]:
    """RED by L-A4-1."""
    row = {
        "record": record,
        "number": VALID_IDS[0],
        "kind": "CONTACT",
        "finding": "CLOSE",
        "observed_at": node.at(HOUR),
        **changes,
    }
    return {name: value for name, value in row.items() if value is not None}


def negative(node: IntakeNode, record: str, seconds_ago: int, **changes: Any) -> dict[str, Any]:
    more = {"kind": "TEST", "finding": "NEGATIVE", "method": "NUCLEIC", "observed_at": node.at(seconds_ago)}
    return contact(node, record, **{**more, **changes})


def import_file(node: IntakeNode, path: Path, source: Path, *options: str | Path, status: int = 0) -> Any:
    done = node.command("evidence", "import", path, "--as", source, "--json", *options)
    assert done.status == status, done.err
    return done.json() if done.out else json.loads(done.err.splitlines()[-1])["error"]


def test_a_file_changes_levels(node: IntakeNode) -> None:
    """R12: sent again it changes nothing; a revision replaces; without a name and without the node's folder."""
    source = node.add_source("CONTACT", "TEST")
    path = node.write("a.ndjson", [contact(node, "r-1"), contact(node, "r-2", number=VALID_IDS[1])])
    assert import_file(node, path, source)["accepted"] == 2
    node.persons.work()
    assert (node.persons.level().level, node.persons.level(OTHER).level) == (RED, RED)
    assert import_file(node, path, source)["duplicate"] == 2
    again = node.write("b.ndjson", [contact(node, "r-1", revision=2, withdrawn=True)])
    assert import_file(node, again, source)["accepted"] == 1
    node.persons.work()
    assert (node.persons.level().level, node.persons.level(OTHER).level) == (GREEN, RED)
    assert not list(node.folder.glob("*.import"))


def test_a_person_sees_how_far_it_is(node: IntakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal: while the file is read, which --resume does from its start, and while it is sent."""
    source = node.add_source("CONTACT")
    path = node.write("a.ndjson", [contact(node, "r-1")])
    terminal = io.StringIO()
    monkeypatch.setattr(evidence, "error_console", lambda: Console(file=terminal, force_terminal=True))
    assert import_file(node, path, source, "--resume")["accepted"] == 1
    assert import_file(node, path, source, "--dry-run")["good"] == 1
    for word in ("reading", "sending", "checking"):
        assert word in terminal.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_table_of_a_spreadsheet(node: IntakeNode, encoding: str) -> None:
    """CSV in either encoding, found by itself; texts are the same in both."""
    source = node.add_source("TEST")
    path = node.folder / "a.csv"
    text = (
        "record,number,kind,finding,method,observed_at,laboratory\r\n"
        f"r-1,{VALID_IDS[0]},TEST,NEGATIVE,NUCLEIC,{node.at(HOUR)},上海市疾控中心\r\n"
        f"r-2,{VALID_IDS[0]},test,negative,nucleic,{node.at(2 * HOUR)},\r\n"
    )
    path.write_bytes(text.encode(encoding))
    assert import_file(node, path, source)["accepted"] == 2
    laboratories = {each.laboratory for each in node.persons.state().evidence}
    assert laboratories == {"上海市疾控中心", ""}


def test_each_bad_line_is_refused_alone(node: IntakeNode) -> None:
    """By number and field, with what to do; good lines around them count. The report has all, and no value of a line."""
    source = node.add_source("CONTACT", "TEST", "AREA_STAY")
    stay = {"kind": "AREA_STAY", "finding": None, "observed_at": None, "area_code": "310115"}
    stayed = {"stay_from": node.at(3 * HOUR), "stay_to": node.at(HOUR)}
    lines: list[object] = [
        contact(node, "good-1"),
        contact(node, "r-1", number="110105194912310021"),
        contact(node, "r-2", observed_at="2026-02-30T08:00:00Z"),
        contact(node, "r-3", observed_at=node.at(-DAY)),
        contact(node, "r-4", kind="PUSH", finding="RED"),
        contact(node, "good-1", finding="SECOND"),
        '{"record": "r-6", "number": "1101051949',
        contact(node, "r-7", instrument="x" * 10_000_000),
        contact(node, "r-8", **{**stay, **stayed, "area_code": "990115"}),
        contact(node, "r-9", finding="CLOSED"),
        contact(node, "r-10", name="张小三"),
        contact(node, "r-11", observed_at="2026-11-21 08:00"),
        contact(node, "r-12", instrument="\ud800"),
        contact(node, "r-13", number=None),
        contact(node, "r-14", **stay, stay_from=node.at(HOUR), stay_to=node.at(3 * HOUR)),
        contact(node, "r-15", kind="VACCINATION", finding=None),
        contact(node, "r-16", revision=2**40),
        contact(node, "r-17", kind="ORDER", finding="RED", until=node.at(-DAY)),
        contact(node, "r-18", instrument="x" * 16_000),
        contact(node, "good-2"),
    ]
    path = node.folder / "bad.ndjson"
    path.write_text(
        "".join(json.dumps(line) + "\n" if isinstance(line, dict) else f"{line}\n" for line in lines)
    )
    report = node.folder / "refused.ndjson"
    result = import_file(node, path, source, "--report", report, status=1)
    assert (result["accepted"], result["refused"], result["duplicate"]) == (2, 18, 0)
    found = {
        line["line"]: (line["reason"], line["field"])
        for line in map(json.loads, report.read_text().splitlines())
    }
    assert found == {
        2: ("DOCUMENT_INVALID", "number"),
        3: ("EVIDENCE_INVALID", "observed_at"),
        4: ("EVIDENCE_IN_FUTURE", "observed_at"),
        5: ("KIND_FORBIDDEN", "kind"),
        6: ("EVIDENCE_CONFLICT", "revision"),
        7: ("EVIDENCE_INVALID", ""),
        8: ("EVIDENCE_INVALID", ""),
        9: ("EVIDENCE_INVALID", "area_code"),
        10: ("EVIDENCE_INVALID", "finding"),
        11: ("EVIDENCE_INVALID", ""),
        12: ("EVIDENCE_INVALID", "observed_at"),
        13: ("EVIDENCE_INVALID", ""),
        14: ("EVIDENCE_INVALID", "number"),
        15: ("EVIDENCE_INVALID", "stay_to"),
        16: ("KIND_FORBIDDEN", "kind"),
        17: ("EVIDENCE_INVALID", "revision"),
        18: ("KIND_FORBIDDEN", "kind"),
        19: ("EVIDENCE_INVALID", "instrument"),
    }
    text = report.read_text()
    assert all(value not in text for value in (*VALID_IDS, "110105194912310021", "张小三", "xxxx", "r-1"))
    assert report.stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_cut(node: IntakeNode) -> None:
    """Its last line is refused: a cut cell of a table looks like a whole one."""
    source = node.add_source("CONTACT")
    path = node.write("a.ndjson", [contact(node, "r-1"), contact(node, "r-2")])
    path.write_bytes(path.read_bytes()[:-20])
    result = import_file(node, path, source, status=1)
    assert (result["accepted"], result["refused_lines"][0]["line"]) == (1, 2)
    assert "cut" in result["refused_lines"][0]["message"]
    table = node.folder / "a.csv"
    row = f"{VALID_IDS[0]},CONTACT,CLOSE,{node.at(HOUR)},r-4"
    table.write_text(f"number,kind,finding,observed_at,record\n{row}\n{row[:-1]}")
    result = import_file(node, table, source, status=1)
    assert (result["accepted"], result["refused_lines"][0]["line"]) == (1, 3)
    assert "cut" in result["refused_lines"][0]["message"]


def test_mixed_encodings_refuse_the_whole_file(node: IntakeNode) -> None:
    """The first line of each is named, and nothing is sent."""
    source = node.add_source("CONTACT")
    path = node.folder / "mixed.ndjson"
    rows = [
        json.dumps(contact(node, f"r-{n}", instrument="沪卫〔2026〕1号"), ensure_ascii=False) for n in (1, 2)
    ]
    path.write_bytes(rows[0].encode() + b"\n" + rows[1].encode("gb18030") + b"\n")
    error = import_file(node, path, source, status=2)
    assert "line 1 " in error["message"]
    assert "line 2 " in error["message"]
    assert node.persons.store.evidence.count_evidence() == 0


def test_a_dry_run_sends_nothing(node: IntakeNode) -> None:
    """It finds what can be seen in the file, and leaves no trace beside it."""
    source = node.add_source("CONTACT")
    path = node.write("a.ndjson", [contact(node, "r-1"), contact(node, "r-2", number="110105194912310021")])
    result = import_file(node, path, source, "--dry-run", status=1)
    assert (result["good"], result["refused"]) == (1, 1)
    assert node.persons.store.evidence.count_evidence() == 0
    assert not list(node.folder.glob("*.import"))


def test_a_suspended_source_sends_nothing_more(node: IntakeNode) -> None:
    """At once, and the import stops: no line counts as refused, so that --resume sends them when it is registered again."""
    source = node.add_source("CONTACT")
    path = node.write("a.ndjson", [contact(node, f"r-{number}") for number in range(20)])
    assert node.node_command("source", "suspend", "laboratory")["state"] == "SUSPENDED"
    assert import_file(node, path, source, status=1)["reason"] == Reason.SOURCE_SUSPENDED
    certificate = source / "source.pem"
    added = node.node_command(
        "source", "add", "laboratory", "--unit", "CDC", "--kind", "CONTACT", "--certificate", certificate
    )
    assert (added["state"], added["before"]) == ("ACTIVE", "suspended")
    assert import_file(node, path, source, "--resume")["accepted"] == 20


def test_another_key_in_the_same_name_is_no_source(node: IntakeNode) -> None:
    """The province's CA could name anybody, so the registered key counts; `source add` exchanges it."""
    first = node.add_source("CONTACT")
    second = node.folder / "second"
    more = ("--unit", "CDC", "--kind", "CONTACT", "--development", second)
    assert node.node_command("source", "add", "laboratory", *more)["before"] == "another key"
    path = node.write("a.ndjson", [contact(node, "r-1")])
    assert import_file(node, path, first, status=1)["reason"] == Reason.SOURCE_UNKNOWN
    assert import_file(node, path, second)["accepted"] == 1
    listed = node.node_command("source", "list")
    assert [(each["source"], each["kinds"]) for each in listed if each["source"] != "lab"] == [
        ("laboratory", "CONTACT")
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("laboratory", "--kind", "PUSH"), "national platform"),
        (("migrated", "--kind", "TEST"), "choose another"),
        (("Labor", "--kind", "TEST"), "name"),
        (("other", "--kind", "TEST"), "names spiffe"),
    ],
)
def test_a_source_is_checked_before_it_counts(
    node: IntakeNode, arguments: tuple[str, ...], said: str
) -> None:
    """A PUSH is 00's; a certificate is of the source that it names."""
    certificate = node.add_source("TEST") / "source.pem"
    before = node.node_command("source", "list")
    done = node.command(
        *("source", "add", *arguments, "--unit", "CDC", "--certificate", certificate, "--dir", node.root)
    )
    assert done.status in {1, 2}
    assert said in done.err
    assert node.node_command("source", "list") == before


def test_evidence_is_withdrawn(node: IntakeNode) -> None:
    """By records of a file or by time of receipt; counted first, and levels follow."""
    source = node.add_source("CONTACT")
    import_file(node, node.write("a.ndjson", [contact(node, name) for name in ("r-1", "r-2")]), source)
    node.persons.work()
    records = node.folder / "records.txt"
    records.write_text("r-1\nr-unknown\n")

    def withdraw(*options: str | Path) -> Any:
        done = node.command("evidence", "withdraw", "--as", source, "--json", *options)
        assert done.status == 0, done.err
        return done.json()

    counted = withdraw("--records", records, "--count-only")
    assert (counted["would_withdraw"], counted["unknown"]) == (1, 1)
    assert withdraw("--records", records, "--yes")["newly_withdrawn"] == 1
    node.persons.work()
    assert node.persons.level().level == RED
    window = ("--from", node.at(HOUR), "--until", node.at(-HOUR), "--kind", "CONTACT")
    assert withdraw(*window, "--yes") == {
        "newly_withdrawn": 1,
        "already_withdrawn": 1,
        "unknown": 0,
        "next": "levels follow within seconds",
    }
    node.persons.work()
    assert node.persons.level().level == GREEN
    assert withdraw(*window)["would_withdraw"] == 0


def test_no_metric_and_no_log_line_names_anybody(node: IntakeNode) -> None:
    """Numbers, records, instruments and fields of refused lines stay out of both."""
    source = node.add_source("CONTACT")
    lines = [
        contact(node, "record-7", instrument="secret-9"),
        contact(node, "record-8", number="110105194912310021"),
    ]
    with json_log() as log:
        import_file(node, node.write("a.ndjson", lines), source, status=1)
        node.persons.work()
    said = node.measured() + log.getvalue()
    assert 'healthcode_evidence_items_total{result="ACCEPTED"} 1.0' in said
    assert all(
        word not in said for word in (*VALID_IDS, "110105194912310021", "record-", "secret-9", "194912")
    )


def test_a_place_asks_whether_it_must_check(node: IntakeNode) -> None:
    """R7, over mTLS, by the command; only an integrator may ask."""
    asked = ("requirement", "--area", "330106", "--place")
    assert node.node_command(*asked, "PARK")["requirement"] == "CHECK_NOT_REQUIRED"
    assert node.node_command(*asked, "HOSPITAL") == {
        "requirement": "CHECK",
        "rule": "C-1",
        "policy_version": "27.1",
        "areas_as_of": node.node_command(*asked, "PARK")["areas_as_of"],
        "warnings": [],
    }
    settings = load_node_settings(node.root)

    async def ask(channel: grpc.aio.Channel, **fields: Any) -> Any:
        request = province_node_pb2.CheckRequirementRequest(**fields)
        return await ProvinceNodeServiceStub(channel).CheckRequirement(request, timeout=10)

    async def calls() -> None:
        async with integrator(node.root, settings) as channel:
            nothing = await ask(channel)
            unknown = await ask(channel, place_type=99, area_code="330106")
        assert nothing.requirement == unknown.requirement == province_node_pb2.REQUIREMENT_CHECK
        assert list(unknown.warnings) == ["UNKNOWN_PLACE_TYPE"]
        async with _open(node.root, settings, settings.listen, "issuer") as channel:
            with pytest.raises(HealthcodeError) as caught, rpc_errors("the node"):
                await ask(channel)
        assert caught.value.reason is Reason.METHOD_NOT_ALLOWED

    asyncio.run(calls())
    assert 'healthcode_check_requirements_total{requirement="CHECK"} 3.0' in node.measured()
