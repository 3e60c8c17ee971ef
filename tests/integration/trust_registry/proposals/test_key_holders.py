"""The names of key holders in a registry's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthcode.errors import ConfigurationError
from tests.simulator.registry import found_registry
from trust_registry.layout import RegistryFolder
from trust_registry.proposals.key_holders import key_holder_names


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return found_registry(tmp_path / "registry").folder.root


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"{", b"[" * 100_000], ids=["bytes", "cut", "deep"])
def test_a_damaged_holders_json_is_named(root: Path, damage: bytes) -> None:
    """It holds names alone: what to do is said."""
    (root / "holders.json").write_bytes(damage)
    with pytest.raises(ConfigurationError, match=r"holders\.json is damaged.*move it away"):
        key_holder_names(RegistryFolder(root))
