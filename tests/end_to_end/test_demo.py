"""`make demo` as a whole: real commands, real processes, mTLS between them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.world.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "examples.demo"]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_step_goes_as_told_and_nothing_is_left(tmp_path: Path) -> None:
    """Every step of the demo is as expected, it ends with 0, and no process remains."""
    folder, told = tmp_path / "demo", tmp_path / "steps.json"
    done = subprocess.run(
        # a tenth of the people: the rest would be holder tags, a core for half a minute
        [*DEMO, "--folder", str(folder), "--json", str(told), "--holders", "100"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    report = json.loads(told.read_text())
    steps = report["steps"]
    wrong = [step for step in steps if not step["as_expected"]]
    assert wrong == []
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(steps) >= 18
    assert [pid for pid in report["processes"] if _alive(pid)] == []


@pytest.mark.timeout(900)
def test_ctrl_c_leaves_nothing_running(tmp_path: Path) -> None:
    """Interrupted while services run, the demo stops them and ends with 130."""
    folder, told = tmp_path / "demo", tmp_path / "steps.json"
    demo = subprocess.Popen(
        [*DEMO, "--folder", str(folder), "--json", str(told)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        # a ceremony comes before; a demo that hangs ends with an error of its own
        while not (folder / "pids").exists():
            assert demo.poll() is None, "the demo ended before it started anything"
            time.sleep(0.1)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(2 * PATIENCE_SECONDS) == 130
        report = json.loads(told.read_text())
        assert report["processes"], "nothing was running when it was interrupted"
        assert [pid for pid in report["processes"] if _alive(pid)] == []
    finally:
        demo.kill()
        demo.wait()
