"""python-tuf alone accepts an attack that our client refuses, so delegations are checked by us."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest

from healthcode.trust.format.layout import TrustLimits, metadata_file, province_path
from healthcode.trust.refresh.tuf_updater import open_updater
from tests.attack.client import AS_EVER, Client
from tests.attack.conftest import Layers
from tests.simulator.attack import VICTIM, Scene, attack_named, forged_province
from tests.simulator.realm import SimulatedRealm


@pytest.mark.parametrize("name", ["targets lists a province", "province delegated anew", "wider sibling"])
async def test_a_plain_client_takes_the_thiefs_keys_and_ours_does_not(
    layers: Layers,
    realm: SimulatedRealm,
    scene: Scene,
    folder: Path,
    tmp_path: Path,
    log: StringIO,
    name: str,
) -> None:
    """From one mirror python-tuf's Updater accepts the forged province.json, and our client refuses it by name."""
    attack = attack_named(name)
    forged = forged_province(realm)
    attack.harm(realm, scene.past)
    mirror = layers.sources["mirror"]
    cache, files = tmp_path / "cache", tmp_path / "files"
    for each in (cache, files):
        each.mkdir()
    root = realm.files[metadata_file("root", 1)]
    updater = open_updater(cache, mirror, root, realm.now, TrustLimits(), targets=files)
    updater.refresh()
    found = updater.get_targetinfo(province_path(VICTIM))
    assert found is not None
    assert Path(updater.download_target(found)).read_bytes() == forged  # noqa: ASYNC240  a file of a test

    client = Client(folder, realm, mirror, log)
    refused = await client.refresh()
    assert refused is not None
    assert refused[:2] == (attack.whom, attack.reason)
    assert client.outcomes() == AS_EVER
