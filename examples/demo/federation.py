"""The test realm of the demo: folders, keys, approvals and processes, made by the real commands.

What stands here is what an operator would type. Every party has its folder under
`root`; nothing passes between them but the files that the commands carry across.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from examples.demo.process import Completed, Service, free_ports, run

REALM = "test-demo"
PARTICIPANTS = {"00": "the national platform", "11": "Beijing", "31": "Shanghai", "44": "Guangdong"}
REGISTRY, GATEWAY = "registry", "gateway"
PIDS = "pids"


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


def here(port: int) -> str:
    """`port` on this machine, as the commands take it."""
    return f"127.0.0.1:{port}"


@dataclass(slots=True)
class Federation:
    """A registry, a gateway and a node for each participant, in folders under `root`."""

    root: Path
    participants: tuple[str, ...] = tuple(PARTICIPANTS)
    services: dict[str, Service] = field(default_factory=dict)
    complete: bool = False
    ports: Ports = field(init=False)

    def __post_init__(self) -> None:
        self.ports = draw_ports(self.participants)

    @property
    def registry(self) -> Path:
        return self.root / REGISTRY

    @property
    def gateway(self) -> Path:
        return self.root / GATEWAY

    def node(self, code: str) -> Path:
        """The folder of a participant's node."""
        return self.root / f"node-{code}"

    def authority(self, code: str) -> Path:
        """The folder of a participant's offline keys: another machine, in real life."""
        return self.root / f"authority-{code}"

    def registry_command(self, name: str, *arguments: str | Path, status: int | None = 0) -> Completed:
        """`trust-registry NAME` in the registry's folder."""
        return run("trust-registry", name, "--dir", self.registry, *arguments, status=status)

    def node_command(
        self, code: str, name: str, *arguments: str | Path, status: int | None = 0, stdin: str = ""
    ) -> Completed:
        """`province-node NAME` in a participant's folder."""
        return run("province-node", name, "--dir", self.node(code), *arguments, status=status, stdin=stdin)

    def set_up(self, say: Callable[[str], None]) -> None:
        """From nothing to a federation that runs. Raises CommandError naming the command that failed."""
        say("The gateway makes its certificate; the registry holds its root ceremony …")
        self._init_gateway()
        self._init_registry()
        self.start(REGISTRY)
        say(f"{len(self.participants)} participants make their offline and online keys, and ask to join …")
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._join, self.participants))
        for code in self.participants:
            say(f"Two operators approve {PARTICIPANTS.get(code, code)} …")
            self._approve(code)
        say("Everybody starts …")
        self.start(GATEWAY, *self.participants)
        self.complete = True

    def start(self, *names: str) -> None:
        """Starts services together, and returns when each of them answers."""
        for name in names:
            self.services[name].launch()
        self._write_pids()
        for name in names:
            self.services[name].wait_ready()

    def stop(self, *names: str) -> None:
        """Stops services, in this order."""
        for name in names:
            self.services[name].stop()
        self._write_pids()

    def stop_all(self) -> None:
        """Stops whatever runs: all told at once, then waited for."""
        for service in self.services.values():
            service.tell_to_stop()
        self.stop(*self.services)

    @property
    def processes(self) -> list[int]:
        """The ids of all processes that were ever started here."""
        return [pid for service in self.services.values() for pid in service.started]

    def _write_pids(self) -> None:
        running = [each for each in self.services.values() if each.process is not None and each.running]
        lines = [f"{each.started[-1]} {each.name}\n" for each in running]
        (self.root / PIDS).write_text("".join(lines))
