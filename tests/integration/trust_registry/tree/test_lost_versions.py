"""A registry restored from an old copy: nobody signs root or targets while a newer version exists elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from healthcode.cli.finding import Grade
from healthcode.errors import PreconditionError, Reason
from healthcode.signing.ed25519 import PrivateKey
from healthcode.trust.format.json_files import Retirement
from healthcode.trust.format.tuf_keys import tuf_key
from tests.simulator.country import Country, follow
from tests.simulator.registry import Province, operator, put_join
from trust_registry.__main__ import cli
from trust_registry.monitoring.check import inspect_folder
from trust_registry.monitoring.status import describe_node, nodes_of, status_of
from trust_registry.participants.node_reports import NodeReport, NodeReportStore
from trust_registry.proposals.drafts import draft_admission, draft_renewal
from trust_registry.proposals.key_changes import (
    KeyHolderChange,
    draft_areas_key,
    draft_key_holders,
    draft_online_key,
)
from trust_registry.proposals.new_bootstrap import BootstrapPlan, draft_bootstrap
from trust_registry.proposals.proposal import Proposal
from trust_registry.proposals.publish import publish_proposal
from trust_registry.proposals.retirement import draft_retirement
from trust_registry.proposals.sign import sign_proposal, take_signatures
from trust_registry.registry import Registry
from trust_registry.tree.lost_versions import accept_loss

OPERATORS, ROOTS = ("operator-1", "operator-2"), ("root-1", "root-2")


def sign(registry: Registry, proposal: Proposal, names: tuple[str, ...]) -> None:
    for name in names:
        sign_proposal(registry.repository, registry.proposals, proposal.id, operator(registry, name))


def retire(country: Country, code: str) -> None:
    now = country.clock.now()
    proposal = draft_retirement(
        country.registry.repository,
        country.registry.proposals,
        code,
        Retirement(signs_until=now + 86_400, codes_until=now + 30 * 86_400),
    )
    sign(country.registry, proposal, OPERATORS)


def report(registry: Registry, node: str, root_version: int) -> None:
    """A node's claim, as the registry stores it."""
    NodeReportStore(registry.folder.nodes).put(
        NodeReport(
            node=node,
            software="x 1",
            received=registry.clock.now(),
            root_version=root_version,
            targets_version=1,
            policy_version="1",
            areas_version=1,
            head_versions={},
            timestamp_version=1,
            snapshot_version=1,
            timestamp_signed=registry.clock.now(),
            earliest_expiry=registry.clock.now(),
        )
    )


def bootstrap_plan(registry: Registry) -> BootstrapPlan:
    return BootstrapPlan(
        lost=[str(tuf_key(operator(registry, name).public).keyid) for name in ROOTS],
        root_keys=[PrivateKey.generate().public for _ in range(3)],
        root_threshold=2,
        reason="a fire",
    )


@pytest.fixture
def country(tmp_path: Path) -> Country:
    """Restored from a copy made before operators retired 31; a node has the retirement and reports."""
    made = Country(tmp_path)
    draft_renewal(made.registry.repository, made.registry.proposals, "root")
    made.back_up()
    retire(made, "31")
    made.refresh("A")
    made.restore()
    return made


TARGETS: dict[str, Callable[[Registry], Proposal]] = {
    "renewal": lambda it: draft_renewal(it.repository, it.proposals, "targets"),
    "admission": lambda it: draft_admission(
        it.repository, it.proposals, [put_join(it, Province("51", it.settings.realm))]
    ),
    "areas": lambda it: draft_areas_key(it.repository, it.proposals, PrivateKey.generate().public),
    "operators": lambda it: draft_key_holders(
        it.repository, it.proposals, "operators", KeyHolderChange(add=[PrivateKey.generate().public])
    ),
    "bootstrap with operators": lambda it: draft_bootstrap(
        it.repository,
        it.proposals,
        BootstrapPlan(
            **{
                **{
                    name: getattr(bootstrap_plan(it), name)
                    for name in ("lost", "root_keys", "root_threshold", "reason")
                },
                "operator_keys": [PrivateKey.generate().public for _ in range(2)],
                "operator_threshold": 2,
            }
        ),
    ),
}


@pytest.mark.parametrize("what", TARGETS)
def test_nothing_is_proposed_on_targets_that_nodes_hold_newer(country: Country, what: str) -> None:
    """It would silently undo what operators signed since; the command says how to recover that."""
    assert country.prove("A")
    with pytest.raises(PreconditionError, match="rebuild --from") as refused:
        TARGETS[what](country.registry)
    assert refused.value.reason is Reason.TRUST_ROLLBACK
    assert "version 3" in refused.value.message


def test_root_is_signed_all_the_same(country: Country) -> None:
    """Root holders can remove a stolen online key, which may have made up the newer targets."""
    assert country.prove("A")
    proposal = draft_online_key(
        country.registry.repository, country.registry.proposals, "snapshot", PrivateKey.generate().public
    )
    sign_proposal(
        country.registry.repository,
        country.registry.proposals,
        proposal.id,
        operator(country.registry, "root-1"),
    )


