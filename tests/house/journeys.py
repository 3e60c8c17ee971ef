"""Traces the tests of tests/journeys and counts the modules that each journey passes."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import pytest

from tests.house.source import PRODUCT

_GENERATORS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


@dataclass
class Trace:
    """Modules of the product in the order of their first call, and calls into one that was entered before.

    A call counts when the caller is another module of the product; a resumed coroutine is not a call.
    """

    modules: list[str] = field(default_factory=list)
    returns: int = 0


class Journeys:
    """A pytest plugin. `traces` has one trace for each test, by the test's name."""

    def __init__(self, root: Path) -> None:
        self._prefixes = tuple(f"{root / top}/" for top in PRODUCT)
        self._root = root
        self.traces: dict[str, Trace] = {}
        self.failed = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        trace = self.traces[item.name] = Trace()
        with self._traced(trace):
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed

    @contextmanager
    def _traced(self, trace: Trace) -> Iterator[None]:
        resumed: set[FrameType] = set()

        def profile(frame: FrameType, event: str, _argument: object) -> None:
            path = frame.f_code.co_filename
            if event != "call" or not path.startswith(self._prefixes) or frame.f_code.co_name == "<module>":
                return
            if frame.f_code.co_flags & _GENERATORS:
                if frame in resumed:
                    return
                resumed.add(frame)
            self._count(trace, frame, path)

        threading.setprofile(profile)
        sys.setprofile(profile)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]  # None ends it, as sys.setprofile

    def _count(self, trace: Trace, frame: FrameType, path: str) -> None:
        caller = frame.f_back
        while caller is not None and not caller.f_code.co_filename.startswith(self._prefixes):
            caller = caller.f_back
        if caller is not None and caller.f_code.co_filename == path:
            return
        name = Path(path).relative_to(self._root).as_posix()
        if name in trace.modules:
            trace.returns += 1
        else:
            trace.modules.append(name)


def trace_journeys(root: Path) -> dict[str, Trace]:
    """Runs the four tests in this process. Raises RuntimeError when one fails."""
    journeys = Journeys(root)
    arguments = ["-q", "-p", "no:randomly", "-p", "no:xdist", str(root / "tests/journeys")]
    if pytest.main(arguments, plugins=[journeys]) != 0 or journeys.failed:
        raise RuntimeError("a journey failed: run `pytest tests/journeys`")
    return journeys.traces
