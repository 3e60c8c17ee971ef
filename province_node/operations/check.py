"""Checks a node before it starts, for `check`. Nothing here changes anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from healthcode.cli.finding import Finding, Grade, look, look_at_clock, look_at_port
from healthcode.clock import rfc3339
from healthcode.errors import ConfigurationError, HealthcodeError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.peer_verifier import published_cas
from healthcode.rpc.mtls.tls_files import check_published, load_tls
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.service.deadline import certificate_deadline
from healthcode.service.public_channel import ask_by_published_ca, trust_in
from healthcode.settings import TlsSettings
from healthcode.signing.ed25519 import self_test
from healthcode.signing.passphrase import read_passphrase
from healthcode.signing.purpose import KeyPurpose
from healthcode.storage.owner import as_caller
from healthcode.trust.clock_evidence import TOLERANCE_SECONDS
from healthcode.trust.format.layout import authority_role, metadata_file
from healthcode.trust.format.metadata import Snapshot, Timestamp, decode_metadata
from healthcode.trust.format.metadata_fields import signed_at
from healthcode.trust.store import TrustStore
from healthcode.trust.verify.trust_state import newer_files
from healthcode.trust.view import TrustView
from healthcode.v1 import trust_registry_pb2
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from healthcode.wire.claims import Level
from province_node.keys.key_files import SIGNING_PURPOSES, find_offline_keys, list_key_infos
from province_node.keys.setup import CLIENTS, lacks_credential, open_keyring
from province_node.operations.own_officers import describe_own_officers, officers_warnings
from province_node.operations.warnings import key_warnings
from province_node.settings import NodeFolder, NodeSettings
from province_node.store.opening import open_store
from province_node.witness.sentences import audit_steps
from province_node.witness.witness_file import WitnessFile

__all__ = ["check_node", "refuse_foreign_certificate", "refuse_offline_keys"]

_REACH_SECONDS = 5.0


def refuse_offline_keys(root: Path) -> None:
    """Raises ConfigurationError if the folder contains a key that belongs on an offline machine."""
    found = next(iter(find_offline_keys(root)), None)
    if found is not None:
        raise ConfigurationError(
            f"{found} is an offline key on a machine with a network: carry it to the authority's "
            "machine, remove it here, and consider it exposed if this node has been online"
        )


def refuse_foreign_certificate(settings: NodeSettings, now: int) -> None:
    """Raises ConfigurationError unless the node's certificate is valid and names this node."""
    tls = settings.tls
    peer = load_tls(tls.certificate, tls.private_key, tls.ca, now=now, realm=settings.realm).identity.peer
    if peer != PeerId(settings.realm, PeerKind.PROVINCE, settings.participant):
        raise ConfigurationError(
            f"{tls.certificate} names {peer.uri}; this node is spiffe://{settings.realm}.healthcode/province/"
            f"{settings.participant}: put its own certificate there"
        )


def check_node(
    root: Path,
    settings: NodeSettings,
    *,
    now: int,
    environ: Mapping[str, str],
    passphrase_file: Path | None = None,
) -> Iterator[Finding]:
    """Checks everything that `serve` needs, one after the other, even after failures.

    `passphrase_file` opens the keys here, instead of the configured passphrase.
    """
    yield look("signature rule", _signature_rule)
    yield look("offline keys", lambda: _offline_keys(root))
    if passphrase_file is None and lacks_credential(settings, environ):
        yield Finding(
            "online keys",
            Grade.WARNING,
            f"the passphrase is the systemd credential {settings.keys.credential}, not readable here: "
            "to try the keys, check again with --passphrase-file",
        )
    else:
        yield look("online keys", lambda: _keys(settings, environ, passphrase_file))
    yield look("database", lambda: _database(settings))
    view = trust_in(settings.trust.folder)()
    yield _certificate(settings.tls, settings, now, PeerKind.PROVINCE, view)
    for name, kind in CLIENTS.items():
        folder = NodeFolder(root).tls
        files = TlsSettings(
            certificate=folder / f"{name}.pem", private_key=folder / f"{name}.key", ca=settings.tls.ca
        )
        finding = _certificate(files, settings, now, kind)
        # only the commands use these: a node serves without them
        yield (
            Finding(finding.what, Grade.WARNING, finding.detail) if finding.grade is Grade.FAILED else finding
        )
    yield look_at_port("listen", settings.listen)
    yield look_at_port("issuer_listen", settings.issuer_listen)
    yield look_at_port("metrics", settings.metrics.listen)
    registry, served = _registry(settings)
    yield from _trust(settings, now, served)
    yield from _published_keys(settings, now)
    yield from _levels(settings, now)
    yield from _audit_logs(settings, now)
    yield from _level_time(settings, now if served is None else served.signed_at)
    yield from _officers(settings, now)
    yield registry


