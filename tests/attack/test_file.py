"""What is served is wrong: each attack is refused by its own reason, at both layers, while the last good trust serves."""

from __future__ import annotations

import pytest

from tests.attack.client import AS_EVER, HEALED, Client
from tests.simulator.attack import ATTACKS, Attack, Scene
from tests.simulator.realm import SimulatedRealm


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_it_is_refused_by_name_and_healed_by_itself(
    client: Client, realm: SimulatedRealm, scene: Scene, attack: Attack
) -> None:
    """In log and metric with its reason; verdicts are as ever; what the honest registry has next arrives."""
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
