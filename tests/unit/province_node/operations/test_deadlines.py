"""What a node's operators must renew: its keys, its certificates, its roles; and who, by command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from healthcode.clock import rfc3339
from healthcode.rpc.mtls.development_ca import make_ca
from healthcode.service.deadline import acts_of, describe_deadline
from healthcode.settings import TlsSettings
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.keyfile import create_key_file
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import IssuerKey, IssuerView
from province_node.operations.deadlines import own_deadlines
from province_node.settings import KeySettings, NodeSettings, RegistrySettings
from tests.simulator.realm import NOW
from tests.unit.province_node.world import HOME, PASSPHRASE, World

DAY = 86_400
SOON = NOW + 5 * DAY  # keys live from a day before NOW to six days after it


@pytest.fixture
def settings(world: World) -> NodeSettings:
    tls = world.folder / "tls"
    tls.mkdir()
    for name in ("node", "issuer", "ca", "registry-ca"):
        (tls / f"{name}.pem").write_bytes(make_ca(name, days=30, now=NOW).certificate_pem)
    return NodeSettings(
        participant=HOME,
        realm=world.realm.realm,
        listen="127.0.0.1:1",
        issuer_listen="127.0.0.1:2",
        tls=TlsSettings(certificate=tls / "node.pem", private_key=tls / "node.key", ca=tls / "ca.pem"),
        registry=RegistrySettings(
            endpoint="127.0.0.1:3", ca=tls / "registry-ca.pem", root_fingerprint=f"sha256:{'0' * 64}"
        ),
        keys=KeySettings(folder=world.folder / "keys"),
    )


def notes(settings: NodeSettings, issuer: IssuerView, now: int = SOON) -> dict[str, str]:
    return {each.name: each.note(now) for each in own_deadlines(settings, issuer)}


def last_hour(issuer: IssuerView, purpose: str) -> int:
    return max(key.not_after for key in issuer.keys.values() if key.purpose == purpose) - 3600


def next_live(world: World, not_after: int = NOW + 13 * DAY) -> PrivateKey:
    """The next LIVE key, made here as `keys rotate` does."""
    key = PrivateKey(b"n" * 32)
    create_key_file(
        world.folder / "keys" / "live-next.key",
        key,
        PASSPHRASE,
        purpose=KeyPurpose.LIVE,
        realm=world.realm.realm,
        participant=HOME,
        created=NOW,
        not_before=NOW + 4 * DAY,
        not_after=not_after,
        cost="development",
    )
    return key


def test_everything_of_a_node_is_there(world: World, settings: NodeSettings) -> None:
    """Four keys, two roles, the certificates in files, and the published CA."""
    found = own_deadlines(settings, world.view.issuers[HOME])
    assert {each.name for each in found if each.kind == "role"} == {"province-31", "province-31-live"}
    assert {each.name for each in found if each.kind == "key"} == {"LIVE", "PAPER", "ANSWER", "QUESTION"}
    certificates = {each.name for each in found if each.kind == "certificate"}
    assert {"node.pem", "issuer.pem", "own CA", "registry CA", "published CA"} == certificates
    # before it is admitted there are certificates alone
    assert {each.kind for each in own_deadlines(settings, None)} == {"certificate"}


def test_a_key_that_ends_names_the_command_then_the_authority_then_nobody(
    world: World, settings: NodeSettings
) -> None:
    """Not made: `keys rotate`; made: the authority signs; published: it ends by itself."""
    issuer = world.view.issuers[HOME]
    assert notes(settings, issuer, NOW)["LIVE"] == "ok"
    assert "`province-node keys rotate --purpose LIVE`" in notes(settings, issuer)["LIVE"]
    key = next_live(world)
    assert notes(settings, issuer)["LIVE"].startswith("the authority (request.json with key ")
    assert "keys rotate --purpose PAPER" in notes(settings, issuer, last_hour(issuer, "PAPER"))["PAPER"]
    kid = b"next-kid"
    made = IssuerKey(kid, key.public, "EdDSA", KeyPurpose.LIVE, NOW + 4 * DAY, NOW + 13 * DAY)
    rotated = replace(issuer, keys=MappingProxyType({**issuer.keys, kid: made}))
    shown = notes(settings, rotated)
    assert (shown["LIVE before"], shown["LIVE"]) == ("replaced: ends by itself", "ok")


def test_a_purpose_whose_only_key_was_killed_is_missing(world: World, settings: NodeSettings) -> None:
    """Nothing LIVE can be issued: that is told at once, and on /metrics as something that has ended."""
    issuer = world.view.issuers[HOME]
    kid = next(key.kid for key in issuer.keys.values() if key.purpose is KeyPurpose.LIVE)
    assert issuer.revocations is not None
    head = replace(issuer.revocations.head, killed_kids=frozenset({kid}))
    killed = replace(issuer, revocations=replace(issuer.revocations, head=head))
    (found,) = [each for each in own_deadlines(settings, killed) if each.name == "LIVE"]
    assert found.note(NOW).startswith("MISSING: this node (`province-node keys rotate --purpose LIVE`)")
    assert acts_of([found], NOW) == [{"who": found.who, "what": "key LIVE", "by": rfc3339(NOW)}]
    assert describe_deadline(found, NOW)["expires"] is None


def test_a_province_that_leaves_needs_no_next_code_key(world: World, settings: NodeSettings) -> None:
    """Its answers go on, so those keys do."""
    issuer = replace(world.view.issuers[HOME], signs_until=NOW + 6 * DAY, codes_until=NOW + 20 * DAY)
    shown = notes(settings, issuer)
    assert shown["LIVE"] == shown["PAPER"] == "replaced: ends by itself"
    shown = notes(settings, issuer, last_hour(issuer, "ANSWER"))
    assert shown["LIVE"] == "ended"
    assert "keys rotate --purpose ANSWER" in shown["ANSWER"]


def test_a_certificate_warns_long_before_it_ends(
    world: World, settings: NodeSettings, tmp_path: Path
) -> None:
    """Thirty days of life: from the twentieth on, and who holds the CA is named."""
    issuer = world.view.issuers[HOME]
    assert notes(settings, issuer, NOW + 19 * DAY)["node.pem"] == "ok"
    assert "the holder of its CA" in notes(settings, issuer, NOW + 21 * DAY)["node.pem"]
    assert notes(settings, issuer, NOW + 31 * DAY)["node.pem"].startswith("EXPIRED")