def _signature_rule() -> str:
    self_test()
    return "the library keeps the strict rule"


def _database(settings: NodeSettings) -> str:
    if not settings.database.exists():
        return "none yet: `serve` makes it"
    store = open_store(settings.database)
    try:
        store.verify()
    finally:
        store.close()
    return "sound"


def _offline_keys(root: Path) -> str:
    refuse_offline_keys(root)
    return "none in this folder"


def _keys(settings: NodeSettings, environ: Mapping[str, str], passphrase_file: Path | None) -> str:
    with as_caller():
        given = None if passphrase_file is None else read_passphrase(passphrase_file)
    keyring = open_keyring(settings, environ, passphrase=given)
    missing = [purpose for purpose in (KeyPurpose.HEAD, *SIGNING_PURPOSES) if not keyring.signers(purpose)]
    if missing:
        raise ConfigurationError(
            f"no {' and no '.join(missing)} key is in {settings.keys.folder}: restore the folder from its "
            f"backup, or make one with `province-node keys rotate --purpose {missing[0]}`"
        )
    return f"{len(keyring.infos)} open: " + ", ".join(sorted({info.purpose for info in keyring.infos}))


def _certificate(
    files: TlsSettings, settings: NodeSettings, now: int, kind: PeerKind, view: TrustView | None = None
) -> Finding:
    what = f"certificate {files.certificate.name}"
    try:
        tls = load_tls(files.certificate, files.private_key, files.ca, now=now, realm=settings.realm)
        peer = tls.identity.peer
        life = certificate_deadline(files.certificate.name, tls.certificate_pem.decode(), "its holder")
        if peer.kind is not kind or peer.participant != settings.participant:
            raise ConfigurationError(
                f"{files.certificate} names {peer.uri}, which is not this node's {kind.lower()}"
            )
    except HealthcodeError as error:
        return Finding(what, Grade.FAILED, error.message, error.exit_status)
    text = f"{peer.uri} until {rfc3339(life.ends)}"
    if life.must_act(now):
        return Finding(
            what, Grade.WARNING, f"{text}: less than a third of its life is left, have it issued again"
        )
    try:
        check_published(tls, () if view is None else published_cas(view, peer))
    except HealthcodeError as error:
        return Finding(what, Grade.WARNING, error.message)
    return Finding(what, Grade.OK, text)


@dataclass(frozen=True, slots=True)
class _Served:
    """What the registry serves, unverified (`serve` verifies it): when it signed last, and whether it names this node."""

    signed_at: int
    is_named: bool


def _trust(settings: NodeSettings, now: int, served: _Served | None) -> Iterator[Finding]:
    """The clock beside the registry's signatures, and the trust on disk."""
    now_served = None if served is None else served.signed_at
    try:
        store = TrustStore.open(settings.trust.folder)
    except HealthcodeError as error:
        yield look_at_clock(now, on_disk=None, served=now_served)
        yield Finding("trust", Grade.WARNING, f"{error.message}; `serve` gets it from the registry")
        return
    yield look_at_clock(now, on_disk=store.view.timestamp_signed_at, served=now_served)
    yield _trust_on_disk(store, settings, now, is_named=served is not None and served.is_named)


def _trust_on_disk(store: TrustStore, settings: NodeSettings, now: int, *, is_named: bool) -> Finding:
    view = store.view
    text = f"snapshot {view.snapshot_version}, signed {now - view.timestamp_signed_at} s ago"
    if settings.participant not in view.issuers and is_named:
        return Finding("trust", Grade.OK, f"{text}; admitted since, as the registry says: `serve` fetches it")
    if settings.participant not in view.issuers:
        return Finding("trust", Grade.WARNING, f"{text}; this participant is not admitted yet")
    if store.warnings:
        return Finding("trust", Grade.WARNING, "; ".join(store.warnings))
    if newer := [each.message for each in newer_files(store.state.national, store.state.areas)]:
        return Finding("trust", Grade.WARNING, "; ".join(newer))
    return Finding("trust", Grade.OK, text)


def _published_keys(settings: NodeSettings, now: int) -> Iterator[Finding]:
    """Whether the keys in the folder are the published ones, according to the trust on disk."""
    what = "published keys"
    try:
        issuer = TrustStore.open(settings.trust.folder).view.issuers.get(settings.participant)
        infos = [info for _, info in list_key_infos(settings.keys.folder)]
    except HealthcodeError:
        return  # reported by the checks above
    if issuer is None:
        return
    faults = list(key_warnings(infos, issuer, now))
    if not faults:
        yield Finding(what, Grade.OK, "one of each purpose is here and in its window")
    for fault in faults:
        yield Finding(what, Grade.WARNING, fault)


