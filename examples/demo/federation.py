"""The test realm of the demo: folders, keys, approvals and processes, made by the real commands.

Each party has its folder under `root`. Only the files that commands carry pass between them.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from examples.demo.caller import Credentials, channel
from examples.demo.patience import Attempts
from examples.demo.ports import free_ports
from examples.demo.process import CommandError, Completed, Service, run
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.development_ca import issue_leaf
from healthcode.rpc.mtls.tls_files import CertifiedKey

REALM = "test-demo"
PARTICIPANTS = {"00": "the national platform", "11": "Beijing", "31": "Shanghai", "44": "Guangdong"}
REGISTRY, GATEWAY = "registry", "gateway"
LABORATORY, TRACING = "laboratory", "tracing"
SOURCES = {LABORATORY: ("TEST",), TRACING: ("CONTACT", "AREA_STAY")}
PIDS = "pids"
PUBLISHED_WITHIN_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Ports:
    """The listeners of all services, on 127.0.0.1."""

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
    """`port` on this machine, in the form that commands take."""
    return f"127.0.0.1:{port}"


@dataclass(slots=True)
class Federation:
    """A registry, a gateway and a node for each participant, in folders under `root`."""

    root: Path
    participants: tuple[str, ...] = tuple(PARTICIPANTS)
    services: dict[str, Service] = field(default_factory=dict)
    fingerprint: str = ""
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
        """The folder of a participant's offline keys. In real life this is another machine."""
        return self.root / f"authority-{code}"

    def source(self, code: str, name: str) -> Path:
        """The folder of a participant's source of evidence."""
        return self.root / f"{name}-{code}"

    @property
    def old_files(self) -> Path:
        """A copy of the registry's files from before the nodes published anything."""
        return self.root / "old-files"

    def registry_command(self, name: str, *arguments: str | Path, status: int | None = 0) -> Completed:
        """`trust-registry NAME` in the registry's folder."""
        return run("trust-registry", name, *arguments, "--dir", self.registry, status=status)

    def node_command(
        self, code: str, name: str, *arguments: str | Path, status: int | None = 0, stdin: str = ""
    ) -> Completed:
        """`province-node NAME` in a participant's folder."""
        return run("province-node", name, "--dir", self.node(code), *arguments, status=status, stdin=stdin)

    def set_up(self, say: Callable[[str], None]) -> None:
        """Starts a federation from nothing. Raises CommandError, which names the failed command."""
        say("The gateway makes its certificate, and the registry holds its root ceremony …")
        self._found()
        self.start(REGISTRY)
        say(f"{len(self.participants)} participants make offline and online keys, and ask to join …")
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._join, self.participants))
        say("Two operators approve them …")
        for operator in ("operator-1", "operator-2"):
            self.approve(operator, *self.participants)
        shutil.copytree(self.registry / "repository", self.old_files)
        say("Everybody starts …")
        self.start(GATEWAY, *self.participants)
        say("Each publishes its first revocation head …")
        self._wait_published()
        self.complete = True

    def approve(self, operator: str, *requests: str, status: int = 0) -> Completed:
        """One operator approves requests to join."""
        return self.registry_command("approve", *requests, *self._signing(operator), status=status)

    def set_areas(self, operator: str, file: Path) -> Completed:
        """One operator approves a file of area risk."""
        return self.registry_command("areas", "set", file, *self._signing(operator))

    def _signing(self, operator: str) -> tuple[str | Path, ...]:
        ceremony = self.registry / "ceremony"
        key = ("--key", ceremony / f"{operator}.key", "--passphrase-file", ceremony / "passphrase")
        return (*key, "--yes", "--json")

    def _found(self) -> None:
        ports, ca = self.ports, self.gateway / "tls" / "ca.pem"
        gateway = ("healthcode-gateway", "init", "--dir", self.gateway)
        run(*gateway, "--realm", REALM, "--listen", here(ports.gateway),
            "--metrics-listen", "off", "--development")  # fmt: skip
        founded = self.registry_command(
            "init", "--realm", REALM, "--development", "--json",
            "--listen", here(ports.registry), "--public-listen", here(ports.registry_public),
            "--gateway-ca", ca, "--gateway-endpoint", here(ports.gateway), "--metrics-listen", "off",
        )  # fmt: skip
        self.fingerprint = founded.json()["root_fingerprint"]
        run(*gateway, *self._registry_options())
        self._add(REGISTRY, "trust-registry", self.registry, ports.registry, ports.registry_public)
        self._add(GATEWAY, "healthcode-gateway", self.gateway, ports.gateway)

    def _join(self, code: str) -> None:
        """Initialises a participant, up to the request that the operators will see."""
        ports, offline = self.ports, self.authority(code)
        run("province-node", "authority", "init", "--dir", offline, "--participant", code, "--realm", REALM,
            "--keys", "3", "--threshold", "2", "--development")  # fmt: skip
        self.node_command(
            code, "init", "--participant", code, "--realm", REALM, "--development", *self._registry_options(),
            "--listen", here(ports.node[code]), "--issuer-listen", here(ports.issuer[code]),
            "--metrics-listen", "off",
        )  # fmt: skip
        self.node_command(code, "join", "--bundle", self.sign(code))
        if code in {"00", "31"}:
            for source, kinds in SOURCES.items():
                self._register(code, source, kinds)
        self._add(code, "province-node", self.node(code), ports.node[code], ports.issuer[code])

    def _register(self, code: str, source: str, kinds: Sequence[str]) -> None:
        """Lets a source send evidence to a participant."""
        options = [word for kind in kinds for word in ("--kind", kind)]
        run("province-node", "source", "add", "--dir", self.node(code), source, "--unit", source,
            "--development", self.source(code, source), *options)  # fmt: skip

    def _wait_published(self) -> None:
        """Waits for the first head. Before it a node issues no code, because no list would cover it (NOT_COVERED)."""
        attempts = Attempts(PUBLISHED_WITHIN_SECONDS, pause_seconds=1)  # which a command takes, more or less
        while True:
            told = self.registry_command("status", "--json").json()["participants"]
            silent = [each["participant"] for each in told if not each["live_version"]]
            if not silent:
                return
            if not attempts.another():
                raise CommandError(
                    f"{', '.join(silent)} published no revocation head in {attempts.seconds:.0f} s"
                )

    def sign(self, code: str) -> Path:
        """Two of the authority's three keys sign the node's request. Returns the bundle to carry back."""
        offline, bundle = self.authority(code), self.authority(code) / "bundle.json"
        keys = ("--key", offline / "authority-1.key", "--key", offline / "authority-2.key")
        request = self.node(code) / "request.json"
        run(
            "province-node",
            "authority",
            "sign",
            "--dir",
            offline,
            "--request",
            request,
            *keys,
            "--out",
            bundle,
            "--yes",
        )
        return bundle

    def join_again(self, code: str) -> Completed:
        """Another authority signs for the same participant and asks to be admitted."""
        rival = f"{code}-rival"
        offline = self.authority(rival)
        shutil.copytree(self.node(code), self.node(rival), ignore=shutil.ignore_patterns("trust", "node.db*"))
        run("province-node", "authority", "init", "--dir", offline, "--participant", code, "--realm", REALM,
            "--keys", "3", "--threshold", "2", "--development")  # fmt: skip
        return self.node_command(rival, "join", "--bundle", self.sign(rival), "--json", status=None)

    def begin_client(self, folder: Path) -> None:
        """Starts a trust folder from the registry for a client without a node."""
        _, endpoint, _, ca, *fingerprint = self._registry_options()
        run(
            "healthcode",
            "trust",
            "init",
            "--dir",
            folder,
            "--source",
            f"grpcs://{endpoint}",
            "--ca",
            ca,
            *fingerprint,
        )

    def _registry_options(self) -> tuple[str | Path, ...]:
        return (
            "--registry", here(self.ports.registry_public), "--registry-ca", self.registry / "tls" / "ca.pem",
            "--root-fingerprint", self.fingerprint,
        )  # fmt: skip

    def _add(self, name: str, command: str, folder: Path, *ports: int) -> None:
        log = self.root / f"{name}.log"
        self.services[name] = Service(name, (command, "serve", "--dir", folder), ports, log)

    def start(self, *names: str) -> None:
        """Starts services together. Returns when each of them answers."""
        for name in names:
            self.services[name].launch()
        self._write_pids()
        for name in names:
            self.services[name].wait_ready()

    def stop(self, *names: str) -> None:
        """Stops services: signals all of them first, then waits."""
        for name in names:
            self.services[name].tell_to_stop()
        for name in names:
            self.services[name].stop()
        self._write_pids()

    def stop_all(self) -> None:
        """Stops every running service."""
        self.stop(*self.services)

    def rotate(self, code: str, purpose: str) -> None:
        """Makes a new key of a purpose at the node, has the authority sign it, and publishes it."""
        run("province-node", "keys", "rotate", "--dir", self.node(code), "--purpose", purpose)
        self.node_command(code, "publish", "--bundle", self.sign(code))

    def credentials(self, code: str, role: str) -> Credentials:
        """The certificate that a participant gave to its `integrator` or `issuer`."""
        tls = self.node(code) / "tls"
        return Credentials(tls / "ca.pem", tls / f"{role}.pem", tls / f"{role}.key")

    def integrator(self, code: str) -> AbstractContextManager[grpc.Channel]:
        """A channel to a node as one of its integrators."""
        return channel(
            self.ports.node[code], f"province-{code}.healthcode", self.credentials(code, "integrator")
        )

    def back_end(self, code: str) -> AbstractContextManager[grpc.Channel]:
        """A channel to a node's issuer listener as the province's back end."""
        return channel(
            self.ports.issuer[code], f"province-{code}.healthcode", self.credentials(code, "issuer")
        )

    def impostor(self, code: str, name: str) -> Credentials:
        """A certificate in another participant's name, made by this participant's CA."""
        tls = self.node(code) / "tls"
        authority = CertifiedKey((tls / "ca.pem").read_bytes(), (tls / "ca.key").read_bytes())
        peer = PeerId(REALM, PeerKind.PROVINCE, name)
        certificate, key = self.root / "impostor.pem", self.root / "impostor.key"
        issue_leaf(authority, peer, days=1, now=int(time.time())).write(certificate, key)
        return Credentials(self.registry / "tls" / "ca.pem", certificate, key)

    @property
    def processes(self) -> list[int]:
        """The ids of all processes that were started here."""
        return [pid for service in self.services.values() for pid in service.started]

    def _write_pids(self) -> None:
        running = [each for each in self.services.values() if each.process is not None and each.running]
        lines = [f"{each.started[-1]} {each.name}\n" for each in running]
        (self.root / PIDS).write_text("".join(lines))
