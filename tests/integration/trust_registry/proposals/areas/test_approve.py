"""Area risk: two operators, these very bytes, and never an older one again."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from healthcode.clock import SystemClock
from healthcode.errors import (
    ConflictError,
    DecodeError,
    InvalidInputError,
    PermissionDeniedError,
    Reason,
    SignatureError,
    TrustError,
)
from healthcode.policy.area import AreaRisk, RiskInterval, encode_areas
from healthcode.policy.words import RiskLevel
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import init_trust
from healthcode.trust.verify.roots import root_fingerprint
from tests.simulator.realm import NOW, fixed_key
from tests.simulator.registry import found_registry, operator
from tests.world.clock import ManualClock
from trust_registry.__main__ import cli
from trust_registry.proposals.areas.approval import AreaApprovalStore
from trust_registry.proposals.areas.approve import approve_areas, publish_approved_areas
from trust_registry.registry import Registry, open_registry

LATER = NOW + 60


def risk(as_of: int = LATER, level: RiskLevel = RiskLevel.HIGH) -> bytes:
    return encode_areas(AreaRisk(as_of, {"310115": level}))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def registry(tmp_path: Path, clock: ManualClock) -> Registry:
    made = found_registry(tmp_path / "registry", clock=clock)
    clock.at = LATER
    return made


@pytest.fixture
def store(registry: Registry) -> AreaApprovalStore:
    return AreaApprovalStore(registry.folder.areas, registry.events)


def approve(registry: Registry, store: AreaApprovalStore, data: bytes, name: str):
    return approve_areas(registry.repository, store, data, operator(registry, name))


def test_two_operators_set_the_risk_and_clients_see_it(
    registry: Registry, store: AreaApprovalStore, tmp_path: Path
) -> None:
    """The first approval changes nothing; the second publishes, under the areas key that targets names."""
    first = approve(registry, store, risk(), "operator-1")
    assert (first.signatures, first.threshold, first.receipt) == (1, 2, None)
    assert registry.repository.published().version_of("areas") == 1
    second = approve(registry, store, risk(), "operator-2")
    assert second.receipt is not None
    assert second.receipt.version == 2
    source = FolderSource(registry.folder.repository)
    init_trust(
        tmp_path / "trust", source, root_fingerprint(registry.repository.tree.read(metadata_file("root", 1)))
    )
    result = TrustClient(tmp_path / "trust", source).refresh(LATER)
    assert result.rejected == ()
    assert result.view.areas.risk("310115", LATER) is RiskLevel.HIGH


def test_a_risk_that_begins_in_the_past_is_declared_or_refused(
    registry: Registry, store: AreaApprovalStore
) -> None:
    """A new interval of over 24 hours ago colours people for where they were: it needs the flag and an instrument."""
    past = RiskInterval(RiskLevel.HIGH, LATER - 86_401)
    with pytest.raises(InvalidInputError, match="310115 is HIGH from") as refused:
        approve(registry, store, encode_areas(AreaRisk(LATER, intervals={"310115": (past,)})), "operator-1")
    assert "areas.310115" in refused.value.fields
    declared = replace(past, retroactive=True, instrument="No. 7")
    approve(registry, store, encode_areas(AreaRisk(LATER, intervals={"310115": (declared,)})), "operator-1")


def test_one_operator_twice_is_one_and_others_do_not_count(
    registry: Registry, store: AreaApprovalStore
) -> None:
    """Neither the same key again, nor a root holder, nor a stranger gets to the threshold."""
    approve(registry, store, risk(), "operator-1")
    with pytest.raises(ConflictError) as refused:
        approve(registry, store, risk(), "operator-1")
    assert refused.value.reason is Reason.ALREADY_SIGNED
    for key in (operator(registry, "root-1"), fixed_key("a stranger")):
        with pytest.raises(PermissionDeniedError):
            approve_areas(registry.repository, store, risk(), key)
    assert registry.repository.published().version_of("areas") == 1


def test_an_approval_is_of_these_bytes_and_of_this_realm(
    registry: Registry, store: AreaApprovalStore
) -> None:
    """An approval that is moved to other content, or another realm, is none."""
    (approval,) = [approve(registry, store, risk(), "operator-1").approval]
    other = approve(registry, store, risk(level=RiskLevel.LOW), "operator-2").approval
    stolen = other.model_copy(update={"signatures": {**other.signatures, **approval.signatures}})
    store.put(stolen)
    assert publish_approved_areas(registry.repository, store) is None
    foreign = approval.model_copy(update={"realm": "test-other"})
    published = registry.repository.published()
    assert foreign.approvers(published.root.signed) == frozenset()
    assert len(stolen.approvers(published.root.signed)) == 1


def test_an_old_approval_is_never_used_again(
    registry: Registry, store: AreaApprovalStore, clock: ManualClock
) -> None:
    """What was superseded stays so, though both approvals still lie there; renewals change no content."""
    for as_of in (LATER, LATER + 60):
        clock.at = as_of
        for name in ("operator-1", "operator-2"):
            approve(registry, store, risk(as_of), name)
    clock.at += 30 * 3600
    registry.repository.renew()
    assert registry.repository.published().version_of("areas") == 4
    assert publish_approved_areas(registry.repository, store) is None
    with pytest.raises(InvalidInputError, match="as_of"):
        approve(registry, store, risk(LATER), "operator-3")
    with pytest.raises(ConflictError, match="published already"):
        approve(registry, store, risk(LATER + 60), "operator-3")


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b'{"format": "healthcode/areas/1"}', risk(NOW), risk(LATER + 301)],
    ids=["empty", "no form", "no time", "not later", "in the future"],
)
def test_what_is_no_risk_or_of_a_wrong_time_is_refused(
    registry: Registry, store: AreaApprovalStore, data: bytes
) -> None:
    """Nothing is kept of it."""
    with pytest.raises((DecodeError, InvalidInputError)):
        approve(registry, store, data, "operator-1")
    assert store.all() == []


def test_approvals_given_without_the_online_keys_are_published_by_the_server(
    registry: Registry, store: AreaApprovalStore, clock: ManualClock
) -> None:
    """The operators' machine has no online keys; whoever has them publishes what is complete, once."""
    without = open_registry(registry.folder, clock, {}, with_keys=False)
    for name in ("operator-1", "operator-2"):
        signing = approve(without, store, risk(), name)
    assert signing.receipt is None
    done = publish_approved_areas(registry.repository, store)
    assert done is not None
    assert done.receipt is not None
    assert publish_approved_areas(registry.repository, store) is None
    assert registry.repository.published().version_of("areas") == 2


