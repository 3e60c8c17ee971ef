"""A federation of real processes over mTLS: registry, gateway, Shanghai (31) and Guangdong (44)."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from healthcode.clock import SystemClock
from healthcode.signing.keyfile import read_key_file
from healthcode.trust.verify.join_request import encode_join_request
from healthcode.v1 import province_issuer_pb2, province_node_pb2, verdict_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from healthcode.v1.province_node_pb2_grpc import ProvinceNodeServiceStub
from province_node.authority.authority import Authority
from province_node.authority.request import decode_request
from province_node.cli.connection import back_end, integrator
from province_node.keys.setup import NodePlan, create_node
from province_node.settings import NodeSettings, load_node_settings
from tests.simulator.process import Service, free_ports, init_registry, run_to_end, start_service
from tests.world.command import run_command_here
from tests.world.people import item
from tests.world.waiting import PATIENCE_SECONDS

REALM = "test-node"
_PASSPHRASE = b"authority"


@dataclass
class Federation:
    """Folders and processes; `start` and `stop` work on one service each."""

    root: Path
    ports: Sequence[int]
    stacks: dict[str, ExitStack] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    user: int | None = None
    """Who the services run as from their next start, if root runs the tests."""

    def node(self, code: str) -> Path:
        return self.root / f"node-{code}"

    def settings(self, code: str) -> NodeSettings:
        return load_node_settings(self.node(code))

    def start(self, name: str) -> None:
        """Starts "registry", "gateway" or a participant's node, and waits until it serves on all ports."""
        module, folder, ready = {
            "registry": ("trust_registry", self.root / "registry", '"listening"'),
            "gateway": ("gateway", self.root / "gateway", '"listening"'),
        }.get(name, ("province_node", self.node(name), "is serving"))
        stack = ExitStack()
        log = self.root / f"{name}-{uuid.uuid4().hex[:6]}.log"
        self.services[name] = stack.enter_context(
            start_service(module, "serve", "--dir", folder, log=log, ready=ready, user=self.user)
        )
        self.stacks[name] = stack

    def stop(self, name: str) -> int:
        """SIGTERM; the exit status."""
        status = self.services[name].stop()
        self.stacks.pop(name).close()
        return status

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.services[name].kill()
        self.stacks.pop(name).close()

    def close(self) -> None:
        for stack in self.stacks.values():
            stack.close()

    def sign(self, code: str) -> Path:
        """The authority signs the node's request.json; the file that it gives back."""
        folder = self.root / f"authority-{code}"
        now = SystemClock().now()
        if not folder.exists():
            Authority.create(
                folder,
                participant=code,
                realm=REALM,
                passphrases=[_PASSPHRASE] * 2,
                threshold=2,
                now=now,
                development=True,
            )
        authority = Authority.open(folder)
        keys = [read_key_file(path, _PASSPHRASE).private for path in sorted(folder.glob("*.key"))]
        request = decode_request((self.node(code) / "request.json").read_bytes())
        bundle = authority.sign(authority.begin(request, now=now), keys, now=now)
        path = self.root / f"bundle-{code}-{request.version}.json"
        path.write_bytes(encode_join_request(bundle))
        return path

    def command(self, code: str, *arguments: str | Path, status: int = 0, keyboard: str = "") -> Any:
        """Runs `province-node …` for a node with --json; its output as data."""
        done = run_command_here(
            "province_node", *arguments, "--dir", self.node(code), "--json", keyboard=keyboard
        )
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else json.loads(done.stderr)

    # what integrators and back ends do

    @asynccontextmanager
    async def ask(self, code: str) -> AsyncIterator[Any]:
        async with integrator(self.node(code), self.settings(code)) as channel:
            yield ProvinceNodeServiceStub(channel)

    @asynccontextmanager
    async def order(self, code: str) -> AsyncIterator[Any]:
        async with back_end(self.node(code), self.settings(code)) as channel:
            yield ProvinceIssuerServiceStub(channel)

    async def issue(self, code: str = "31", **changes: object) -> province_issuer_pb2.IssuedCode:
        async with self.order(code) as stub:
            request = province_issuer_pb2.IssueCodeRequest(request_id=str(uuid.uuid4()), item=item(**changes))
            response = await stub.IssueCode(request, timeout=PATIENCE_SECONDS)
        return response.issued

    async def verify(self, text: str, code: str = "44") -> verdict_pb2.Verdict:
        async with self.ask(code) as stub:
            response = await stub.Verify(
                province_node_pb2.VerifyRequest(
                    item=province_node_pb2.VerifyItem(code=text, place_type="PLACE_TYPE_OTHER")
                ),
                timeout=PATIENCE_SECONDS,
            )
        return response.verdict


@contextmanager
def open_federation(
    root: Path,
    codes: Sequence[str] = ("31", "44"),
    *,
    policy: bytes | None = None,
    settings: str = "",
    report_seconds: float = 60,
) -> Iterator[Federation]:
    """Founds a federation, with the default policy if none is given, and starts it. `settings` end each node.toml."""
    ports = free_ports(3 + 3 * len(codes))
    federation = Federation(root, ports)
    public, gateway = (f"127.0.0.1:{port}" for port in ports[1:3])
    run_to_end(
        *("gateway", "init", "--dir", root / "gateway", "--realm", REALM, "--development"),
        *("--listen", gateway, "--metrics-listen", "off"),
    )
    more: tuple[str | Path, ...] = (
        "--gateway-ca",
        root / "gateway/tls/ca.pem",
        "--gateway-endpoint",
        gateway,
    )
    if policy is not None:
        (root / "national.json").write_bytes(policy)
        more += ("--policy", root / "national.json")
    fingerprint = init_registry(root / "registry", REALM, ports[0], ports[1], *more)
    toml = root / "registry/registry.toml"
    toml.write_text(
        toml.read_text().replace("[repository]", f"[repository]\nreport_seconds = {report_seconds}")
    )
    registry_ca = root / "registry/tls/ca.pem"
    run_to_end(
        *("gateway", "init", "--dir", root / "gateway", "--registry", public),
        *("--registry-ca", registry_ca, "--root-fingerprint", fingerprint),
    )
    try:
        federation.start("registry")
        for number, code in enumerate(codes):
            listen, issuer, metrics = (f"127.0.0.1:{port}" for port in ports[3 + 3 * number :][:3])
            plan = NodePlan(
                participant=code,
                realm=REALM,
                registry_endpoint=public,
                registry_ca=registry_ca,
                root_fingerprint=fingerprint,
                listen=listen,
                issuer_listen=issuer,
                endpoint=None,
                metrics_listen=metrics,
                development=True,
            )
            create_node(federation.node(code), plan, passphrase=None, now=SystemClock().now())
            with (federation.node(code) / "node.toml").open("a") as file:
                file.write(settings)
            joined = federation.command(code, "join", "--bundle", federation.sign(code))
            assert joined["state"] == "WAITING"
        ceremony = root / "registry/ceremony"
        for operator in (1, 2):
            run_to_end(
                *("trust_registry", "approve", *codes, "--dir", root / "registry", "--yes"),
                *("--key", ceremony / f"operator-{operator}.key"),
                *("--passphrase-file", ceremony / "passphrase"),
            )
        with ThreadPoolExecutor() as pool:
            list(pool.map(federation.start, ("gateway", *codes)))
        yield federation
    finally:
        federation.close()
