"""A policy or areas file of a newer format than this software reads: refused by name, and nothing else with it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from healthcode.cli.__main__ import cli
from healthcode.clock import rfc3339
from healthcode.errors import DecodeError, HealthcodeError, Reason
from healthcode.policy import area, book_file
from healthcode.policy.book_file import default_policy_bytes
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Decision, Outcome, RiskLevel
from healthcode.trust.client import RefreshResult, TrustClient
from healthcode.trust.store import TrustStore
from healthcode.trust.view import TrustView
from healthcode.verification.verdict import Verdict
from healthcode.verification.verifier import Verifier
from tests.simulator.realm import SimulatedRealm
from tests.unit.trust.refusals import refresh

DAY = 86_400
NEWER_POLICY = book_file.NEWEST_POLICY_FORMAT + 1
NEWER_AREAS = area.NEWEST_AREAS_FORMAT + 1


def policy_of(number: int) -> bytes:
    """The default policy as a format that this software does not read."""
    document = json.loads(default_policy_bytes())
    document["format"] = f"healthcode/policy/{number}"
    document["policies"][0]["version"] = "newer"
    return json.dumps(document).encode()


def areas_of(number: int) -> bytes:
    """Areas in a shape that this software does not know."""
    return json.dumps({"format": f"healthcode/areas/{number}", "intervals": {"310115": []}}).encode()


def publish_newer_policy(realm: SimulatedRealm) -> None:
    """The operators publish a newer format without asking who reads it."""
    realm.policy = policy_of(NEWER_POLICY)
    realm.publish_targets()


def revoke(realm: SimulatedRealm, code: str, index: int) -> str:
    """Revokes a code of a participant, and gives its text. Publish next."""
    expires = realm.now + 3600
    realm.revoke(code, index, expires)
    realm.publish_live(code)
    return realm.code(code, index, issued_at=realm.now, expires_at=expires)


def good_code(realm: SimulatedRealm, code: str = "31") -> str:
    return realm.code(code, 5, issued_at=realm.now, expires_at=realm.now + 3600)


def verdict(trust: TrustView | TrustStore, text: str, now: int) -> Verdict:
    return Verifier(trust).verify(text, place="STATION", now=now)


def held(result: RefreshResult) -> list[tuple[str, Reason]]:
    return [(each.participant, each.reason) for each in result.rejected]


def test_a_revocation_arrives_beside_a_policy_of_a_newer_format(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """What is published with the newer policy counts at once, and after a restart: a revocation, a new province."""
    before = client.open().view
    realm.now += 60
    revoked = revoke(realm, "31", 7)
    publish_newer_policy(realm)
    realm.add_province("44")
    realm.publish_province("44")
    realm.publish_live("44")
    realm.publish()
    result = refresh(client, realm)
    assert held(result) == [("policy", Reason.FORMAT_NEWER)]
    for view in (result.view, TrustStore.open(folder).view):
        assert view.targets_version == before.targets_version + 2
        assert view.policy.policies == before.policy.policies
        assert view.held_back == {"policy": Reason.FORMAT_NEWER}
        (warning,) = view.warnings
        assert f"format {NEWER_POLICY}" in warning
        assert "upgrade this software" in warning
        refused = verdict(view, revoked, realm.now)
        assert (refused.outcome, refused.decision) == (Outcome.REVOKED, Decision.REFUSE)
        passed = verdict(view, good_code(realm, "44"), realm.now)
        assert (passed.outcome, passed.trust_tier) == (Outcome.VALID, TrustTier.AGING)
        assert "POLICY_NEWER" in passed.warnings
        assert "POLICY_NEWER" in passed.to_dict()["warnings"]


def test_it_goes_on_while_the_newer_policy_stays(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """The kept policy outlives further targets, areas, a new root with other operators, and a restart between each."""
    publish_newer_policy(realm)
    realm.publish()
    refresh(client, realm)
    realm.policy = policy_of(NEWER_POLICY + 1)
    realm.publish_targets()
    realm.publish()
    assert f"format {NEWER_POLICY + 1}" in refresh(client, realm).rejected[0].message
    realm.publish_areas({"310115": RiskLevel.MEDIUM})
    realm.publish()
    restarted = TrustClient(folder, realm)
    assert refresh(restarted, realm).view.areas.risk("310115", realm.now) is RiskLevel.MEDIUM
    realm.rotate_root(operators=[realm.key(f"next-operator-{number}") for number in (1, 2, 3)])
    realm.publish_targets()
    revoked = revoke(realm, "11", 8)
    realm.publish()
    assert held(refresh(TrustClient(folder, realm), realm)) == [("policy", Reason.FORMAT_NEWER)]
    opened = TrustStore.open(folder)
    assert opened.warnings == ()
    assert verdict(opened, revoked, realm.now).outcome is Outcome.REVOKED
    assert "POLICY_NEWER" in verdict(opened, good_code(realm), realm.now).warnings


def test_only_a_timestamp_is_new(client: TrustClient, realm: SimulatedRealm) -> None:
    """A refused policy is fetched once, and does not make each minute's refresh a whole one."""
    publish_newer_policy(realm)
    realm.publish()
    generation = refresh(client, realm).generation
    realm.now += 60
    realm.sign_timestamp()
    realm.fetched.clear()
    result = client.refresh(realm.now)
    assert (result.changed, result.generation) == (True, generation)
    assert realm.fetched == ["metadata/2.root.json", "metadata/timestamp.json"]
    assert held(result) == [("policy", Reason.FORMAT_NEWER)]
    assert verdict(result.view, good_code(realm), realm.now).trust_tier is TrustTier.AGING