def _officers(settings: NodeSettings, now: int) -> Iterator[Finding]:
    """What refuses officers' acts, now or soon; a node serves without officers."""
    try:
        issuer = TrustStore.open(settings.trust.folder).view.issuers.get(settings.participant)
    except HealthcodeError:
        return  # reported by the checks above
    warnings = officers_warnings(settings, issuer, now)
    for warning in warnings:
        yield Finding("officers", Grade.WARNING, warning)
    if not warnings:
        yield Finding("officers", Grade.OK, describe_own_officers(settings, issuer, now))


def _levels(settings: NodeSettings, now: int) -> Iterator[Finding]:
    """What the first policy that derives levels will make of the stated ones; nothing once it was done."""
    try:
        policy = TrustStore.open(settings.trust.folder).view.policy
        coming = next((each for each in policy.policies if each.levels is not None), None)
        if coming is None or not settings.database.exists():
            return
        store = open_store(settings.database)
        try:
            is_upgraded = store.levels.is_upgraded()
            stated, without = store.levels.count_stated()
        finally:
            store.close()
    except HealthcodeError:
        return  # reported by the checks above
    if is_upgraded:
        return
    begins = f"policy {coming.version} derives levels from {rfc3339(max(coming.effective_from, now))} on"
    text = f"{begins}: {stated} stated RED or YELLOW levels become orders"
    unknown = coming.levels.without_evidence(settings.participant) if coming.levels is not None else None
    if unknown is Level.PENDING and without:
        what = f"{without} holders have no evidence and become PENDING: import their evidence before"
        yield Finding("levels", Grade.WARNING, f"{text}; {what}")
    else:
        yield Finding("levels", Grade.OK, text)


def _audit_logs(settings: NodeSettings, now: int) -> Iterator[Finding]:
    """What this node has against the audit logs of other provinces."""
    what = "audit logs of other provinces"
    try:
        known = WitnessFile(settings.trust.folder).read()
    except HealthcodeError as error:
        yield Finding(what, Grade.FAILED, error.message, error.exit_status)
        return
    steps = list(audit_steps(known, now))
    if not steps:
        yield Finding(what, Grade.OK, f"{len(known)} are watched")
    for step in steps:
        yield Finding(what, Grade.WARNING, step)


def _level_time(settings: NodeSettings, signed: int) -> Iterator[Finding]:
    """Whether levels are derived by a time that has come; `signed` is the registry's, or this clock's without it."""
    if not settings.database.exists():
        return
    try:
        store = open_store(settings.database)
        try:
            ahead = store.levels.latest_now() - signed
        finally:
            store.close()
    except HealthcodeError:
        return  # reported by the checks above
    if ahead > TOLERANCE_SECONDS:
        yield Finding(
            "level time",
            Grade.WARNING,
            f"the store's time is {ahead} s ahead of signed time, since this clock was ahead once: until then no level "
            "starts or lapses, and evidence gets a wrong date. Stop the node, and run `province-node level-time --set-back`",
        )


def _registry(settings: NodeSettings) -> tuple[Finding, _Served | None]:
    """Whether the registry answers, and with what."""
    try:
        served, fault = asyncio.run(_reach(settings))
    except HealthcodeError as error:
        return Finding("registry", Grade.FAILED, error.message, error.exit_status), None
    if fault is not None:
        return Finding("registry", Grade.WARNING, f"{settings.registry.endpoint} answers; {fault}"), served
    return Finding("registry", Grade.OK, f"{settings.registry.endpoint} answers"), served


async def _reach(settings: NodeSettings) -> tuple[_Served, str | None]:
    view = trust_in(settings.trust.folder)()
    return await ask_by_published_ca(settings.registry.ca, view, lambda ca_pem: _reach_by(settings, ca_pem))


async def _reach_by(settings: NodeSettings, ca_pem: str) -> _Served:
    registry = settings.registry
    channel = open_channel(
        registry.endpoint,
        ca_pem=ca_pem,
        server=PeerId(settings.realm, PeerKind.REGISTRY),
        retries=False,
    )
    stub = TrustRegistryServiceStub(channel)

    async def fetch(path: str) -> bytes:
        request, data = trust_registry_pb2.FetchFileRequest(path=path), bytearray()
        async for part in stub.FetchFile(request, timeout=_REACH_SECONDS):
            data += part.chunk
        return bytes(data)

    try:
        with rpc_errors(f"the registry {registry.endpoint}"):
            timestamp = decode_metadata(await fetch("metadata/timestamp.json"), Timestamp)
            version = timestamp.signed.snapshot_meta.version
            snapshot = decode_metadata(await fetch(metadata_file("snapshot", version)), Snapshot)
    finally:
        await channel.close()
    is_named = f"{authority_role(settings.participant)}.json" in snapshot.signed.meta
    return _Served(signed_at(timestamp.signed), is_named)
