"""The test realm of the demo: folders, keys, approvals and processes, made by the real commands.

What stands here is what an operator would type. Every party has its folder under
`root`; nothing is shared between them but what the commands carry across.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from examples.demo.process import Completed, Service, free_ports, run

REALM = "test-demo"
PARTICIPANTS = {"00": "the national platform", "11": "Beijing", "31": "Shanghai", "44": "Guangdong"}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everybody listens, all on 127.0.0.1."""

    registry: int
    registry_public: int
    gateway: int
    node: Mapping[str, int]
    issuer: Mapping[str, int]


def draw_ports(participants: Sequence[str]) -> Ports:
    """Free ports for a federation of these participants."""
    drawn = iter(free_ports(3 + 2 * len(participants)))
    return Ports(
        registry=next(drawn),
        registry_public=next(drawn),
        gateway=next(drawn),
        node={code: next(drawn) for code in participants},
        issuer={code: next(drawn) for code in participants},
    )


@dataclass(slots=True)
class Federation:
    """A registry, a gateway and a node for each participant, in folders under `root`."""

    root: Path
    participants: tuple[str, ...] = tuple(PARTICIPANTS)
    outlives_us: bool = False
    services: dict[str, Service] = field(default_factory=dict)
    ports: Ports = field(init=False)

    def __post_init__(self) -> None:
        self.ports = draw_ports(self.participants)

    @property
    def registry(self) -> Path:
        return self.root / "registry"

    @property
    def gateway(self) -> Path:
        return self.root / "gateway"

    def node(self, code: str) -> Path:
        """The folder of a participant's node."""
        return self.root / f"node-{code}"

    def authority(self, code: str) -> Path:
        """The folder of a participant's offline keys: another machine, in real life."""
        return self.root / f"authority-{code}"
