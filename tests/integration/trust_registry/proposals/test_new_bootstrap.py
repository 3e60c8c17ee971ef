"""Root begins anew: who may propose it, who must sign it, and what is published then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from healthcode.errors import ConflictError, HealthcodeError, InvalidInputError, PreconditionError, Reason
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.adopt_root import adopt_root
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.format.metadata import Root, signing_keys, verify_threshold
from healthcode.trust.format.metadata_fields import bootstraps_in
from healthcode.trust.format.tuf_keys import tuf_key
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import TrustStore, init_trust
from healthcode.trust.verify.roots import root_fingerprint, spoken_fingerprint
from tests.simulator.registry import found_registry, operator
from trust_registry.__main__ import cli
from trust_registry.monitoring.check import inspect_folder
from trust_registry.proposals.drafts import draft_renewal
from trust_registry.proposals.key_holders import make_card, write_card
from trust_registry.proposals.new_bootstrap import BootstrapPlan, draft_bootstrap
from trust_registry.proposals.proposal import ProposalState
from trust_registry.proposals.sign import add_signature, sign_proposal
from trust_registry.proposals.signed_documents import state_of
from trust_registry.proposals.signers import rolls_of
from trust_registry.registry import Registry

REALM = "test-registry"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return found_registry(tmp_path / "registry")


@pytest.fixture
def new_keys() -> list[PrivateKey]:
    return [PrivateKey.generate() for _ in range(3)]


def keyid(registry: Registry, name: str) -> str:
    return str(tuf_key(operator(registry, name).public).keyid)


def plan(registry: Registry, new_keys: list[PrivateKey], **changed: object) -> BootstrapPlan:
    """root-1 and root-2 are lost."""
    fields: dict[str, object] = {
        "lost": [keyid(registry, name) for name in ("root-1", "root-2")],
        "root_keys": [key.public for key in new_keys],
        "root_threshold": 2,
        "reason": "a fire",
    }
    return BootstrapPlan(**{**fields, **changed})  # type: ignore[arg-type]  # by name


def root_of(registry: Registry) -> Root:
    return registry.repository.published().root.signed


def test_the_new_holders_alone_sign_and_everything_else_stays(
    registry: Registry, new_keys: list[PrivateKey]
) -> None:
    """Realm, operators, online keys and expiry as before; old roots are byte for byte what they were."""
    tree, before = registry.repository.tree, root_of(registry)
    first = tree.read(metadata_file("root", 1))
    proposal = draft_bootstrap(registry.repository, registry.proposals, plan(registry, new_keys))
    published = registry.repository.published()
    assert [roll.by for roll in rolls_of(proposal, published)] == ["the new root"]
    with pytest.raises(HealthcodeError) as refused:
        add_signature(proposal, published, operator(registry, "root-3"))
    assert refused.value.reason is Reason.METHOD_NOT_ALLOWED
    assert sign_proposal(registry.repository, registry.proposals, proposal.id, new_keys[0]).receipt is None
    assert (
        sign_proposal(registry.repository, registry.proposals, proposal.id, new_keys[2]).receipt is not None
    )
    after = root_of(registry)
    assert (after.version, bootstraps_in(after)) == (2, {"2": root_fingerprint(first)})
    assert signing_keys(after, "root") == (frozenset(key.public for key in new_keys), 2)
    for role in ("targets", "snapshot", "timestamp"):
        assert signing_keys(after, role) == signing_keys(before, role)
    assert tree.read(metadata_file("root", 1)) == first
    with pytest.raises(HealthcodeError):
        verify_threshold(before, "root", registry.repository.published().root)
    findings = {each.what: each.grade for each in inspect_folder(registry.folder, registry.clock, {})}
    assert findings["trust tree"] == "OK"


def test_operators_may_change_with_it(registry: Registry, new_keys: list[PrivateKey], tmp_path: Path) -> None:
    """Then they sign targets anew, in the same proposal; a client takes both together."""
    init_trust(
        tmp_path / "trust",
        FolderSource(registry.folder.repository),
        registry.repository.published().fingerprint,
    )
    TrustClient(tmp_path / "trust", FolderSource(registry.folder.repository)).refresh(registry.clock.now())
    operators = [PrivateKey.generate() for _ in range(2)]
    changed = plan(registry, new_keys, operator_keys=[key.public for key in operators], operator_threshold=2)
    proposal = draft_bootstrap(registry.repository, registry.proposals, changed)
    for key in (*new_keys[:2], *operators):
        signing = sign_proposal(registry.repository, registry.proposals, proposal.id, key)
    assert signing.receipt is not None
    published = registry.repository.published()
    verify_threshold(published.root.signed, "targets", published.targets)
    done = adopt_root(
        tmp_path / "trust",
        FolderSource(registry.folder.repository),
        published.fingerprint,
        registry.clock.now(),
    )
    assert done.refresh.view.targets_version == 2
    assert TrustStore.open(tmp_path / "trust").warnings == ()


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"lost": ["root-1"]}, PreconditionError, "propose rotation root"),
        ({"lost": []}, PreconditionError, "nothing is lost"),
        ({"reason": " "}, InvalidInputError, "--reason"),
        ({"root_threshold": 4}, InvalidInputError, "threshold must be between"),
        ({"root_keys": ["root-1", "root-3"]}, InvalidInputError, "card of a lost key"),
        ({"root_keys": ["root-3", "root-3"]}, InvalidInputError, "two cards have one key"),
        ({"operator_keys": ["operator-1"]}, InvalidInputError, "1 operator keys with a threshold of 0"),
    ],
)
def test_what_is_no_bootstrap_is_not_proposed(
    registry: Registry,
    new_keys: list[PrivateKey],
    changed: dict[str, object],
    kind: type[HealthcodeError],
    words: str,
) -> None:
    """Each by its own words, and nothing is kept."""
    for name in ("root_keys", "operator_keys"):
        if name in changed:
            changed = {**changed, name: [operator(registry, each).public for each in changed[name]]}  # type: ignore[attr-defined]  # names
    if "lost" in changed:
        changed = {**changed, "lost": [keyid(registry, each) for each in changed["lost"]]}  # type: ignore[attr-defined]  # names
    with pytest.raises(kind, match=words):
        draft_bootstrap(registry.repository, registry.proposals, plan(registry, new_keys, **changed))
    assert registry.proposals.all() == []


def test_with_enough_keys_left_it_takes_a_reason_that_is_shown(
    registry: Registry, new_keys: list[PrivateKey]
) -> None:
    """As when keys are not lost, but in wrong hands."""
    changed = plan(registry, new_keys, lost=[], although="all three were copied")
    proposal = draft_bootstrap(registry.repository, registry.proposals, changed)
    assert "although: all three were copied" in proposal.title


def test_it_goes_stale_when_the_old_holders_sign_after_all(
    registry: Registry, new_keys: list[PrivateKey]
) -> None:
    """The mark names the root that it follows; another root in between ends the proposal."""
    proposal = draft_bootstrap(registry.repository, registry.proposals, plan(registry, new_keys))
    renewal = draft_renewal(registry.repository, registry.proposals, "root")
    for name in ("root-1", "root-3"):
        sign_proposal(registry.repository, registry.proposals, renewal.id, operator(registry, name))
    assert state_of(proposal, registry.repository.published()) is ProposalState.STALE
    with pytest.raises(ConflictError):
        sign_proposal(registry.repository, registry.proposals, proposal.id, new_keys[0])
    assert bootstraps_in(root_of(registry)) == {}


def run(registry: Registry, *arguments: str, keyboard: str = "") -> Result:
    return CliRunner().invoke(cli, [*arguments, "--dir", str(registry.folder.root)], input=keyboard)


def test_the_command_says_what_happens_and_asks_for_the_realm(
    registry: Registry, new_keys: list[PrivateKey], tmp_path: Path
) -> None:
    """A slip of the realm, or nobody at the keyboard, proposes nothing; who signs is warned, and hears what is published."""
    cards = []
    for number, key in enumerate(new_keys, start=4):
        path = tmp_path / f"root-{number}.card.json"
        write_card(path, make_card(key, realm=REALM, purpose=KeyPurpose.ROOT, name=f"root-{number}"))
        cards += ["--card", str(path)]
    arguments = ["propose", "bootstrap", "--lost", "root-1", "--lost", "root-2", *cards]
    arguments += ["--root-threshold", "2", "--reason", "a fire"]
    slip = run(registry, *arguments, keyboard="cn\n")
    assert isinstance(slip.exception, InvalidInputError)
    for told in (
        "this is no rotation",
        "ROOT_REPLACED",
        "STALE_TRUST",
        "cannot be taken back",
        "type the realm",
    ):
        assert told in " ".join(slip.output.split())
    assert run(registry, *arguments).exit_code == 1
    assert registry.proposals.all() == []
    result = run(registry, *arguments, "--json", keyboard=f"{REALM}\n")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout[result.stdout.index("{") :])
    assert [name.split()[0] for name in told["rolls"][0]["missing"]] == ["root-4", "root-5", "root-6"]
    assert registry.repository.published().fingerprint in told["begins_anew"]
    for key in new_keys[:2]:
        sign_proposal(registry.repository, registry.proposals, told["proposal"], key)
    shown = json.loads(run(registry, "show", told["proposal"], "--json").stdout)
    fingerprint = registry.repository.published().fingerprint
    assert (shown["root_fingerprint"], shown["read_out"]) == (fingerprint, spoken_fingerprint(fingerprint))
    assert registry.repository.published().versions.root == 2
