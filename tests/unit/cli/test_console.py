"""Commands end with the right status and one clear line, never with a traceback."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest

from healthcode.cli.console import (
    Command,
    CommandGroup,
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
