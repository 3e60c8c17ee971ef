"""The log of a service that runs in the test's process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

from healthcode.telemetry import configure_logging

__all__ = ["json_log"]


@contextmanager
def json_log(service: str = "test") -> Iterator[StringIO]:
    """Configures the process's log into memory; at the end of the block it is as before."""
    root, stream = logging.getLogger(), StringIO()
    handlers, level = root.handlers[:], root.level
    try:
        configure_logging(service, stream=stream)
        yield stream
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
