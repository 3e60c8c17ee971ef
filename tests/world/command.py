"""Runs a command in this process, since a process of its own costs a second."""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest

from healthcode.cli.console import run

__all__ = ["Done", "run_command_here", "run_here"]


_STREAMS = threading.Lock()
"""The standard streams are the process's, so that one command runs at a time."""


@dataclass(frozen=True)
class Done:
    """A command's exit status and output."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def run_here(cli: click.Command, *arguments: str | Path, stdin: bytes = b"") -> Done:
    """Runs a command with `stdin` on its standard input; a traceback is never right."""
    with _STREAMS:
        return _run_here(cli, arguments, stdin)


def _run_here(cli: click.Command, arguments: Sequence[str | Path], stdin: bytes) -> Done:
    out, err, given = io.StringIO(), io.StringIO(), sys.stdin
    handlers = logging.getLogger().handlers[:]
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            run(cli, [str(argument) for argument in arguments])
    finally:
        sys.stdin = given
        logging.getLogger().handlers[:] = handlers
    assert "Traceback" not in err.getvalue(), err.getvalue()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def run_command_here(
    module: str, *arguments: str | Path, keyboard: str = ""
) -> subprocess.CompletedProcess[str]:
    """`python -m module …` without a process: for commands whose own process is not what is tested."""
    cli = importlib.import_module(f"{module}.__main__").cli
    call = partial(run_here, cli, *arguments, stdin=keyboard.encode())
    if not _has_running_loop():  # `serve` sets signal handlers, which needs the main thread
        done = call()
    else:  # commands run an event loop of their own
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(call).result()
    return subprocess.CompletedProcess([module, *arguments], done.status, done.out, done.err)


def _has_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
