"""A run of `issue --out`: what is beside the file while it lasts, and when it goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from healthcode.errors import InvalidInputError, PreconditionError
from province_node.cli.issue_run import IN_FLIGHT, IssueRun, RunInput

NOW = 1_796_000_000
DAY = 86_400
CHUNK = 2
TOTAL = 20
OF = RunInput(input_sha256="a" * 64, options_sha256="b" * 64, chunk=CHUNK)


class KilledError(BaseException):
    """The process is gone."""


def rows(chunk: int) -> list[dict[str, object]]:
    first = chunk * CHUNK + 1
    return [{"row": row, "code": f"code {row}"} for row in range(first, first + CHUNK)]


def start(out: Path, *, now: int = NOW, of: RunInput = OF, anew: bool = False, **options: bool) -> IssueRun:
    run = IssueRun(out, of, now=now, **{"resume": False, "overwrite": False, **options})
    try:
        run.begin(TOTAL, now, anew=anew)
    except BaseException:
        run.close()
        raise
    return run


def send(run: IssueRun, chunk: int, now: int = NOW) -> str:
    request_id = run.request_id(chunk, now)
    run.write(chunk, rows(chunk), now)
    return request_id


def found(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.iterdir())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "codes.ndjson"


def test_a_run_leaves_its_file_alone(out: Path) -> None:
    """While it lasts there are two files of mode 0600, and the run's has no row; then the rows alone."""
    run = start(out)
    ids = [send(run, chunk) for chunk in range(TOTAL // CHUNK)]
    assert found(out) == ["codes.ndjson.partial", "codes.ndjson.run"]
    for path in out.parent.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    state = out.with_name("codes.ndjson.run").read_text()
    assert "code " not in state
    assert set(json.loads(state)) == {
        *("format", "run_id", "input_sha256", "options_sha256", "chunk", "started_at", "open_since"),
        "out_sha256",
    }
    assert len(set(ids)) == len(ids)
    run.finish()
    assert found(out) == ["codes.ndjson"]
    assert [json.loads(line)["row"] for line in out.read_text().splitlines()] == list(range(1, TOTAL + 1))


def test_a_complete_run_is_called_complete(out: Path) -> None:
    """--resume has nothing to go on with: the message says so, and does not send the user to --overwrite first."""
    run = start(out)
    for chunk in range(TOTAL // CHUNK):
        send(run, chunk)
    run.finish()
    with pytest.raises(InvalidInputError, match="it is complete"):
        start(out, resume=True)
    with pytest.raises(InvalidInputError, match="only copy"):
        start(out)


@pytest.mark.parametrize("cut", [0, 1, 10, 44, 45])
def test_a_row_that_is_not_whole_is_written_again(out: Path, cut: int) -> None:
    """Bytes that a kill, or a lost page, left behind the last whole row are cut off, and its ids stay."""
    run = start(out)
    ids = [send(run, chunk) for chunk in range(3)]
    run.close()
    partial = out.with_name("codes.ndjson.partial")
    whole = partial.read_bytes()
    partial.write_bytes(whole[: len(whole) - cut] + b"\0" * (cut % 3))
    run = start(out, resume=True)
    assert run.rows == whole[: len(whole) - cut].count(b"\n")
    again = run.rows // CHUNK
    assert [run.request_id(chunk, NOW) for chunk in range(3)] == ids
    for chunk in range(again, TOTAL // CHUNK):
        run.write(chunk, rows(chunk)[max(run.rows - chunk * CHUNK, 0) :], NOW)
    run.finish()
    assert [json.loads(line)["row"] for line in out.read_text().splitlines()] == list(range(1, TOTAL + 1))


def test_a_kill_before_the_first_request_costs_nothing(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent, and the same command begins anew."""

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr("province_node.cli.issue_run.write_atomic", killed)
        with pytest.raises(KilledError):
            start(out)
    assert found(out) == ["codes.ndjson.partial"]
    start(out).close()


def test_a_kill_after_the_last_row_is_finished(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two last steps OUT is there and OUT.run, too: --resume removes it, and sends nothing."""

    def killed(*_: object) -> None:
        raise KilledError

    run = start(out)
    for chunk in range(TOTAL // CHUNK):
        send(run, chunk)
    with monkeypatch.context() as patched:
        patched.setattr("province_node.cli.issue_run.sync", killed)
        with pytest.raises(KilledError):
            run.finish()
    run.close()
    assert found(out) == ["codes.ndjson", "codes.ndjson.run"]
    run = start(out, resume=True, now=NOW + 10 * DAY)
    assert (run.rows, run.issued) == (TOTAL, TOTAL)
    run.finish()
    assert found(out) == ["codes.ndjson"]


def test_a_run_of_something_else_does_not_go_on(out: Path) -> None:
    """Its request ids would have another content; another command at the same time is refused, too."""
    run = start(out)
    with pytest.raises(InvalidInputError, match="--resume"):
        start(out)
    with pytest.raises(InvalidInputError, match="another command writes"):
        start(out, resume=True)
    run.close()
    for change, says in (
        ({"input_sha256": "c" * 64}, "the file of holders has changed"),
        ({"options_sha256": "c" * 64}, "the options are others"),
        ({"chunk": 3}, "another release"),
    ):
        with pytest.raises(InvalidInputError, match=says):
            start(out, of=OF.model_copy(update=change), resume=True)
    out.with_name("codes.ndjson.run").write_text("{}")
    with pytest.raises(InvalidInputError, match="damaged"):
        start(out, resume=True)


def test_rows_whose_run_is_gone_are_kept(out: Path) -> None:
    """Neither a new run nor one whose rows are gone goes over codes that somebody may need."""
    run = start(out)
    send(run, 0)
    run.close()
    run_file, partial = out.with_name("codes.ndjson.run"), out.with_name("codes.ndjson.partial")
    state = run_file.read_bytes()
    run_file.unlink()
    with pytest.raises(InvalidInputError, match="only copy"):
        start(out)
    assert partial.read_bytes().count(b"\n") == CHUNK
    partial.rename(out)
    run_file.write_bytes(state)
    with pytest.raises(InvalidInputError, match="is gone"):
        start(out, resume=True)
    assert out.read_bytes().count(b"\n") == CHUNK


def test_after_a_day_what_was_lost_is_named(out: Path) -> None:
    """The node has forgotten the chunks that were sent last: refused by their rows, until --anew."""
    run = start(out)
    for chunk in range(2):
        send(run, chunk)
    run.close()
    start(out, resume=True, now=NOW + DAY - 3600).close()
    late = NOW + DAY
    with pytest.raises(PreconditionError) as refused:
        start(out, resume=True, now=late)
    assert f"rows {2 * CHUNK + 1} to {(2 + IN_FLIGHT) * CHUNK} may have codes" in refused.value.message
    start(out, resume=True, now=late, anew=True).close()


def test_a_run_of_several_days_goes_on_at_once(out: Path) -> None:
    """The day counts from the oldest chunk without rows, not from the beginning; also where a run goes on twice."""
    run = start(out)
    for chunk in range(4):
        send(run, chunk, NOW + chunk * DAY)
    oldest = NOW + 4 * DAY
    run.request_id(4, oldest)
    run.write(5, [], oldest + DAY // 2)  # another one is written meanwhile
    run.close()
    with pytest.raises(PreconditionError):
        start(out, resume=True, now=NOW + 5 * DAY)
    run = start(out, resume=True, now=NOW + 4 * DAY)
    send(run, 4, NOW + 4 * DAY)
    run.close()
    # chunks 5 and 6 may have been sent before the first cut
    with pytest.raises(PreconditionError):
        start(out, resume=True, now=NOW + 5 * DAY)


def test_the_file_of_an_earlier_run_is_not_taken_for_this_one(out: Path) -> None:
    """Rows are gone with OUT.partial, also where another OUT has as many, and where there is none."""
    run = start(out)
    for chunk in range(TOTAL // CHUNK):
        send(run, chunk)
    run.finish()
    earlier = out.read_bytes()
    run = start(out, overwrite=True)
    run.close()
    out.with_name("codes.ndjson.partial").unlink()
    for _ in range(2):
        with pytest.raises(InvalidInputError, match="is gone"):
            start(out, resume=True, overwrite=True)
        assert out.with_name("codes.ndjson.run").exists()
        if out.exists():
            assert out.read_bytes() == earlier
            out.unlink()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"run_id": "x"}, "damaged"),
        ({"started_at": 10**30}, "damaged"),
        ({"started_at": -(10**15)}, "damaged"),
        ({"started_at": 10**12}, "a time to come"),
        ({"open_since": NOW + DAY}, "a time to come"),
        ({"open_since": NOW - 1}, "damaged"),
    ],
)
def test_a_run_file_that_was_changed_is_refused(out: Path, change: dict[str, object], says: str) -> None:
    """By its name; a time to come would pass by the 24 hours that the node keeps a request."""
    start(out).close()
    run_file = out.with_name("codes.ndjson.run")
    run_file.write_text(json.dumps({**json.loads(run_file.read_text()), **change}))
    with pytest.raises(InvalidInputError, match=says) as refused:
        start(out, resume=True)
    assert str(run_file) in refused.value.message


def test_rows_that_were_changed_are_refused_or_written_again(out: Path) -> None:
    """More rows than holders are of no run; what is no row is cut off."""
    run = start(out)
    send(run, 0)
    run.close()
    partial = out.with_name("codes.ndjson.partial")
    with partial.open("ab") as file:
        file.write(b"[" * 100_000 + b"\n")
    run = start(out, resume=True)
    assert run.rows == CHUNK
    run.close()
    partial.write_text("".join(json.dumps({"row": row}) + "\n" for row in range(1, TOTAL + 2)))
    with pytest.raises(InvalidInputError, match=f"has {TOTAL + 1} rows, and the file of holders {TOTAL}"):
        start(out, resume=True)


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_run_goes_through_no_link(out: Path, kind: str) -> None:
    """Nothing that is no file of ours is written or replaced, whichever of the three names it has."""
    other = out.parent / "other"
    other.write_text("untouched")
    for ending in ("", ".run", ".partial"):
        place = out.with_name(out.name + ending)
        if kind == "link":
            place.symlink_to(other)
        else:
            place.mkdir()
        with pytest.raises(InvalidInputError):
            start(out, resume=True, overwrite=True)
        place.unlink() if kind == "link" else place.rmdir()
    assert other.read_text() == "untouched"
