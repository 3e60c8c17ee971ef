"""What tests/conftest.py does for every process that a test starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SCRIPT = """
import json, os, signal, subprocess, sys
from tests.conftest import stand_alone
stand_alone()
child = "import json, os, signal, time; print(json.dumps([signal.getsignal(2) is signal.default_int_handler, signal.getsignal(1) is signal.SIG_DFL, os.umask(0), time.tzname[0], sorted(n for n in os.environ if 'proxy' in n.lower())]))"
sys.stdout.write(subprocess.check_output([sys.executable, "-c", child], text=True))
"""


def test_a_child_inherits_nothing_of_the_caller() -> None:
    """Started with SIGINT and SIGHUP ignored, a proxy, a far time zone and a umask, a child sees none of them."""

    def hostile() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.umask(0o077)

    environment = {**os.environ, "https_proxy": "http://127.0.0.1:1", "TZ": "Asia/Urumqi"}
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env=environment,
        preexec_fn=hostile,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(told.stdout) == [True, True, 0o022, "UTC", []]
