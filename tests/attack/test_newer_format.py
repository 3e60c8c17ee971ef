"""A policy or areas file of a newer format, published by honest operators in the wrong order."""

from __future__ import annotations

import json

import pytest

from healthcode.errors import Reason
from healthcode.policy import area, book_file
from healthcode.policy.tier import TrustTier
from tests.attack.client import AS_EVER, HEALED, Client
from tests.simulator.attack import LATER, VICTIM
from tests.simulator.realm import SimulatedRealm


def publish_newer(realm: SimulatedRealm, kind: str) -> None:
    if kind == "policy":
        written = json.loads(realm.policy)
        written["format"] = f"healthcode/policy/{book_file.NEWEST_POLICY_FORMAT + 1}"
        realm.policy = json.dumps(written).encode()
        realm.publish_targets()
    else:
        realm.publish_risk(
            json.dumps({"format": f"healthcode/areas/{area.NEWEST_AREAS_FORMAT + 1}"}).encode()
        )


@pytest.mark.parametrize(("kind", "warning"), [("policy", "POLICY_NEWER"), ("areas", "AREAS_NEWER")])
async def test_a_newer_format_holds_no_revocation_back(
    client: Client, realm: SimulatedRealm, kind: str, warning: str
) -> None:
    """A running follower refuses the file by name, takes the revocation beside it, and says so in every verdict."""
    assert client.outcomes() == AS_EVER
    publish_newer(realm, kind)
    realm.revoke(VICTIM, LATER, realm.now + 3600)
    realm.publish_live(VICTIM)
    realm.publish()
    refused = await client.refresh()
    assert refused is not None
    assert refused[:2] == (kind, Reason.FORMAT_NEWER)
    assert "upgrade this software" in client.told(kind, Reason.FORMAT_NEWER)
    assert client.outcomes() == client.stored_outcomes() == HEALED
    for verdict in client.verdicts():
        assert warning in verdict.warnings
        assert verdict.trust_tier is TrustTier.AGING
