"""A registry and a mirror that serve one simulated realm, and a client that has followed it.

Both serve for the whole module; each test has its own realm and a copy of one folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from healthcode.trust.sources.trust_source import TrustSource
from tests.attack.client import Client
from tests.simulator.attack import Scene, stage
from tests.simulator.mirror import Mirror, run_mirror
from tests.simulator.realm import SimulatedRealm
from tests.simulator.service import SimulatedRegistry, run_registry
from tests.world.log import json_log
from tests.world.waiting import PATIENCE_SECONDS


class Served(Mapping[str, bytes]):
    """A realm's files as a web server sees them."""

    def __init__(self, realm: SimulatedRealm) -> None:
        self._realm = realm

    def __getitem__(self, path: str) -> bytes:
        data = self._realm.serve(path)
        if data is None:
            raise KeyError(path)
        return data

    def __iter__(self) -> Iterator[str]:
        return iter(self._realm.files)

    def __len__(self) -> int:
        return len(self._realm.files)


class Layers:
    """The registry over gRPC and a mirror over HTTP, with a source to each."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        realm = SimulatedRealm()
        self.registry: SimulatedRegistry = stack.enter_context(run_registry(realm, folder))
        self.mirror: Mirror = stack.enter_context(run_mirror({}))
        self.sources: dict[str, TrustSource] = {
            "grpc": stack.enter_context(self.registry.source(timeout_seconds=PATIENCE_SECONDS)),
            "mirror": self.mirror.source(timeout_seconds=PATIENCE_SECONDS),
        }

    def serve(self, realm: SimulatedRealm) -> None:
        """Serves another realm, honestly."""
        self.registry.realm = realm
        self.registry.behave = self.mirror.behave = lambda _path: None
        self.mirror.files = Served(realm)


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layers]:
    with ExitStack() as stack:
        yield Layers(stack, tmp_path_factory.mktemp("registry"))


@dataclass(frozen=True)
class Staged:
    """A realm after its two publications, and a folder that has followed both."""

    realm: SimulatedRealm
    scene: Scene
    folder: Path


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Staged:
    folder = tmp_path_factory.mktemp("followed") / "trust"
    realm = SimulatedRealm()
    client = realm.client(folder)
    client.refresh(realm.now)
    scene = stage(realm)
    assert client.refresh(realm.now).rejected == ()
    return Staged(realm, scene, folder)


@pytest.fixture(params=["grpc", "mirror"])
def layer(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def realm(staged: Staged, layers: Layers) -> SimulatedRealm:
    """The test's own realm, staged and served."""
    realm = staged.realm.fork()
    layers.serve(realm)
    return realm


@pytest.fixture
def scene(staged: Staged) -> Scene:
    return staged.scene


@pytest.fixture
def log() -> Iterator[StringIO]:
    """The JSON log of a service."""
    with json_log("attack") as stream:
        yield stream


@pytest.fixture
def folder(staged: Staged, tmp_path: Path) -> Path:
    return shutil.copytree(staged.folder, tmp_path / "trust", symlinks=True)


@pytest.fixture
def client(layers: Layers, layer: str, folder: Path, realm: SimulatedRealm, log: StringIO) -> Client:
    return Client(folder, realm, layers.sources[layer], log)
