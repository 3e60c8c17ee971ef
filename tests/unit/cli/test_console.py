"""Commands end with the right status and one clear line, never with a traceback."""

from __future__ import annotations

import getpass
import io
import json
import re
import sys
import warnings
from typing import Any

import click
import pytest
import structlog

from healthcode.cli.console import (
    Command,
    CommandGroup,
    ask_secret,
    details,
    exit_with,
    json_option,
    print_result,
    rows,
    run,
)
from healthcode.errors import (
    ConfigurationError,
    HealthcodeError,
    InternalError,
    InvalidInputError,
    NotFoundError,
    RefusedServerError,
    RefusedTrustError,
    UnavailableError,
)
from healthcode.telemetry import configure_logging


def make(failure: Exception | None = None, status: int = 0) -> click.Command:
    @click.group(cls=CommandGroup, examples="demo show\ndemo show --json   # for scripts")
    def demo() -> None:
        """Shows things."""

    @demo.command(cls=Command, examples="demo show --json")
    @click.option("--count", type=int, default=1)
    @json_option
    def show(*, count: int, as_json: bool) -> None:
        """Shows one thing."""
        if failure is not None:
            raise failure
        print_result(
            {"realm": "test-x", "keys": ["[red]a", "b"], "none": None}, as_json=as_json, table=details
        )
        if status:
            exit_with(status)

    return demo