def test_the_command_shows_the_change_and_takes_two(tmp_path: Path) -> None:
    """`areas set` with the same file, by one operator and then another."""
    registry = found_registry(tmp_path / "registry", clock=SystemClock())
    file = tmp_path / "risk.json"
    file.write_bytes(risk(SystemClock().now() + 1))
    passphrase = str(registry.folder.ceremony / "passphrase")
    outputs = []
    for name in ("operator-1", "operator-2"):
        result = CliRunner().invoke(
            cli,
            [
                *("areas", "set", str(file), "--dir", str(registry.folder.root), "--key", name),
                *("--passphrase-file", passphrase, "--yes", "--json"),
            ],
        )
        assert result.exit_code == 0, result.output
        outputs.append(json.loads(result.stdout))
    assert [each["published"] for each in outputs] == [False, True]
    assert outputs[1]["areas_version"] == 2
    refused = CliRunner().invoke(
        cli, ["areas", "set", str(file), "--dir", str(registry.folder.root), "--key", "root-1", "--yes"]
    )
    assert refused.exit_code != 0


@pytest.fixture
def carried(registry: Registry, tmp_path: Path) -> Path:
    """Areas on a stick, and the operators' keys on machines of their own."""
    place = tmp_path / "stick"
    place.mkdir()
    (place / "risk.json").write_bytes(risk(SystemClock().now() + 1))
    for each in registry.folder.ceremony.iterdir():
        each.rename(tmp_path / each.name)
    file = place / "areas.json"
    here(registry, "propose", "areas", str(place / "risk.json"), "--out", str(file))
    return file


def command(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(cli, [*arguments, "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def here(registry: Registry, *arguments: str) -> dict[str, object]:
    return command(*arguments, "--dir", str(registry.folder.root))


def sign_at_home(file: Path, name: str, *more: str) -> dict[str, object]:
    home = file.parents[1]
    key = ("--key", str(home / f"{name}.key"), "--passphrase-file", str(home / "passphrase"), "--yes")
    return command("sign", str(file), *key, *more)


def test_areas_are_carried_to_the_operators_and_back(registry: Registry, carried: Path) -> None:
    """Two operators sign copies elsewhere; what is collected stays, and at the threshold it is published."""
    copies = [carried.with_name(f"{name}.json") for name in ("operator-1", "operator-3")]
    for copy in copies:
        signed = sign_at_home(carried, copy.stem, "--out", str(copy))
        assert (signed["signatures"], signed["threshold"]) == (1, 2)
    assert any("310115" in line for line in command("show", str(carried))["changes"])  # type: ignore[attr-defined]  # lines
    first = here(registry, "collect", str(copies[0]))
    assert (first["state"], first["signatures"], len(first["taken"])) == ("OPEN", 1, 1)  # type: ignore[arg-type]  # a list
    assert here(registry, "collect", str(copies[0]))["taken"] == []
    second = here(registry, "collect", *map(str, copies))
    assert (second["state"], second["signatures"], second["areas_version"]) == ("PUBLISHED", 2, 2)
    # once more does no harm
    assert here(registry, "collect", *map(str, copies))["areas_version"] == 2


def test_carried_areas_are_approved_by_two_operators_alone(registry: Registry, carried: Path) -> None:
    """The same key twice, a root holder's, and a file that was changed on its way are refused by name."""
    sign_at_home(carried, "operator-1")
    with pytest.raises(ConflictError):
        sign_at_home(carried, "operator-1")
    with pytest.raises(InvalidInputError, match="purpose ROOT"):
        sign_at_home(carried, "root-1")
    good = json.loads(carried.read_text())
    (keyid,) = good["approval"]["signatures"]
    forged = {**good, "approval": {**good["approval"], "signatures": {keyid: "00" * 64}}}
    carried.write_text(json.dumps(forged))
    with pytest.raises(SignatureError, match=r"operator-1 .* is invalid"):
        here(registry, "collect", str(carried))
    # the difference that is shown is to what is published, or the file is refused
    other = {**good, "risk": base64.b64encode(risk()).decode()}
    carried.write_text(json.dumps(other))
    with pytest.raises(TrustError):
        sign_at_home(carried, "operator-2")
    assert registry.repository.published().version_of("areas") == 1
