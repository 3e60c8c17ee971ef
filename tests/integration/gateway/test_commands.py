"""healthcode-gateway as its operators meet it: init, check, serve, status, each failure with its own sentence."""

from __future__ import annotations

import asyncio
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gateway.__main__ import cli
from healthcode.clock import SystemClock
from healthcode.rpc.server import GrpcServer, ServerTls
from healthcode.telemetry import Metrics
from tests.integration.gateway.world import REALM, REGISTRY, World, free_port, province
from tests.simulator.service import SimulatedRegistry
from tests.world.command import Done, run_here
from tests.world.waiting import PATIENCE_SECONDS, eventually

COMMAND = str(Path(sys.executable).parent / "healthcode-gateway")


async def run(*arguments: str | Path) -> Done:
    """One command, run to its end in a thread of this process."""
    return await asyncio.to_thread(run_here, cli, *arguments)


async def spawn(*arguments: str | Path) -> Done:
    """One command as a process of its own; a traceback is never right."""
    process = await asyncio.create_subprocess_exec(
        COMMAND, *map(str, arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    done = Done(process.returncode or 0, out.decode(), err.decode())
    assert "Traceback" not in done.err
    return done


class Place:
    """A gateway's folder beside a registry that runs."""

    def __init__(self, world: World, registry: GrpcServer) -> None:
        self.world = world
        self.registry = registry
        self.folder = world.folder / "gw"
        self.listen = f"127.0.0.1:{free_port()}"
        self.metrics = f"127.0.0.1:{free_port()}"
        self.registry_ca = world.folder / "registry-ca.pem"
        self.registry_ca.write_bytes(world.ca("registry").certificate_pem)

    async def init(self) -> None:
        """Both steps, and what the registry's operators do between them."""
        first = await run(
            "init", "--dir", self.folder, "--realm", REALM, "--listen", self.listen,
            "--metrics-listen", self.metrics, "--development", "--json",
        )  # fmt: skip
        assert first.status == 0, first.err
        self.world.take_ca("gateway", Path(first.json()["ca"]).parent)
        ca_pem = self.world.ca("gateway").certificate_pem.decode()
        entry = self.world.realm.services["gateway"]
        self.world.realm.services["gateway"] = entry.model_copy(
            update={"ca_pem": ca_pem, "endpoint": self.listen}
        )
        self.world.realm.publish_targets()
        self.world.realm.publish()
        second = await self.name_registry()
        assert second.status == 0, second.err

    async def name_registry(self, **changes: str) -> Done:
        given = {
            "--registry": f"127.0.0.1:{self.registry.port}",
            "--registry-ca": str(self.registry_ca),
            "--root-fingerprint": self.world.realm.fingerprint,
        } | changes
        return await run("init", "--dir", self.folder, *(part for pair in given.items() for part in pair))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """A gateway that listens; stopped at the end, whatever happens."""
        process = await asyncio.create_subprocess_exec(
            COMMAND, "serve", "--dir", str(self.folder), stderr=asyncio.subprocess.PIPE
        )
        try:
            assert process.stderr is not None
            lines = []
            async with asyncio.timeout(PATIENCE_SECONDS):
                while b"listens on" not in (line := await process.stderr.readline()):
                    lines.append(line.decode())
                    assert line, "".join(lines)
            drain = asyncio.create_task(process.stderr.read())
            yield process
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)
            assert b"Traceback" not in await drain
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.fixture
async def place(world: World) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        world.publish({})
        registry = GrpcServer(
            "127.0.0.1:0",
            ServerTls(world.tls(REGISTRY), client_cas=None, clock=SystemClock()),
            metrics=Metrics("registry-test"),
            verifier=None,
        )
        registry.add(SimulatedRegistry.service, SimulatedRegistry(world.realm))
        await registry.start()
        stack.push_async_callback(registry.stop, 0)
        yield Place(world, registry)


async def test_from_nothing_to_an_answer(place: Place) -> None:
    """Init in two steps, check, serve, a question answered, status, SIGTERM; then a start with the registry gone."""
    world = place.world
    await place.init()
    home = await world.start_home("31")
    world.publish_home("31", home.port)
    checked = await run("check", "--dir", place.folder, "--json")
    assert checked.status == 0
    assert checked.json()["ready"] is True
    assert {one["what"]: one["grade"] for one in checked.json()["findings"]} == {
        "signature library": "OK",
        "certificate": "OK",
        "listen": "OK",
        "metrics": "OK",
        "clock": "OK",
        "trust folder": "WARNING",
        "registry": "OK",
        "files": "OK",
    }
    async with place.serving() as process:
        await ask_until_answered(place)
        status = await run("status", "--dir", place.folder, "--json")
        assert status.status == 0
        assert status.json()["health"] == "SERVING"
        assert status.json()["trust"]["issuers"] == ["11", "31", "44"]
        assert [(one["home"], one["breaker"]) for one in status.json()["homes"]] == [("31", "closed")]
        shown = {line["certificate"]: line["note"] for line in status.json()["certificates"]}
        assert shown == dict.fromkeys(("gateway.pem", "own CA", "registry CA", "published CA"), "ok")
        assert {"root", "timestamp", "snapshot", "targets", "areas"} <= {
            line["role"] for line in status.json()["roles"]
        }

        async def warns() -> bool:  # measured each minute, first at the start
            page = await asyncio.to_thread(_read, f"http://{place.metrics}/metrics")
            return 'healthcode_warns_timestamp_seconds{kind="certificate",name="gateway.pem"}' in page

        await eventually(warns)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0
    await place.registry.stop(0)
    # without metrics it does not know how the homes stand, says why, and scripts find a list all the same
    configuration = place.folder / "gateway.toml"
    configuration.write_text(configuration.read_text().replace(f'listen = "{place.metrics}"', ""))
    async with place.serving():
        await ask_until_answered(place)
        status = await run("status", "--dir", place.folder, "--json")
        assert status.status == 0
        assert status.json()["homes"] == []
        assert "[metrics]" in status.json()["homes_note"]


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as page:
        return str(page.read().decode())


async def ask_until_answered(place: Place) -> None:
    world = place.world
    world.gateway_port = int(place.listen.rpartition(":")[2])
    caller = world.caller(province("44"))
    response = await caller.ask(caller.question())
    assert response.WhichOneof("result") == "answer"


async def test_a_new_endpoint_reaches_a_gateway_that_runs(place: Place) -> None:
    """What a province publishes counts at the gateway within seconds, without a restart."""
    await place.init()
    async with place.serving():
        home = await place.world.start_home("31")
        place.world.gateway_port = int(place.listen.rpartition(":")[2])
        caller = place.world.caller(province("44"))
        response = await caller.ask(caller.question())
        assert response.WhichOneof("result") == "home_unavailable"
        place.world.publish_home("31", home.port)

        async def is_answered() -> bool:
            return (await caller.ask(caller.question())).WhichOneof("result") == "answer"

        await eventually(is_answered)


async def test_status_of_one_that_does_not_run(place: Place) -> None:
    """Status 4, and says so."""
    await place.init()
    done = await run("status", "--dir", place.folder, "--json")
    assert done.status == 4
    assert done.json()["running"] is False
    assert done.json()["homes"] == []
    assert done.json()["certificates"]


@pytest.mark.parametrize(
    ("option", "value"), [("--root-fingerprint", "nonsense"), ("--registry", "nonsense")]
)
async def test_a_slip_is_a_usage_error(place: Place, option: str, value: str) -> None:
    """Status 2, with the option's name, and gateway.toml stays as it was."""
    await run("init", "--dir", place.folder, "--realm", REALM, "--development")
    before = (place.folder / "gateway.toml").read_text()
    done = await place.name_registry(**{option: value})
    assert done.status == 2
    assert option in done.err
    assert (place.folder / "gateway.toml").read_text() == before


async def refused(place: Place, *, status: int) -> str:
    """What `serve` says when it does not start."""
    done = await run("serve", "--dir", place.folder)
    assert done.status == status, done.err
    return done.err


async def test_a_port_in_use_says_so(place: Place) -> None:
    """Status 2, with the address."""
    await place.init()
    async with place.serving():
        done = await spawn("serve", "--dir", place.folder)
        assert done.status == 4
        said = done.err
        assert place.listen in said or place.metrics in said
        checked = await run("check", "--dir", place.folder)
        assert checked.status == 0
        assert "is in use: if" in " ".join(checked.out.split())


async def test_a_registry_out_of_reach_says_so(place: Place) -> None:
    """Status 4 when there is no trust yet; the registry is named."""
    await place.init()
    await place.registry.stop(0)
    assert f"the registry 127.0.0.1:{place.registry.port}" in await refused(place, status=4)
    assert (await run("check", "--dir", place.folder)).status == 4


async def test_a_wrong_fingerprint_says_so(place: Place) -> None:
    """Another root than announced is never taken."""
    await place.init()
    text = (place.folder / "gateway.toml").read_text()
    wrong = "sha256:" + "0" * 64
    (place.folder / "gateway.toml").write_text(text.replace(place.world.realm.fingerprint, wrong))
    assert wrong in await refused(place, status=1)


async def test_another_registry_s_certificate_says_so(place: Place) -> None:
    """A server that shows a certificate of another CA is not the registry."""
    await place.init()
    (place.folder / "tls" / "registry-ca.pem").write_bytes(place.world.ca("11").certificate_pem)
    assert "certificate" in await refused(place, status=1)


async def test_another_party_s_certificate_says_so(place: Place) -> None:
    """A province's certificate does not make a gateway."""
    await place.init()
    tls = place.folder / "tls"
    leaf = place.world.leaf(province("44"))
    (tls / "gateway.pem").write_bytes(leaf.certificate_pem)
    (tls / "gateway.key").write_bytes(leaf.key_pem)
    (tls / "ca.pem").write_bytes(place.world.ca("44").certificate_pem)
    assert "spiffe://test-gateway.healthcode/province/44" in await refused(place, status=2)


async def test_a_key_that_others_can_read_says_what_to_do(place: Place) -> None:
    """Status 2, with the chmod to run."""
    await place.init()
    key = place.folder / "tls" / "gateway.key"
    key.chmod(0o644)
    assert f"chmod 600 {key}" in await refused(place, status=2)


async def test_a_missing_certificate_says_so(place: Place) -> None:
    """Status 2, with the path."""
    await place.init()
    (place.folder / "tls" / "gateway.pem").unlink()
    assert "gateway.pem is missing" in await refused(place, status=2)


async def test_without_a_registry_says_what_to_do(place: Place) -> None:
    """After the first step of init alone, serve names the second."""
    done = await run(
        "init", "--dir", place.folder, "--realm", REALM, "--listen", place.listen, "--development"
    )
    assert done.status == 0
    assert "--root-fingerprint" in await refused(place, status=2)


async def test_an_unknown_key_is_named(place: Place) -> None:
    """A slip in gateway.toml stops the start."""
    await place.init()
    path = place.folder / "gateway.toml"
    path.write_text(path.read_text().replace("[trust]\nfolder", "[trust]\nfoldre"))
    said = await refused(place, status=2)
    assert "unknown key `foldre` in [trust]; did you mean `folder`?" in said


async def test_a_missing_folder_says_so(place: Place) -> None:
    """Status 2, with what to do."""
    assert "run `init` first" in await refused(place, status=2)


async def test_init_is_careful(place: Place) -> None:
    """A second init changes nothing that is there; development certificates are for test realms alone."""
    await place.init()
    again = await run("init", "--dir", place.folder, "--realm", REALM, "--development")
    assert again.status == 2
    assert "already exists" in again.err
    assert (await place.name_registry()).status == 0
    other = await place.name_registry(**{"--registry": "elsewhere:1"})
    assert other.status == 2
    assert "names another registry" in other.err
    real = await run("init", "--dir", place.folder.with_name("cn"), "--realm", "cn", "--development")
    assert real.status == 2
    assert not place.folder.with_name("cn").exists()
    half = await run("init", "--dir", place.folder, "--registry", "x:1")
    assert half.status == 2
