"""deploy/*.toml: each loads strictly, shows every key, and the comments hold."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from gateway.settings import GatewaySettings, load_gateway_settings
from healthcode.errors import ConfigurationError
from healthcode.settings import Settings
from province_node.settings import NodeSettings, load_node_settings
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
