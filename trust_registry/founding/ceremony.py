"""The ceremony that founds a realm: keys, the first root, the first targets.

In a real ceremony every holder is present, chooses a passphrase, sees what is
signed, and leaves with a key file; nothing of root or operators stays on the
machine that serves. A development ceremony asks nobody and makes a test realm;
it can never make `cn`. Every holder is asked to sign, not only a threshold, so that
each key is proven to be held; who declines has not signed, and that is all. Below a
threshold it stops there, and goes on over files (`founding`): nothing is lost.

All is made in a folder beside its place and renamed at the end: a fault in between
leaves nothing behind that looks like a registry.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from healthcode.clock import Clock
from healthcode.errors import ConfigurationError, InvalidInputError, Reason
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.identity.realm import check_realm, is_test_realm
from healthcode.policy.area import AreaRisk, encode_areas
from healthcode.policy.book_file import decode_policy
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.settings import split_address
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.keyfile import Cost, create_key_file
from healthcode.signing.passphrase import check_passphrase
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.files import save_file, sync
from healthcode.trust.format.json_files import (
    ParticipantsFile,
    ServiceEntry,
    encode_json_file,
)
from healthcode.trust.format.layout import (
    PARTICIPANTS_PATH,
    POLICY_PATH,
    RISK_PATH,
)
from healthcode.trust.format.metadata import to_bytes
from healthcode.trust.format.new_metadata import new_root, new_targets
from healthcode.trust.format.tuf_keys import tuf_key
from healthcode.trust.verify.roots import root_fingerprint
from trust_registry.layout import RegistryFolder
from trust_registry.participants.checks import check_national
from trust_registry.proposals.difference import Change
from trust_registry.proposals.in_force import Carried, encode_carried
from trust_registry.proposals.key_holders import note_holders
from trust_registry.proposals.proposal import Proposal, ProposalKind
from trust_registry.proposals.sign import add_signature, changes_of, tally_of
from trust_registry.tree.online_keys import OnlineKeys, create_online_keys
from trust_registry.tree.repository import Repository
from trust_registry.tree.transaction import RoleUpdate

__all__ = [
    "CeremonyPlan",
    "CeremonyResult",
    "Holder",
    "SigningStep",
    "check_place",
    "check_shape",
    "configuration_of",
    "draft_founding",
    "draw_passphrase",
    "hold_ceremony",
    "make_registry_tls",
    "national_files",
]

_CA_DAYS, _LEAF_DAYS = 3650, 398


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a key: `key_name` is that of the file, `person` who keeps it."""

    purpose: KeyPurpose
    key_name: str
    person: str
    passphrase: bytes

    def __repr__(self) -> str:
        return f"Holder({self.key_name}, {self.person})"


@dataclass(frozen=True, slots=True)
class CeremonyPlan:
    """What is to be founded. `ca_pem` None: the registry makes its own CA."""

    realm: str
    roots: Sequence[Holder]
    root_threshold: int
    operators: Sequence[Holder]
    operator_threshold: int
    development: bool
    policy: bytes
    listen: str
    public_listen: str
    metrics_listen: str | None
    endpoint: str
    public_endpoint: str
    gateway: ServiceEntry | None = None

    def check(self) -> None:
        """Raises InvalidInputError for a plan that would not hold."""
        check_shape(
            self.realm,
            development=self.development,
            roots=(len(self.roots), self.root_threshold),
            operators=(len(self.operators), self.operator_threshold),
        )
        for what, holders in (("root", self.roots), ("operator", self.operators)):
            people = {holder.person.casefold() for holder in holders}
            if len(people) != len(holders):
                raise InvalidInputError(f"two {what} keys have one holder: each is held by another person")
            for holder in holders:
                check_passphrase(holder.passphrase.decode(), holder.key_name)
        decode_policy(self.policy)


def check_shape(realm: str, *, development: bool, roots: tuple[int, int], operators: tuple[int, int]) -> None:
    """Checks what is known before anybody is asked: `roots` and `operators` are (keys, threshold).

    Raises InvalidInputError.
    """
    check_realm(realm)
    if development and not is_test_realm(realm):
        raise InvalidInputError(
            f"a development ceremony asks nobody, so it may not make realm {realm}: "
            "name a test realm (test-…), or leave out --development",
            reason=Reason.REALM_MISMATCH,
        )
    least = 1 if development else 2
    for what, (count, threshold) in (("root", roots), ("operator", operators)):
        if not least <= threshold <= count:
            raise InvalidInputError(
                f"{count} {what} keys with a threshold of {threshold}: the threshold lies between "
                f"{least} and the number of keys, so that no one person acts alone"
            )


