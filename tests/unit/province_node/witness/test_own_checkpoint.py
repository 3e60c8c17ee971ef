"""How often this province's own checkpoint is made."""

from __future__ import annotations

from healthcode.audit.checkpoint import Checkpoint
from province_node.witness.own_checkpoint import OwnCheckpoint


class Log:
    """A log that grows by a block at each checkpoint, and counts them."""

    def __init__(self) -> None:
        self.size = 0

    def checkpoint(self, now: int) -> Checkpoint | None:
        self.size += 256
        return None if self.size == 256 else Checkpoint(b"L" * 16, self.size, b"r" * 32)


def test_a_head_a_second_makes_one_checkpoint_in_the_interval() -> None:
    """Heads in between carry the same one; an empty log is asked each time, and a clock that was set back does not stop it."""
    log = Log()
    own = OwnCheckpoint(log, 300)
    assert own.at(1000) is None
    sizes = [found.size for now in (1000, 1001, 1299, 1300, 1301, 900, 901) if (found := own.at(now))]
    assert sizes == [512, 512, 512, 768, 768, 1024, 1024]