def test_the_tier_is_stale_once_the_targets_of_the_kept_policy_have_expired(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """AGING until then, however fresh the rest is."""
    kept_until = realm.now + 90 * DAY
    realm.now += 60
    publish_newer_policy(realm)
    realm.publish()
    refresh(client, realm)
    for now, tier in ((kept_until - 1, TrustTier.AGING), (kept_until, TrustTier.STALE)):
        realm.now = now
        realm.publish_targets()
        realm.publish_province("31")
        realm.publish_live("31")
        realm.publish()
        client.refresh(realm.now)
        view = TrustStore.open(folder).view
        thresholds = view.policy.in_force(now).freshness
        assert view.tier("31", thresholds, now) == (tier, 0)
        assert view.registry_tier(thresholds, now) == (tier, 0)


def test_upgraded_software_takes_the_newer_policy(
    client: TrustClient, realm: SimulatedRealm, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the newer file as soon as it opens the folder, and keeps the old one no longer."""
    publish_newer_policy(realm)
    realm.publish()
    refresh(client, realm)
    monkeypatch.setattr(book_file, "NEWEST_POLICY_FORMAT", NEWER_POLICY)
    assert TrustStore.open(folder).view.policy.in_force(realm.now).version == "newer"
    realm.publish_targets()
    realm.publish()
    result = refresh(TrustClient(folder, realm), realm)
    assert (result.rejected, result.view.warnings, result.view.held_back) == ((), (), {})
    found = verdict(result.view, good_code(realm), realm.now)
    assert (found.policy_version, found.trust_tier, found.warnings) == ("newer", TrustTier.FRESH, ())
    assert TrustStore.open(folder).state.files.national.kept_policy is None


def test_a_client_without_a_policy_it_can_read_says_what_to_do(realm: SimulatedRealm, tmp_path: Path) -> None:
    """Without a last good policy nothing can be decided, and the error names both formats."""
    publish_newer_policy(realm)
    realm.publish()
    with pytest.raises(HealthcodeError) as caught:
        realm.client(tmp_path / "fresh").refresh(realm.now)
    assert caught.value.reason is Reason.FORMAT_NEWER
    assert isinstance(caught.value, DecodeError)
    assert caught.value.detail == "policy.format_newer"
    assert (
        f"upgrade this software: the policy has format {NEWER_POLICY}, "
        f"this version reads up to {NEWER_POLICY - 1}" in caught.value.message
    )


def test_an_older_policy_is_not_taken_from_a_mirror(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """Only the policy accepted last is kept: a mirror that serves an older file in place of the newer one gets nowhere."""
    first = realm.policy
    realm.policy = json.dumps(json.loads(first) | {"note": "second"}).encode()
    realm.publish_targets()
    realm.publish()
    refresh(client, realm)
    publish_newer_policy(realm)
    (path,) = (each for each, data in realm.files.items() if data == realm.policy)
    realm.tampered[path] = first
    realm.publish()
    with pytest.raises(HealthcodeError):
        refresh(client, realm)
    realm.tampered.clear()
    refresh(client, realm)
    kept = TrustStore.open(folder).state.files.national.kept_policy
    assert kept is not None
    assert b"second" in kept.policy


def test_the_kept_policy_is_proved_at_open(client: TrustClient, realm: SimulatedRealm, folder: Path) -> None:
    """A policy that was put in place of the kept one serves nobody."""
    publish_newer_policy(realm)
    realm.publish()
    generation = refresh(client, realm).generation
    here = folder / "generations" / str(generation)
    kept = here / "witness" / "policy.national.json"
    manifest = json.loads((here / "manifest.json").read_bytes())
    forged = kept.read_bytes().replace(b"REFUSE", b"PASS")
    assert forged != kept.read_bytes()
    manifest["files"]["witness/policy.national.json"] = hashlib.sha256(forged).hexdigest()
    kept.unlink()
    kept.write_bytes(forged)
    (here / "manifest.json").write_text(json.dumps(manifest))
    opened = TrustStore.open(folder)
    assert opened.generation < generation
    assert opened.view.is_superseded


def test_an_older_policy_put_in_place_of_the_kept_one_is_never_fresh_or_unnamed(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """Nothing offline refuses an older signed policy (ADR 0020): it serves as AGING, by name, and STALE once expired."""
    older_until = realm.now + 90 * DAY
    older = {"targets": realm.files["metadata/1.targets.json"], "national": realm.policy}
    realm.now += 60
    realm.policy = json.dumps(json.loads(realm.policy) | {"note": "second"}).encode()
    realm.publish_targets()
    realm.publish()
    refresh(client, realm)
    publish_newer_policy(realm)
    realm.publish()
    here = folder / "generations" / str(refresh(client, realm).generation)
    manifest = json.loads((here / "manifest.json").read_bytes())
    for name, data in older.items():
        path = here / "witness" / f"policy.{name}.json"
        path.unlink()
        path.write_bytes(data)
        manifest["files"][f"witness/{path.name}"] = hashlib.sha256(data).hexdigest()
    (here / "manifest.json").write_text(json.dumps(manifest))
    opened = TrustStore.open(folder)
    assert opened.warnings == ()
    found = verdict(opened, good_code(realm), realm.now)
    assert (found.trust_tier, found.warnings) == (TrustTier.AGING, ("POLICY_NEWER",))
    thresholds = opened.view.policy.in_force(realm.now).freshness
    assert opened.view.registry_tier(thresholds, older_until)[0] is TrustTier.STALE
    assert opened.view.kept_until == {"POLICY_NEWER": older_until}


def test_the_commands_say_it(client: TrustClient, realm: SimulatedRealm, folder: Path) -> None:
    """`verify` has the word in JSON and for people; `trust show` has the sentence."""
    publish_newer_policy(realm)
    realm.publish()
    refresh(client, realm)
    code, at = good_code(realm), rfc3339(realm.now)
    verify = ["verify", "--trust", str(folder), "--place", "OTHER", "--at", at, code]
    done = CliRunner().invoke(cli, [*verify, "--json"])
    assert json.loads(done.stdout)["warnings"] == ["POLICY_NEWER"]
    assert json.loads(done.stdout)["trust_tier"] == "AGING"
    assert "POLICY_NEWER" in CliRunner().invoke(cli, verify).stdout
    shown = CliRunner().invoke(cli, ["trust", "show", "--trust", str(folder), "--json"])
    assert any("upgrade this software" in warning for warning in json.loads(shown.stdout)["warnings"])


def test_areas_of_a_newer_format_are_refused_alone(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """The last good areas serve, as AGING until their own metadata has expired; a revocation beside them arrives."""
    kept_until = realm.now + 2 * DAY
    realm.now += 60
    revoked = revoke(realm, "31", 7)
    realm.publish_risk(areas_of(NEWER_AREAS))
    realm.publish()
    result = refresh(client, realm)
    assert held(result) == [("areas", Reason.FORMAT_NEWER)]
    for trust in (result.view, TrustStore.open(folder).view):
        assert trust.areas.risk("310115", realm.now) is RiskLevel.HIGH
        assert trust.areas_version == 2
        assert f"format {NEWER_AREAS}" in trust.warnings[0]
        assert verdict(trust, revoked, realm.now).outcome is Outcome.REVOKED
        found = verdict(trust, good_code(realm), realm.now)
        assert (found.trust_tier, found.warnings) == (TrustTier.AGING, ("AREAS_NEWER",))
    realm.publish_risk(areas_of(NEWER_AREAS + 1))
    realm.publish()
    assert f"format {NEWER_AREAS + 1}" in refresh(client, realm).rejected[0].message
    assert TrustStore.open(folder).view.areas.risk("310115", realm.now) is RiskLevel.HIGH
    for now, tier, outcome in (
        (kept_until - 1, TrustTier.AGING, Outcome.VALID),
        (kept_until, TrustTier.STALE, Outcome.STALE_TRUST),
    ):
        realm.now = now
        realm.publish_live("31")
        realm.publish()
        client.refresh(now)
        found = verdict(TrustStore.open(folder), good_code(realm), now)
        assert (found.trust_tier, found.outcome) == (tier, outcome)
    realm.publish_areas({"310115": RiskLevel.LOW})
    realm.publish()
    result = refresh(client, realm)
    assert (result.rejected, result.view.areas.risk("310115", realm.now)) == ((), RiskLevel.LOW)
    assert verdict(result.view, good_code(realm), realm.now).warnings == ()
    assert not list((folder / "current" / "witness").iterdir())


def test_areas_under_a_replaced_key_are_not_kept(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """Targets names another areas key together with the newer format: what the old key signed counts no more."""
    realm.areas_key = realm.key("next-areas")
    realm.publish_targets()
    realm.publish_risk(areas_of(NEWER_AREAS))
    realm.publish()
    refresh(client, realm)
    view = TrustStore.open(folder).view
    assert view.areas.risk("310115", realm.now) is None
    assert verdict(view, good_code(realm), realm.now).trust_tier is TrustTier.STALE


def test_a_new_client_without_areas_it_can_read_is_stale(realm: SimulatedRealm, tmp_path: Path) -> None:
    """Nothing tells it the risk of an area, so nothing passes on it; a revoked code is refused all the same."""
    revoked = revoke(realm, "31", 7)
    realm.publish_risk(areas_of(NEWER_AREAS))
    realm.publish()
    view = realm.client(tmp_path / "fresh").refresh(realm.now).view
    found = verdict(view, good_code(realm), realm.now)
    assert (found.outcome, found.trust_tier) == (Outcome.STALE_TRUST, TrustTier.STALE)
    assert found.warnings == ("AREAS_NEWER",)
    assert verdict(view, revoked, realm.now).decision is Decision.REFUSE