def check_place(folder: RegistryFolder) -> None:
    """Raises ConfigurationError unless a realm can be founded in `folder`."""
    target = folder.root.absolute()
    if target.exists() and any(target.iterdir()):
        raise ConfigurationError(f"{target} is not empty: a ceremony begins in a new folder")


@dataclass(frozen=True, slots=True)
class SigningStep:
    """One holder who is about to sign: what, as all see it, and by its digest (hex). `names` is by key id."""

    holder: Holder
    proposal: Proposal
    changes: Sequence[Change]
    names: Mapping[str, str]
    is_first: bool


@dataclass(frozen=True, slots=True)
class CeremonyResult:
    """What was founded. `carry_away` must leave this machine; `fingerprint` is what nodes are told.

    `fingerprint` None: too few have signed, and `waiting` says who has and who has not.
    """

    realm: str
    fingerprint: str | None
    waiting: Carried
    carry_away: Sequence[Path]
    ca_certificate: Path


def hold_ceremony(
    plan: CeremonyPlan, folder: RegistryFolder, clock: Clock, *, confirm: Callable[[SigningStep], bool]
) -> CeremonyResult:
    """Founds the realm in `folder`, which must not exist or be empty.

    `confirm` is asked once for each holder, whether they sign; what it raises ends the
    ceremony and leaves nothing. Below a threshold the folder holds what was signed, to go on
    as `founding` does. Raises InvalidInputError, ConfigurationError.
    """
    plan.check()
    check_place(folder)
    target = folder.root.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.parent / f".{target.name}.ceremony-{secrets.token_hex(4)}"
    staging.mkdir(mode=0o700)
    try:
        fingerprint, waiting = _hold(plan, RegistryFolder(staging), clock, confirm)
        if target.exists():
            target.rmdir()
        staging.rename(target)
        sync(target.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    final = RegistryFolder(folder.root)
    return CeremonyResult(
        realm=plan.realm,
        fingerprint=fingerprint,
        waiting=waiting,
        carry_away=[*sorted(final.ceremony.glob("*.key")), final.tls / "ca.key"],
        ca_certificate=final.tls / "ca.pem",
    )


def _hold(
    plan: CeremonyPlan, folder: RegistryFolder, clock: Clock, confirm: Callable[[SigningStep], bool]
) -> tuple[str | None, Carried]:
    now = clock.now()
    cost: Cost = "development" if plan.development else "production"
    for path in (folder.ceremony, folder.keys, folder.tls, folder.joins, folder.proposals):
        path.mkdir(mode=0o700)
    passphrase = draw_passphrase(folder)
    online = create_online_keys(folder.keys, passphrase, realm=plan.realm, created=now, cost=cost)
    holders = (*plan.roots, *plan.operators)
    keys = {holder.key_name: PrivateKey.generate() for holder in holders}
    for holder in holders:
        create_key_file(
            folder.ceremony / f"{holder.key_name}.key",
            keys[holder.key_name],
            holder.passphrase,
            purpose=holder.purpose,
            realm=plan.realm,
            name=holder.person,
            created=now,
            cost=cost,
        )
    if plan.development:
        save_file(folder.ceremony / "passphrase", plan.roots[0].passphrase + b"\n", mode=0o600)
    names = {
        str(tuf_key(keys[holder.key_name].public).keyid): holder.key_name
        if holder.person == holder.key_name
        else f"{holder.key_name} {holder.person}"
        for holder in holders
    }
    note_holders(folder, names)
    proposal = draft_founding(
        plan,
        root_keys=[keys[holder.key_name].public for holder in plan.roots],
        operator_keys=[keys[holder.key_name].public for holder in plan.operators],
        online=online,
        files=national_files(plan, make_registry_tls(plan, folder, now)),
        now=now,
    )
    changes = changes_of(proposal, None)
    for holder in holders:
        step = SigningStep(holder, proposal, changes, names, is_first=holder is holders[0])
        if confirm(step):
            proposal = add_signature(proposal, None, keys[holder.key_name])
    save_file(folder.configuration, configuration_of(plan).encode())
    carried = Carried(proposal, None, names)
    if not tally_of(proposal, None).is_complete:
        save_file(folder.founding, encode_carried(carried))
        return None, carried
    Repository(folder, online, clock).found(
        proposal.metadata,
        RoleUpdate(1, proposal.companion, proposal.files),
        {RISK_PATH: encode_areas(AreaRisk(as_of=now))},
    )
    return root_fingerprint(proposal.metadata), carried


def draft_founding(
    plan: CeremonyPlan,
    *,
    root_keys: Sequence[bytes],
    operator_keys: Sequence[bytes],
    online: OnlineKeys,
    files: Mapping[str, bytes],
    now: int,
) -> Proposal:
    """The first root and targets, which root holders and operators sign. Raises InvalidInputError."""
    root = new_root(
        plan.realm,
        root_keys=root_keys,
        root_threshold=plan.root_threshold,
        operator_keys=operator_keys,
        operator_threshold=plan.operator_threshold,
        snapshot_keys=[online.snapshot.public],
        timestamp_keys=[online.timestamp.public],
        now=now,
    )
    targets = new_targets(version=1, files=files, area_keys=[online.areas.public], now=now)
    check_national(targets.signed, files, None, plan.realm)
    return Proposal(
        kind=ProposalKind.FOUNDING,
        role="root",
        title=f"found realm {plan.realm}",
        created=now,
        metadata=to_bytes(root),
        files=files,
        publications={},
        companion=to_bytes(targets),
    )


def draw_passphrase(folder: RegistryFolder) -> bytes:
    """Draws what opens the online keys, into a file of mode 0600."""
    passphrase = secrets.token_urlsafe(32).encode()
    save_file(folder.passphrase, passphrase + b"\n", mode=0o600)
    return passphrase


def national_files(plan: CeremonyPlan, ca_pem: str) -> dict[str, bytes]:
    """The files that the first targets lists."""
    services = {
        "registry": ServiceEntry(ca_pem=ca_pem, endpoint=plan.endpoint, public_endpoint=plan.public_endpoint)
    }
    if plan.gateway is not None:
        services["gateway"] = plan.gateway
    participants = ParticipantsFile(realm=plan.realm, services=services)
    return {PARTICIPANTS_PATH: encode_json_file(participants), POLICY_PATH: plan.policy}


def make_registry_tls(plan: CeremonyPlan, folder: RegistryFolder, now: int) -> str:
    """The registry's CA and certificate; the CA's key is among what is carried away."""
    ca = make_ca(f"{plan.realm} trust registry CA", days=_CA_DAYS, now=now)
    hosts = [split_address(address)[0] for address in (plan.endpoint, plan.public_endpoint)]
    leaf = issue_leaf(
        ca, PeerId(plan.realm, PeerKind.REGISTRY), dns_names=tuple(hosts), days=_LEAF_DAYS, now=now
    )
    ca.write(folder.tls / "ca.pem", folder.tls / "ca.key")
    leaf.write(folder.tls / "registry.pem", folder.tls / "registry.key")
    return ca.certificate_pem.decode()


def configuration_of(plan: CeremonyPlan) -> str:
    """registry.toml of a new registry."""
    metrics = f'listen = "{plan.metrics_listen}"' if plan.metrics_listen else '# listen = "127.0.0.1:9464"'
    return f"""\
# Trust registry of realm {plan.realm}. An unknown key is an error. Paths count from this file's folder.
realm = "{plan.realm}"

[server]
listen = "{plan.listen}"  # mTLS: provinces publish here
public_listen = "{plan.public_listen}"  # TLS: anybody reads the trust files and asks to join

[tls]
certificate = "tls/registry.pem"
private_key = "tls/registry.key"
ca = "tls/ca.pem"

[keys]
passphrase_file = "passphrase"  # or: credential = "NAME", with systemd's LoadCredential=NAME:…

[repository]
timestamp_interval_seconds = 60.0

[metrics]
{metrics}

[log]
level = "info"
format = "json"
"""
