"""How far an import has come: what is kept, and what it is good for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from healthcode.errors import InvalidInputError
from province_node.cli.evidence_rows import Problem
from province_node.cli.import_run import ImportInput, ImportRun

OF = ImportInput(
    input_sha256="aa", encoding="utf-8", source="spiffe://test-demo.healthcode/source/31/laboratory"
)


def open_run(
    folder: Path, *, of: ImportInput = OF, resume: bool = True, report: str | None = None
) -> ImportRun:
    named = None if report is None else folder / report
    return ImportRun(folder / "a.ndjson", of, report=named, resume=resume)


def problem(line: int) -> Problem:
    return Problem(line, "EVIDENCE_INVALID", "kind", "say one of TEST")


def stop_behind(folder: Path, line: int, *, report: str | None = None) -> None:
    """A run that ends behind a line."""
    with open_run(folder, report=report) as run:
        for number in range(1, line):
            run.settle(number, "ACCEPTED")
        run.refuse(problem(line))
        run.save()


def test_a_run_goes_on_behind_its_last_line(tmp_path: Path) -> None:
    """With its counts; after the end there is nothing to go on with."""
    stop_behind(tmp_path, 5)
    state = tmp_path / "a.ndjson.import"
    assert state.stat().st_mode & 0o777 == 0o600
    with open_run(tmp_path) as run:
        assert (run.line, run.counts["ACCEPTED"], run.counts["REFUSED"]) == (5, 4, 1)
        run.settle(6, "DUPLICATE")
        run.finish()
    assert not state.exists()
    assert open_run(tmp_path).line == 0


def test_without_resume_it_begins_anew(tmp_path: Path) -> None:
    """Everything is sent again, which is right as well."""
    stop_behind(tmp_path, 5)
    assert open_run(tmp_path, resume=False).line == 0


@pytest.mark.parametrize("field", ["input_sha256", "encoding", "source"])
def test_lines_of_something_else_say_nothing(tmp_path: Path, field: str) -> None:
    """Another file, encoding or source: lines would be passed over that nobody has."""
    stop_behind(tmp_path, 5)
    with pytest.raises(InvalidInputError, match="without --resume"):
        open_run(tmp_path, of=OF.model_copy(update={field: "other"}))


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / "a.ndjson.import").write_text('{"line": 7')
    with pytest.raises(InvalidInputError, match="without --resume"):
        open_run(tmp_path)


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """The import is right without; only --resume is not possible then."""
    folder = tmp_path / "gone"
    folder.mkdir()
    with open_run(folder, resume=False) as run:
        run.settle(1, "ACCEPTED")
        folder.rmdir()
        run.save()
        run.settle(2, "ACCEPTED")
        assert not run.can_go_on


def test_the_report_has_each_line_once(tmp_path: Path) -> None:
    """What was written behind the last kept line is cut off; another file is never overwritten."""
    stop_behind(tmp_path, 5, report="refused")
    report = tmp_path / "refused"
    report.write_bytes(report.read_bytes() + b'{"line": 6, "reas')
    with open_run(tmp_path, report="refused") as run:
        run.refuse(problem(6))
    assert [json.loads(line)["line"] for line in report.read_text().splitlines()] == [5, 6]
    with pytest.raises(InvalidInputError, match="another name"):
        open_run(tmp_path, resume=False, report="refused")


def test_a_report_of_the_first_second_is_known_again(tmp_path: Path) -> None:
    """A kill before the first save leaves a report that --resume writes again, and a file of another name alone."""
    killed = open_run(tmp_path, resume=False, report="refused")
    killed.refuse(problem(1))
    killed._report.flush()  # a buffer that was full; nothing was saved
    with open_run(tmp_path, report="refused") as run:
        assert (run.line, sum(run.counts.values())) == (0, 0)
        run.refuse(problem(1))
    assert len((tmp_path / "refused").read_text().splitlines()) == 1
    other = tmp_path / "other"
    other.write_text("longer than what was reported\n" * 100)
    with pytest.raises(InvalidInputError, match="another name"):
        open_run(tmp_path, report="other")
    assert len(other.read_text().splitlines()) == 100


def test_many_refused_lines_need_little_memory(tmp_path: Path) -> None:
    """The first are kept to be shown."""
    with open_run(tmp_path, resume=False) as run:
        for line in range(1, 1000):
            run.refuse(problem(line))
        run.finish()
    assert (len(run.problems), run.counts["REFUSED"]) == (20, 999)
