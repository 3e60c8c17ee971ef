"""Each attack on the files is refused by its own reason, while the last good trust serves.

All come over gRPC, and one of each reason also over HTTP: a source only fetches, and judges nothing.
"""

from __future__ import annotations

import pytest

from tests.attack.client import AS_EVER, HEALED, Client
from tests.simulator.attack import ATTACKS, Attack, Scene
from tests.simulator.realm import SimulatedRealm

ONE_OF_EACH_REASON = list({attack.reason: attack for attack in ATTACKS}.values())


@pytest.mark.parametrize(
    ("layer", "attack"),
    [("grpc", attack) for attack in ATTACKS] + [("mirror", attack) for attack in ONE_OF_EACH_REASON],
    ids=lambda value: getattr(value, "name", value),
    indirect=["layer"],
)
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
