"""Proofs of audit logs through a gateway, over mTLS."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from healthcode.audit.consistency import ConsistencyProof, GrowthQuestion, sign_consistency
from healthcode.errors import (
    HealthcodeError,
    InvalidInputError,
    NotFoundError,
    SignatureError,
    UnauthenticatedError,
)
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.signing.purpose import KeyPurpose
from province_node.witness.witness import verify_proof_of
from tests.integration.gateway.world import GATEWAY, REALM, World, province
from tests.world.growing_log import MemoryLog


async def test_a_proof_is_carried_to_whoever_asks_and_belongs_to_its_home(world: World) -> None:
    """The home's bytes arrive as they were signed; the gateway's other homes, older software and others are told apart."""
    log = MemoryLog(blocks=3)
    question = GrowthQuestion(log.log, 256, 768)

    def prove(asked: GrowthQuestion) -> bytes:
        path = tuple(log.consistency(asked.log, asked.first, asked.second))
        key = world.realm.provinces["31"].keys[KeyPurpose.ANSWER]
        return sign_consistency(ConsistencyProof("31", asked, path, int(time.time())), key, REALM)

    ports = {code: (await world.start_home(code)).port for code in ("31", "11")}
    world.publish(ports)
    world.homes["31"].prove = prove
    await world.start_gateway()
    caller = world.caller(province("44"))

    found = await caller.prove(question)
    assert found.proof == prove(question)
    assert verify_proof_of(world.view, "31", question, found.proof).proves(
        log.checkpoint(256), log.checkpoint()
    )
    assert world.homes["31"].callers == [GATEWAY]
    for wrong in (
        lambda: verify_proof_of(world.view, "11", question, found.proof),
        lambda: verify_proof_of(world.view, "31", replace(question, first=512), found.proof),
        lambda: verify_proof_of(world.view, "31", question, found.proof[:-1] + b"\x00"),
    ):
        with pytest.raises(SignatureError):
            wrong()

    old = await caller.prove(question, home="11")
    assert old.home_unavailable.reason == "METHOD_NOT_ALLOWED"
    assert (await caller.ask(caller.question("11"), home="11")).answer
    silent = await caller.prove(question, home="44")
    assert silent.home_unavailable.reason == "HOME_UNAVAILABLE"

    refusals: list[tuple[type[HealthcodeError], PeerId, GrowthQuestion, str]] = [
        (InvalidInputError, province("44"), replace(question, second=256), "31"),
        (InvalidInputError, province("44"), replace(question, log=b"x" * 1000), "31"),
        (NotFoundError, province("44"), question, "99"),
        (UnauthenticatedError, PeerId(REALM, PeerKind.INTEGRATOR, "44", "turnstile"), question, "31"),
    ]
    asked = len(world.homes["31"].callers)
    for expected, peer, refused, home in refusals:
        with pytest.raises(expected):
            await world.caller(peer).prove(refused, home=home)
    assert len(world.homes["31"].callers) == asked
