"""Shared by all commands: exit statuses, error messages, `--json`, help with examples.

No command prints a traceback unless HEALTHCODE_DEBUG=1.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib
import io
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

import healthcode.rpc  # noqa: F401  sets grpc's log level, which must precede any import of grpc
from healthcode.cli.service_folder import ServiceFolder
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
EXIT_INTERRUPTED = 130  # Ctrl-C, as in shells

_NO_ANSWER = "the prompt got no answer: run the command in a terminal, or see --help for the options that replace prompts"

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Examples(click.Command):
    """Prints `examples` (one command a line; `#` starts a comment) unwrapped at the end of --help."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = [line.strip() for line in examples.strip().splitlines()]

    def get_short_help_str(self, limit: int = 45) -> str:  # noqa: ARG002  the list of commands wraps instead of truncating
        return super().get_short_help_str(10_000)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class Command(_Examples):
    """A click command with `examples`. With a `ServiceFolder` it runs as that folder's owner."""

    def invoke(self, ctx: click.Context) -> Any:
        with contextlib.ExitStack() as stack:
            for option in self.params:
                if isinstance(option, ServiceFolder):
                    stack.enter_context(option.as_owner(ctx.params[str(option.name)]))
            return super().invoke(ctx)


class CommandGroup(_Examples, click.Group):
    """A click group with `examples`, whose commands are `Command`s.

    `lazy` maps a command's name to `module:function`, which is imported only when that command
    runs: imports of the other commands would dominate its start-up time.
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
            assert isinstance(command, click.Command)  # noqa: S101  `lazy` names only commands
            self.add_command(command, cmd_name)
        return super().get_command(ctx, cmd_name)


CommandGroup.group_class = CommandGroup


def json_option(function: _Function) -> _Function:
    """Adds `--json`, passed to the function as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(function)


def run(command: click.Command, arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command and ends the process with its exit status.

    A HealthcodeError is printed as one line on standard error (with `--json`, as an object
    {"error": {"reason", "message", …}}). Any other exception is printed as one line with an
    incident id; the exit status is then 70.
    """
    args = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in args
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a character gets its escape
            with contextlib.suppress(OSError):  # a stream that was exchanged below Python
                stream.reconfigure(errors="backslashreplace")
    try:
        status = command.main(args=args, standalone_mode=False)
    except click.exceptions.Exit as error:
        status = error.exit_code
    except click.Abort as error:
        # click raises Abort from the original exception
        original = error.__cause__ or error.__context__
        _print_error(_NO_ANSWER if isinstance(original, EOFError) else "stopped", "ABORTED", as_json=as_json)
        status = EXIT_INTERRUPTED if isinstance(original, KeyboardInterrupt) else EXIT_REFUSED
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
        # the reader closed the pipe, as `| head` does: write nothing more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except Exception as error:  # noqa: BLE001  the outermost handler: any other exception is our fault
        _debug_traceback()
        incident = secrets.token_hex(4)
        where = "run again with HEALTHCODE_DEBUG=1 and report the traceback"
        if structlog.is_configured():  # a service writes the traceback to its log
            get_logger("command").error("fault", incident=incident, exc_info=error)
            where = "report the log entry with this id"
        message = f"a fault of ours ({type(error).__name__}, incident {incident}): {where}"
        _print_error(message, "INTERNAL", as_json=as_json)
        status = EXIT_FAULT
    sys.exit(status if isinstance(status, int) else 0)


def exit_with(status: int) -> NoReturn:
    """Ends the command with this exit status, after its result has been printed."""
    raise click.exceptions.Exit(status)


def ask_secret(
    what: str, *, new: bool = False, instead: str = "", check: Callable[[str], None] | None = None
) -> str:
    """Prompts for a secret without echo; twice if it is `new`, and again while `check` raises InvalidInputError.

    Raises ConfigurationError if there is no terminal; `instead` says what to do then.
    """

    def checked(text: str) -> str:
        if check is not None:
            try:
                check(text)
            except InvalidInputError as error:
                raise click.UsageError(error.message) from None
        return text

    with warnings.catch_warnings():
        # without a terminal getpass only warns, and then reads standard input, which may hold other data
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return str(
                click.prompt(what, hide_input=True, confirmation_prompt=new, err=True, value_proc=checked)
            )
        except getpass.GetPassWarning:
            raise ConfigurationError(
                f"there is no terminal to prompt for the {what}: {instead or 'run the command in one'}"
            ) from None


def error_console() -> Console:
    """Standard error, for progress and remarks; standard output carries only the result."""
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
    """Prints a result: as JSON with --json, else as rendered by `table`."""
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
