"""`python -m examples.demo --stop`: what `--keep` left up goes, with its folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

from rich.console import Console

from examples.demo.__main__ import stop_kept
from examples.demo.federation import PIDS
from tests.world.waiting import PATIENCE_SECONDS


def test_a_kept_federation_is_stopped_and_removed(tmp_path: Path) -> None:
    """Each process that the folder names ends, one that ended long ago is no error, and the folder goes."""
    folder = tmp_path / "kept"
    folder.mkdir()
    gone = subprocess.Popen(["true"], start_new_session=True)
    gone.wait()
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as running:
        (folder / PIDS).write_text(f"{running.pid} registry\n{gone.pid} gateway\n")
        assert stop_kept(folder, Console(quiet=True), patience_seconds=0.2) == 0
        assert running.wait(PATIENCE_SECONDS) < 0
    assert not folder.exists()


def test_a_folder_without_a_federation_is_left_alone(tmp_path: Path) -> None:
    """A folder that is no kept federation is refused, and stays."""
    (tmp_path / "letter.txt").write_text("dear reader")
    assert stop_kept(tmp_path, Console(quiet=True)) == 2
    assert (tmp_path / "letter.txt").exists()
