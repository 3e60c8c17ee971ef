"""A log whose reader stops reading never stops the service."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from healthcode.log_writer import LogWriter
from tests.world.waiting import PATIENCE_SECONDS, wait_until

SCRIPT = """
from healthcode.telemetry import configure_logging, get_logger
configure_logging("test")
for number in range(12_000):
    get_logger("test").info("event", number=number, filling="x" * 100)
print("done", flush=True)
"""


def record(number: int) -> logging.LogRecord:
    return logging.LogRecord("test", logging.INFO, "", 0, f"line {number}", None, None)


@pytest.fixture
def pipe():
    read, write = os.pipe()
    with os.fdopen(read) as reader, os.fdopen(write, "w"):
        yield reader, write


def test_lines_are_written_in_their_order(tmp_path: Path) -> None:
    """`flush` waits for all of them."""
    with (tmp_path / "log").open("w") as file:
        writer = LogWriter(file.fileno())
        for number in range(1000):
            writer.emit(record(number))
        writer.flush()
    assert (tmp_path / "log").read_text().splitlines() == [f"line {number}" for number in range(1000)]
    assert writer.dropped == 0


def test_a_reader_that_stops_costs_lines_and_no_time(pipe) -> None:
    """What does not fit is dropped and counted; the log says so when it is read again."""
    reader, write = pipe
    writer = LogWriter(write, max_lines=100)
    for number in range(50_000):
        writer.emit(record(number))
    assert writer.dropped > 10_000
    told = ""

    def is_told() -> bool:
        nonlocal told
        told += reader.readline()
        return "log_lines_dropped" in told

    wait_until(is_told, pause_seconds=0)
    reader.close()  # what is left fails at once
    writer.flush()


def test_a_process_ends_though_nobody_reads_its_log() -> None:
    """Also its end does not wait for the reader for ever."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        assert process.wait(PATIENCE_SECONDS) == 0
