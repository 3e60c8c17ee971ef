"""What all our commands share: exit statuses, error lines, `--json`, help with examples.

Exit status: 0 done; 1 refused; 2 usage or configuration; 3 further check or
undecided; 4 unavailable; 70 a fault of ours. No command prints a traceback,
unless HEALTHCODE_DEBUG=1.

    @click.group(cls=CommandGroup, examples="province-node check --dir node")
    def cli() -> None: ...

    @cli.command(cls=Command, examples="province-node status --json")
    @json_option
    def status(as_json: bool) -> None:
        print_result({"realm": "test-demo"}, as_json=as_json, table=lambda data: details(data))

    def main() -> None:
        run(cli)
"""

from __future__ import annotations

import getpass
import importlib
import json
import os
import secrets
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import click
import structlog
from rich.console import Console, RenderableType

import healthcode.rpc  # noqa: F401  it quiets grpc, which must happen before anything imports that
from healthcode.cli.table import details, rows
from healthcode.errors import ConfigurationError, HealthcodeError, InvalidInputError
from healthcode.telemetry import get_logger

__all__ = [
    "EXIT_FAULT",
    "EXIT_FURTHER_CHECK",
    "EXIT_INTERRUPTED",
    "EXIT_REFUSED",
    "EXIT_UNAVAILABLE",
    "EXIT_USAGE",
    "Command",
    "CommandGroup",
    "ask_secret",
    "details",
    "error_console",
    "exit_with",
    "json_option",
    "print_json",
    "print_result",
    "rows",
    "run",
]

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_FURTHER_CHECK = 3
EXIT_UNAVAILABLE = 4
EXIT_FAULT = 70
EXIT_INTERRUPTED = 130  # by Ctrl-C, as shells have it

_NO_ANSWER = "there was nobody to answer: run it at a terminal, or see --help for what scripts give instead"

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Examples(click.Command):
    """Shows `examples` (one command a line, `#` lines are comments) at the end of --help, as written."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = [line.strip() for line in examples.strip().splitlines()]

    def get_short_help_str(self, limit: int = 45) -> str:  # noqa: ARG002  the list of commands wraps, and cuts nothing
        return super().get_short_help_str(10_000)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class Command(_Examples):
    """A click command with `examples`."""


class CommandGroup(_Examples, click.Group):
    """A click group with `examples`, whose commands are `Command`s.

    `lazy` names commands by where they are, `module:function`: imported when one is asked
    for, since most of what a command takes to start is what the others import.
    """

    command_class = Command

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._lazy and cmd_name not in self.commands:
            module, _, name = self._lazy[cmd_name].partition(":")
            command = getattr(importlib.import_module(module), name)
            assert isinstance(command, click.Command)  # noqa: S101  a group names commands alone
            self.add_command(command, cmd_name)
        return super().get_command(ctx, cmd_name)


CommandGroup.group_class = CommandGroup


def json_option(function: _Function) -> _Function:
    """Adds `--json`, passed to the function as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(function)


def run(command: click.Command, arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command and ends the process with its exit status.

    A HealthcodeError becomes one line on standard error (with `--json`, an object
    {"error": {"reason", "message", …}}); any other exception one line with an
    incident id and status 70.
    """
    args = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in args
    try:
        status = command.main(args=args, standalone_mode=False)
    except click.exceptions.Exit as error:
        status = error.exit_code
    except click.Abort as error:
        # click raises it of what it met, which is then its cause or its context
        met = error.__cause__ or error.__context__
        _print_error(_NO_ANSWER if isinstance(met, EOFError) else "stopped", "ABORTED", as_json=as_json)
        status = EXIT_INTERRUPTED if isinstance(met, KeyboardInterrupt) else EXIT_REFUSED
    except click.ClickException as error:
        if as_json:
            _print_error(error.format_message(), "USAGE", as_json=True)
        else:
            error.show()
        status = EXIT_USAGE
    except HealthcodeError as error:
        _debug_traceback()
        _print_error(error.message, error.reason, as_json=as_json, error=error)
        status = error.exit_status
    except BrokenPipeError:
        # the reader of a pipe has gone, as with `| head`; say nothing more to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except Exception as error:  # noqa: BLE001  the outermost edge: whatever is left is a fault of ours
        _debug_traceback()
        incident = secrets.token_hex(4)
        where = "run again with HEALTHCODE_DEBUG=1 and report what it prints"
        if structlog.is_configured():  # a service: nobody will run it again to see
            get_logger("command").error("fault", incident=incident, exc_info=error)
            where = "report what the log has under that id"
        message = f"a fault of ours ({type(error).__name__}, incident {incident}): {where}"
        _print_error(message, "INTERNAL", as_json=as_json)
        status = EXIT_FAULT
    sys.exit(status if isinstance(status, int) else 0)


def exit_with(status: int) -> NoReturn:
    """Ends the command with an exit status, after its result was printed."""
    raise click.exceptions.Exit(status)


def ask_secret(
    what: str, *, new: bool = False, instead: str = "", check: Callable[[str], None] | None = None
) -> str:
    """Asks a person for a secret, unseen; twice when it is `new`, and again while `check` raises InvalidInputError.

    Raises ConfigurationError when there is no terminal to ask at; `instead` says what to do then.
    """

    def checked(text: str) -> str:
        if check is not None:
            try:
                check(text)
            except InvalidInputError as error:
                raise click.UsageError(error.message) from None
        return text

    with warnings.catch_warnings():
        # without a terminal getpass warns, and would read what somebody else sent to standard input
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return str(
                click.prompt(what, hide_input=True, confirmation_prompt=new, err=True, value_proc=checked)
            )
        except getpass.GetPassWarning:
            raise ConfigurationError(
                f"there is no terminal to ask for the {what} at: {instead or 'run it at one'}"
            ) from None


def error_console() -> Console:
    """Where progress and remarks go: standard error, so that standard output stays a result."""
    return Console(stderr=True)


def print_json(data: object) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2))


def print_result(
    data: Mapping[str, Any] | Sequence[Any],
    *,
    as_json: bool,
    table: Callable[[Any], RenderableType],
) -> None:
    """Prints a command's result: `data` itself with --json, else what `table` makes of it."""
    if as_json:
        print_json(data)
    else:
        Console().print(table(data), crop=False)


def _print_error(message: str, reason: str, *, as_json: bool, error: HealthcodeError | None = None) -> None:
    if as_json:
        body: dict[str, Any] = {"reason": str(reason), "message": message}
        if error is not None and error.fields:
            body["fields"] = error.fields
        if error is not None and error.retry_after_seconds is not None:
            body["retry_after_seconds"] = error.retry_after_seconds
        click.echo(json.dumps({"error": body}, ensure_ascii=False), err=True)
        return
    click.echo(f"{click.style('error:', fg='red', bold=True)} {message}", err=True)
    for name, problem in error.fields.items() if error is not None else ():
        click.echo(f"  {name}: {problem}", err=True)


def _debug_traceback() -> None:
    if os.environ.get("HEALTHCODE_DEBUG") == "1":
        traceback.print_exc()
