"""Waits of the demo end when nothing moves, and not because a machine is slow."""

from __future__ import annotations

import itertools
import os
import sys

import pytest

from examples.demo import process
from examples.demo.patience import Attempts, Patience, cpu_seconds
from examples.demo.process import CommandError, run


def test_patience_ends_when_nothing_moves_or_after_the_total() -> None:
    """A wait goes on while its progress changes, and ends without progress or after the total time."""
    moving = itertools.count()
    assert not Patience(lambda: next(moving), idle_seconds=0).is_over
    assert Patience(lambda: 1, idle_seconds=0).is_over
    assert Patience(lambda: next(moving), total_seconds=0).is_over


def test_a_slow_machine_makes_as_many_attempts_as_a_quick_one() -> None:
    """Time alone does not end attempts: as many are made as fit into it on a quiet machine."""
    attempts = Attempts(0.01, pause_seconds=0.001)
    made = sum(1 for _ in iter(attempts.another, False))
    assert made >= 10
    assert attempts.seconds > 0.01


def test_cpu_time_is_progress() -> None:
    """The CPU time of a process that works grows."""
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) == before:
        sum(range(10_000))


def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """A command without progress is killed, and the error names it."""

    class Impatient(Patience):
        def __init__(self, progress) -> None:
            super().__init__(progress, idle_seconds=0, total_seconds=0)

    (tmp_path / "sleeper").symlink_to("/bin/sleep")
    monkeypatch.setattr(process, "COMMANDS", tmp_path)
    monkeypatch.setattr(process, "Patience", Impatient)
    with pytest.raises(CommandError, match="`sleeper 60` hangs"):
        run("sleeper", "60")
    monkeypatch.setattr(process, "Patience", Patience)
    (tmp_path / "python").symlink_to(sys.executable)
    assert run("python", "-c", "print(input())", stdin="said\n").out == "said\n"