def test_what_was_proposed_before_it_was_known_is_neither_signed_nor_published(country: Country) -> None:
    """The registry learns of the loss after the proposal: `sign`, `collect` and the server refuse it."""
    registry = country.registry
    # made with high-water versions that name the version given out, and nothing else: as after a kill between the two
    high_water = registry.repository.folder.high_water
    assert country.prove("A")
    kept = high_water.read_bytes()
    accept_loss(registry.repository, "targets", "nobody has it")
    proposal = draft_renewal(registry.repository, registry.proposals, "targets")
    sign_proposal(registry.repository, registry.proposals, proposal.id, operator(registry, "operator-1"))
    high_water.write_bytes(kept)
    for attempt in (
        lambda: sign_proposal(
            registry.repository, registry.proposals, proposal.id, operator(registry, "operator-2")
        ),
        lambda: take_signatures(registry.repository, registry.proposals, proposal, {}),
        lambda: publish_proposal(registry.repository, registry.proposals, proposal.id),
    ):
        with pytest.raises(PreconditionError) as refused:
            attempt()
        assert refused.value.reason is Reason.TRUST_ROLLBACK
    assert country.refresh("A").view.targets_version == 3


def test_a_loss_is_accepted_by_people_who_say_why(country: Country) -> None:
    """If no copy exists, a command accepts the loss durably, and every signer sees the reason."""
    registry = country.registry
    with pytest.raises(PreconditionError, match="no newer version of targets is known"):
        accept_loss(registry.repository, "targets", "for fun")
    assert country.prove("A")
    runner = CliRunner()
    args = ["accept-loss", "targets", "--dir", str(registry.folder.root), "--yes", "--although"]
    done = runner.invoke(cli, [*args, "every node burnt down"])
    assert done.exit_code == 0, done.output
    proposal = draft_renewal(registry.repository, registry.proposals, "targets")
    assert "WITHOUT targets version 3" in proposal.title
    assert "every node burnt down" in proposal.title
    sign(registry, proposal, OPERATORS)
    assert registry.repository.published().version_of("targets") == 4
    assert "WITHOUT" not in draft_renewal(registry.repository, registry.proposals, "targets").title
    assert country.refresh("A").rejected == ()


def test_status_and_check_say_that_nobody_may_sign_it(country: Country) -> None:
    """They do not suggest a new version, which would undo what was signed."""
    assert country.prove("A")
    [told] = [each for each in status_of(country.registry)["lacking"] if each["role"] == "targets"]
    assert (told["version"], told["held"]) == (3, 2)
    assert "rebuild --from" in told["what"]
    assert "sign a new version" not in told["what"]
    findings = {each.what: each for each in inspect_folder(country.registry.folder, country.clock, {})}
    assert findings["root and targets"].grade is Grade.WARNING
    assert "targets version 3" in findings["root and targets"].detail


def test_a_root_that_nodes_hold_is_noticed_and_not_made_again(tmp_path: Path) -> None:
    """No node can ever accept a second root of the same version, so no proposal of root is made or signed."""
    country = Country(tmp_path)
    registry = country.registry
    before = draft_renewal(registry.repository, registry.proposals, "root")
    report(registry, "31", 2)
    for attempt in (
        lambda: draft_bootstrap(registry.repository, registry.proposals, bootstrap_plan(registry)),
        lambda: draft_renewal(registry.repository, registry.proposals, "root"),
        lambda: draft_key_holders(
            registry.repository,
            registry.proposals,
            "root",
            KeyHolderChange(add=[PrivateKey.generate().public]),
        ),
        lambda: sign(registry, before, ROOTS),
    ):
        with pytest.raises(PreconditionError, match="31 reports root version 2") as refused:
            attempt()
        assert refused.value.reason is Reason.TRUST_ROLLBACK
    draft_renewal(registry.repository, registry.proposals, "targets")
    [told] = status_of(registry)["lacking"]
    assert (told["role"], told["version"], told["held"]) == ("root", 2, 1)
    findings = {each.what: each for each in inspect_folder(registry.folder, country.clock, {})}
    assert findings["root and targets"].grade is Grade.WARNING, "it is the word of one node, and may be a lie"
    [node] = [
        describe_node(each, registry.repository.published())
        for each in nodes_of(registry)
        if each.node == "31"
    ]
    assert node["ahead"] == "root 2 > 1: it has a newer root than this registry"


def test_who_lies_of_its_root_stops_nobody(tmp_path: Path) -> None:
    """Operators dismiss a false claim with one command per version of root, whatever is claimed afterwards."""
    country = Country(tmp_path)
    registry = country.registry
    report(registry, "31", 2)
    accept_loss(registry.repository, "root", "31 was called: its node is broken")
    report(registry, "31", 10**9)
    findings = {each.what: each for each in inspect_folder(registry.folder, country.clock, {})}
    assert "31 was called" in findings["root and targets"].detail, "it is not forgotten"
    proposal = draft_renewal(registry.repository, registry.proposals, "root")
    assert "31 was called" in proposal.title
    sign(registry, proposal, ROOTS)
    assert registry.repository.published().versions.root == 2
    assert follow(registry, tmp_path / "B", country.clock.at).view.root_version == 2
    with pytest.raises(PreconditionError):
        draft_renewal(registry.repository, registry.proposals, "root")


def test_a_stranger_says_nothing_of_root(tmp_path: Path) -> None:
    """The claim of a non-participant, or of one that left, is ignored."""
    country = Country(tmp_path)
    report(country.registry, "51", 2)
    draft_renewal(country.registry.repository, country.registry.proposals, "root")
    assert status_of(country.registry)["lacking"] == []
