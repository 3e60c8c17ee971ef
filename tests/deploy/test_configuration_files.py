"""deploy/*.toml: each loads strictly, shows every key, and the comments hold."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from pydantic import BaseModel
from ruamel.yaml import YAML

from gateway.__main__ import cli as gateway
from gateway.settings import GatewaySettings, load_gateway_settings
from healthcode.errors import ConfigurationError
from healthcode.rpc.mtls.development_ca import make_ca
from healthcode.settings import Settings
from province_node.__main__ import cli as province_node
from province_node.settings import NodeSettings, load_node_settings
from tests.world.clock import NOW
from trust_registry.__main__ import cli as trust_registry
from trust_registry.settings import RegistrySettings, load_registry_settings

DEPLOY = Path(__file__).parents[2] / "deploy"

Load = Callable[[Path], Settings]
SERVICES: dict[str, tuple[type[Settings], Load]] = {
    "registry.toml": (RegistrySettings, load_registry_settings),
    "node.toml": (NodeSettings, lambda path: load_node_settings(path.parent)),
    "gateway.toml": (GatewaySettings, load_gateway_settings),
}
# another way than what the file shows, which few need; commented out there
ALTERNATIVES = {"keys.passphrase_file", "trust.mirror_ca"}


@pytest.fixture(params=sorted(SERVICES))
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        nested = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if nested:
            yield from keys_of(nested[0], f"{prefix}{name}.")
        else:
            yield prefix + name


def keys_in(table: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from keys_in(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_loads_as_the_service_loads_it(service: str) -> None:
    """The file is one that the service would start with."""
    _, load = SERVICES[service]
    load(DEPLOY / service)


def test_shows_every_key(service: str) -> None:
    """Whoever reads the file has seen all there is to configure."""
    model, _ = SERVICES[service]
    shown = set(keys_in(tomllib.loads((DEPLOY / service).read_text())))
    assert set(keys_of(model)) - shown - ALTERNATIVES == set()


def test_an_unknown_key_is_an_error_that_names_it(service: str, tmp_path: Path) -> None:
    """A slip of the finger stops the start, with the key and what was meant."""
    _, load = SERVICES[service]
    path = tmp_path / service
    shutil.copy(DEPLOY / service, path)
    text = path.read_text().replace("[metrics]\nlisten", "[metrics]\nlissten")
    path.write_text(text)
    with pytest.raises(
        ConfigurationError, match=r"unknown key `lissten` in \[metrics\]; did you mean `listen`\?"
    ):
        load(path)


def test_values_that_are_defaults_are_so(service: str) -> None:
    """Copying the file changes no behaviour but the addresses, names and secrets that it must give."""
    model, load = SERVICES[service]
    shown = load(DEPLOY / service)
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, Settings) and name not in GIVEN:
            ours = getattr(shown, name).model_dump()
            differ = {key for key, value in default.model_dump().items() if ours[key] != value}
            assert differ <= {"tag_threads", "folder"}, name


GIVEN = {"keys", "metrics"}


def test_what_init_makes_is_scraped(tmp_path: Path) -> None:
    """Each `init` turns metrics on, on loopback, where deploy/prometheus.yaml looks for that service."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(make_ca("registry", days=10, now=NOW).certificate_pem)
    realm = ("--realm", "test-example", "--development")
    node = ("--participant", "31", "--registry", "registry.example:7444", "--registry-ca", str(ca))
    inits = {
        "trust-registry": (trust_registry, realm, "registry.toml"),
        "province-node": (
            province_node,
            (*realm, *node, "--root-fingerprint", f"sha256:{'0' * 64}"),
            "node.toml",
        ),
        "healthcode-gateway": (gateway, realm, "gateway.toml"),
    }
    served = {}
    for service, (command, arguments, file) in inits.items():
        folder = tmp_path / service
        done = CliRunner().invoke(command, ["init", "--dir", str(folder), *arguments])
        assert done.exit_code == 0, done.output
        _, load = SERVICES[file]
        served[service] = load(folder / file).model_dump()["metrics"]["listen"]
    (job,) = YAML(typ="safe").load(DEPLOY / "prometheus.yaml")["scrape_configs"]
    scraped = {group["labels"]["service"]: group["targets"][0] for group in job["static_configs"]}
    assert served == scraped
