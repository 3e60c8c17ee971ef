"""Tests depend on nothing that they inherit: signals, environment, time zone, umask, limits."""

from __future__ import annotations

import gc
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

_INHERITED_PREFIXES = ("GRPC_", "HEALTHCODE_", "LC_", "PYTHON")
_INHERITED = (
    "CREDENTIALS_DIRECTORY",
    "COLUMNS",
    "FORCE_COLOR",
    "INVOCATION_ID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "NO_COLOR",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
)
_OPEN_FILES = 4096
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 2 * 2**30


def stand_alone() -> None:
    """Puts this process, and so each that it starts, into one known state."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(_INHERITED_PREFIXES) or name in _INHERITED:
            del os.environ[name]
    os.environ |= {"LANG": "C.UTF-8", "TZ": "UTC"}
    # eighty thousand small files are made and removed, which costs a disk a fifth of the whole time
    if _is_roomy(_MEMORY):
        os.environ["TMPDIR"] = str(_MEMORY)
        tempfile.tempdir = None  # found again, from TMPDIR
    time.tzset()
    sys.dont_write_bytecode = False  # else each worker and each service compiles everything
    os.umask(0o022)
    # `nohup make test &` ignores both, and a process that is started inherits that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _is_roomy(folder: Path) -> bool:
    if not os.access(folder, os.W_OK) or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return False
    return shutil.disk_usage(folder).free >= _MEMORY_BYTES


stand_alone()
gc.disable()  # until all tests are collected: they stay, and looking through them takes a third of that time
# a slow example says that the machine is busy, and nothing of what is tested
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


# files whose tests wait for other processes begin first, so that no worker is left with one of them at the end
_FIRST = ("tests/end_to_end", "tests/integration/province_node", "tests/federation", "tests/fault")
_SECOND = ("tests/attack", "tests/contract", "tests/integration")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        return 0 if item.nodeid.startswith(_FIRST) else 1 if item.nodeid.startswith(_SECOND) else 2

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.geteuid() != 0:
        terminalreporter.write_line("not root: the rule for owners of files was tested with one user alone")
