"""Each attack on the files is refused by its own reason over gRPC and HTTP, while the last good trust serves."""

from __future__ import annotations

import pytest

from tests.attack.client import AS_EVER, HEALED, Client
from tests.simulator.attack import ATTACKS, Attack, Scene
from tests.simulator.realm import SimulatedRealm


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_it_is_refused_by_name_and_healed_by_itself(
    client: Client, realm: SimulatedRealm, scene: Scene, attack: Attack
) -> None:
    """Log and metric name the reason, verdicts do not change, and the honest registry's next news are taken."""
    assert client.outcomes() == AS_EVER
    attack.harm(realm, scene.past)
    refused = await client.refresh()
    assert refused is not None
    assert refused[:2] == (attack.whom, attack.reason), refused
    why = client.told(attack.whom, attack.reason)
    assert attack.says in why
    assert client.outcomes() == client.stored_outcomes() == AS_EVER
    scene.recover(realm)
    assert await client.refresh() is None
    assert client.outcomes() == HEALED