def outcome(
    capsys: pytest.CaptureFixture[str], command: click.Command, *arguments: str
) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as caught:
        run(command, arguments)
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFoundError("x"), 1),
        (InvalidInputError("x"), 2),
        (RefusedTrustError("x"), 1),
        (RefusedServerError("x"), 1),
        (ConfigurationError("x"), 2),
        (UnavailableError("x"), 4),
        (InternalError("x"), 70),
        (RuntimeError("x"), 70),
        (click.UsageError("x"), 2),
        (click.Abort(), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_exit_statuses(capsys: pytest.CaptureFixture[str], error: Exception, status: int) -> None:
    """Each class of error has its own; no traceback is printed."""
    code, _, err = outcome(capsys, make(error), "show")
    assert code == status
    assert "Traceback" not in err


def test_a_terminal_that_cannot_show_a_character_gets_its_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name in Chinese on a terminal in Latin-1 is no fault of ours."""
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", write_through=True)
    monkeypatch.setattr(sys, "stdout", terminal)

    @click.command()
    def tell() -> None:
        click.echo("上海")

    with pytest.raises(SystemExit) as ended:
        run(tell, [])
    assert ended.value.code == 0
    assert terminal.buffer.getvalue() == b"\\u4e0a\\u6d77\n"  # type: ignore[attr-defined]  # a BytesIO


def test_success_and_a_chosen_status(capsys: pytest.CaptureFixture[str]) -> None:
    """0, or what the command decided, with its result printed."""
    assert outcome(capsys, make(), "show")[0] == 0
    code, out, _ = outcome(capsys, make(status=3), "show", "--json")
    assert code == 3
    assert json.loads(out) == {"realm": "test-x", "keys": ["[red]a", "b"], "none": None}


def test_an_error_is_one_line_and_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """What was wrong, field by field."""
    error = InvalidInputError("the document is not valid", fields={"number": "its check digit does not fit"})
    _, out, err = outcome(capsys, make(error), "show")
    assert out == ""
    assert err == "error: the document is not valid\n  number: its check digit does not fit\n"


def test_an_error_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json scripts get an object on standard error, and nothing on standard output."""
    error: HealthcodeError = UnavailableError("later", retry_after_seconds=2)
    _, out, err = outcome(capsys, make(error), "show", "--json")
    assert out == ""
    assert json.loads(err) == {
        "error": {"reason": "SERVICE_UNAVAILABLE", "message": "later", "retry_after_seconds": 2}
    }
    assert (
        json.loads(outcome(capsys, make(), "show", "--json", "--count", "x")[2])["error"]["reason"] == "USAGE"
    )


def test_a_fault_of_ours_shows_no_insides(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line with an incident id; the traceback only when asked for."""
    _, _, err = outcome(capsys, make(RuntimeError("secret")), "show")
    assert "secret" not in err
    assert "incident" in err
    assert len(err.splitlines()) == 1
    monkeypatch.setenv("HEALTHCODE_DEBUG", "1")
    assert "Traceback" in outcome(capsys, make(RuntimeError("secret")), "show")[2]


def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, and click's own hint."""
    code, _, err = outcome(capsys, make(), "sohw")
    assert code == 2
    assert "sohw" in err


def test_help_has_the_examples_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    """At the end, a line each, not reflowed; for a group and for a command."""
    _, out, _ = outcome(capsys, make(), "--help")
    assert out.endswith("Examples:\n  demo show\n  demo show --json   # for scripts\n")
    _, out, _ = outcome(capsys, make(), "show", "--help")
    assert out.endswith("Examples:\n  demo show --json\n")


def test_tables_show_data_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets in data are no markup."""
    _, out, _ = outcome(capsys, make(), "show")
    assert "[red]a, b" in out
    print_result(
        [{"kid": "[bold]1", "age_seconds": 3}],
        as_json=False,
        table=lambda data: rows(("kid", "age_seconds"), data),
    )
    out = capsys.readouterr().out
    assert "[bold]1" in out
    assert "age seconds" in out


def printed(capsys: pytest.CaptureFixture[str], table: Any) -> str:
    print_result([], as_json=False, table=lambda _: table)
    return capsys.readouterr().out


LINES = [
    {
        "kid": "5f0c9a2b7d31e864",
        "digest": "sha256:" + "0123456789abcdef" * 4,
        "from": "2026-11-21T08:00:00Z",
        "what": "a sentence that is long enough to need more than one line beside all of that",
    }
]


@pytest.mark.parametrize("columns", ["40", "80", "100", "200"])
@pytest.mark.parametrize("terminal", [False, True])
def test_ids_and_dates_are_never_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str, terminal: bool
) -> None:
    """However narrow the terminal: text wraps, what somebody copies does not."""
    monkeypatch.setenv("COLUMNS", columns)
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    for table in (rows(tuple(LINES[0]), LINES), details(LINES[0])):
        out = printed(capsys, table)
        for name in ("kid", "digest", "from"):
            assert LINES[0][name] in out


def test_a_table_keeps_to_the_width_that_there_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text makes room for what may not be broken."""
    monkeypatch.setenv("COLUMNS", "100")
    line = {name: value for name, value in LINES[0].items() if name != "digest"}
    out = printed(capsys, rows(tuple(line), [line]))
    assert max(map(len, out.splitlines())) <= 100
    assert len(out.splitlines()) > 5


def test_a_table_of_nothing_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """No empty frame."""
    assert printed(capsys, rows(("kid",), [], title="Keys")) == "Keys: none\n"
    assert printed(capsys, rows(("kid",), [], empty="nobody asks to join")) == "nobody asks to join\n"


def test_values_are_shown_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    """No Python words: yes and no, none, and a dash for what is not known."""
    out = printed(capsys, details({"serving": True, "admitted": False, "warnings": [], "age": None}))
    out += printed(capsys, details({"above": {"snapshot": 1, "timestamp": 3}, "lacking": {}}))
    assert [line.split() for line in out.splitlines()] == [
        ["serving", "yes"],
        ["admitted", "no"],
        ["warnings", "none"],
        ["age", "-"],
        ["above", "snapshot", "1,", "timestamp", "3"],
        ["lacking", "none"],
    ]


def test_a_service_s_fault_is_in_its_log(capsys: pytest.CaptureFixture[str]) -> None:
    """The traceback stands in the log under the id that the error line names."""
    stream = io.StringIO()
    try:
        configure_logging("demo", stream=stream)
        _, _, err = outcome(capsys, make(RuntimeError("broken")), "show")
    finally:
        structlog.reset_defaults()
    incident = re.search(r"incident (\w+)", err)
    assert incident is not None
    assert "the log" in err
    assert incident[1] in stream.getvalue()
    assert "RuntimeError" in stream.getvalue()
    assert "Traceback" in stream.getvalue()
    assert "Traceback" not in err


def test_without_a_terminal_a_secret_is_not_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence that says what to give instead; nothing is read from standard input."""

    def warned(_: str) -> str:
        warnings.warn("cannot control echo", getpass.GetPassWarning, stacklevel=1)
        return "from elsewhere"

    monkeypatch.setattr("click.termui.hidden_prompt_func", warned)

    @click.command()
    def asking() -> None:
        ask_secret("passphrase of root-1", instead="give --passphrase-file")

    code, _, err = outcome(capsys, asking)
    assert code == 2
    assert err == (
        "error: there is no terminal to prompt for the passphrase of root-1: give --passphrase-file\n"
    )


def test_a_question_that_nobody_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of standard input the command says that it asked, not just that it stopped."""

    def ended(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("click.termui.visible_prompt_func", ended)

    @click.command()
    def asking() -> None:
        click.confirm("really?", abort=True)

    code, _, err = outcome(capsys, asking)
    assert code == 1
    assert "the prompt got no answer" in err


def test_the_list_of_commands_cuts_no_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """The first sentence of each, whole."""

    @click.group(cls=CommandGroup)
    def demo() -> None:
        """Shows things."""

    @demo.command(cls=Command)
    def show() -> None:
        """Show whether the node serves, what it published, its keys and certificates, and who lags behind."""

    _, out, _ = outcome(capsys, demo, "--help")
    assert "who lags behind." in " ".join(out.split())
    assert "...\n" not in out.replace("[ARGS]...", "")


def test_headings_are_never_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that begin alike could not be told apart; they wrap between words instead."""
    monkeypatch.setenv("COLUMNS", "40")
    names = ("policy_version", "policy_format", "snapshot_version", "areas_format")
    print_result([dict.fromkeys(names, 1)], as_json=False, table=lambda lines: rows(names, lines))
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert [shown.count(word) for word in ("policy", "version", "format")] == [2, 2, 2]
