"""The first files of a registry: its configuration, online keys and certificate, and the first root and targets."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence

from healthcode.clock import Clock
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.policy.area import AreaRisk, encode_areas
from healthcode.policy.lint.policy_lint import check_policy
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.settings import split_address
from healthcode.signing.keyfile import Cost
from healthcode.storage.files import save_file
from healthcode.trust.format.json_files import ParticipantsFile, ServiceEntry, encode_json_file
from healthcode.trust.format.layout import PARTICIPANTS_PATH, POLICY_PATH, RISK_PATH
from healthcode.trust.format.metadata import to_bytes
from healthcode.trust.format.new_metadata import new_root, new_targets
from healthcode.trust.verify.roots import root_fingerprint
from trust_registry.founding.plan import FoundingPlan
from trust_registry.layout import RegistryFolder
from trust_registry.participants.checks import check_national
from trust_registry.proposals.proposal import Proposal, ProposalKind
from trust_registry.settings import new_configuration
from trust_registry.tree.event_log import EventLog
from trust_registry.tree.online_keys import OnlineKeys, create_online_keys
from trust_registry.tree.repository import Repository
from trust_registry.tree.transaction import RoleUpdate

__all__ = ["configuration_of", "create_folders", "draft_founding", "make_online_keys", "publish_founding"]

_CA_DAYS, _LEAF_DAYS = 3650, 398


def create_folders(folder: RegistryFolder) -> None:
    """Creates the registry's folder and those inside."""
    for path in (folder.root, folder.ceremony, folder.keys, folder.tls, folder.joins, folder.proposals):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_online_keys(plan: FoundingPlan, folder: RegistryFolder, now: int) -> OnlineKeys:
    """Makes the online keys, and their passphrase in a file of mode 0600."""
    passphrase = secrets.token_urlsafe(32).encode()
    save_file(folder.passphrase, passphrase + b"\n", mode=0o600)
    cost: Cost = "development" if plan.development else "production"
    return create_online_keys(folder.keys, passphrase, realm=plan.realm, created=now, cost=cost)


def draft_founding(
    plan: FoundingPlan,
    folder: RegistryFolder,
    online: OnlineKeys,
    *,
    root_keys: Sequence[bytes],
    operator_keys: Sequence[bytes],
    now: int,
) -> Proposal:
    """Makes the registry's certificate, and proposes the first root and targets.

    Root holders sign the root, operators sign targets. Raises InvalidInputError.
    """
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
    files = _national_files(plan, _make_tls(plan, folder, now))
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


def publish_founding(proposal: Proposal, folder: RegistryFolder, online: OnlineKeys, clock: Clock) -> str:
    """Publishes the signed first root and targets; returns the fingerprint of the root."""
    check_policy(proposal.files[POLICY_PATH])
    Repository(folder, online, clock, events=EventLog(folder.events, clock)).found(
        proposal.metadata,
        RoleUpdate(1, proposal.companion, proposal.files),
        {RISK_PATH: encode_areas(AreaRisk(as_of=clock.now()))},
    )
    return root_fingerprint(proposal.metadata)


def _national_files(plan: FoundingPlan, ca_pem: str) -> Mapping[str, bytes]:
    """The files that the first targets lists."""
    services = {
        "registry": ServiceEntry(ca_pem=ca_pem, endpoint=plan.endpoint, public_endpoint=plan.public_endpoint)
    }
    if plan.gateway is not None:
        services["gateway"] = plan.gateway
    participants = ParticipantsFile(realm=plan.realm, services=services)
    return {PARTICIPANTS_PATH: encode_json_file(participants), POLICY_PATH: plan.policy}


def _make_tls(plan: FoundingPlan, folder: RegistryFolder, now: int) -> str:
    """Makes the registry's CA and certificate; returns the CA in PEM."""
    ca = make_ca(f"{plan.realm} trust registry CA", days=_CA_DAYS, now=now)
    hosts = [split_address(address)[0] for address in (plan.endpoint, plan.public_endpoint)]
    leaf = issue_leaf(
        ca, PeerId(plan.realm, PeerKind.REGISTRY), dns_names=tuple(hosts), days=_LEAF_DAYS, now=now
    )
    ca.write(folder.tls / "ca.pem", folder.tls / "ca.key")
    leaf.write(folder.tls / "registry.pem", folder.tls / "registry.key")
    for path in folder.tls.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    return ca.certificate_pem.decode()


def configuration_of(plan: FoundingPlan) -> str:
    """The registry.toml of a new registry."""
    return new_configuration(
        plan.realm,
        listen=plan.listen,
        public_listen=plan.public_listen,
        metrics_listen=plan.metrics_listen,
    )
