"""The checks of `trust-registry check`: problems that would stop or harm the registry, and how to solve them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from healthcode.cli.finding import Finding, Grade, look, look_at_port
from healthcode.clock import Clock, rfc3339
from healthcode.errors import ConfigurationError, HealthcodeError
from healthcode.rpc.mtls.certificate import is_issued_by, validity_of
from healthcode.rpc.mtls.tls_files import check_published
from healthcode.service.deadline import certificate_deadline
from healthcode.signing.ed25519 import self_test
from healthcode.trust.format.layout import PARTICIPANTS_PATH, POLICY_PATH, authority_role, metadata_file
from healthcode.trust.format.metadata_fields import signed_at
from healthcode.trust.verify.national import NationalFiles, verify_national
from healthcode.trust.verify.roots import bootstrap_fingerprints
from healthcode.trust.verify.tls_ca import split_pem
from trust_registry.layout import RegistryFolder
from trust_registry.participants.checks import authority_of, tls_ca_faults
from trust_registry.participants.join import Join
from trust_registry.participants.service_cas import load_own_certificate, published_own_cas
from trust_registry.proposals.proposal import decode_proposal
from trust_registry.registry import Registry, check_offline_keys, lacks_credential, open_registry
from trust_registry.settings import RegistrySettings, load_registry_settings
from trust_registry.tree.files import TIMESTAMP_FILE
from trust_registry.tree.lost_versions import given_up, lost_versions
from trust_registry.tree.online_keys import roles_without_key

__all__ = ["inspect_folder"]

_SKEW_SECONDS = 300
_LEAST_FREE_BYTES = 256 * 1024 * 1024


def inspect_folder(
    folder: RegistryFolder,
    clock: Clock,
    environ: Mapping[str, str],
    *,
    passphrase: bytes | None = None,
) -> list[Finding]:
    """Everything that can be checked without starting the server.

    `passphrase` opens the online keys here, instead of the configured one.
    """
    findings = [look("signature library", _check_signatures)]
    try:
        settings = load_registry_settings(folder.configuration)
        with_keys = passphrase is not None or not lacks_credential(settings, environ)
        registry = open_registry(folder, clock, environ, with_keys=with_keys, passphrase=passphrase)
    except HealthcodeError as error:
        return [*findings, Finding("configuration and keys", Grade.FAILED, error.message, error.exit_status)]
    now, server = clock.now(), registry.settings.server
    return [
        *findings,
        _inspect_passphrase(registry, with_keys=with_keys),
        _inspect_offline_keys(registry),
        _certificate(registry.settings, _published_cas(registry), now),
        look("trust tree", lambda: _verify_tree(registry)),
        look("online keys", lambda: _verify_keys(registry)),
        _inspect_restore(registry),
        _inspect_lacking(registry),
        _inspect_newer(registry),
        *_check_tls_cas(registry),
        _inspect_clock(registry, now),
        look_at_port("listen", server.listen),
        look_at_port("public_listen", server.public_listen),
        look_at_port("metrics", registry.settings.metrics.listen),
        _inspect_disk(registry),
        *_inspect_files(registry),
    ]


def _check_signatures() -> str:
    self_test()
    return "follows the signature rule of docs/wire-format.md"


def _inspect_passphrase(registry: Registry, *, with_keys: bool) -> Finding:
    what, settings = "configuration and keys", registry.settings
    if with_keys:
        return Finding(what, Grade.OK, f"realm {settings.realm}, the online keys open")
    return Finding(
        what,
        Grade.WARNING,
        f"realm {settings.realm}; the passphrase is the systemd credential {settings.keys.credential}, not readable "
        "here: to try the keys, check again with --passphrase-file",
    )


def _certificate(settings: RegistrySettings, published: Sequence[str] | None, now: int) -> Finding:
    what = "certificate"
    try:
        files = load_own_certificate(settings, now)
        if published is not None:
            check_published(files, published)
        life = certificate_deadline(what, files.certificate_pem.decode(), "its holder")
    except HealthcodeError as error:
        return Finding(what, Grade.FAILED, error.message, error.exit_status)
    text = f"{files.identity.peer.uri} until {rfc3339(life.ends)}"
    if life.must_act(now):
        return Finding(
            what, Grade.WARNING, f"{text}: less than a third of its lifetime is left, have a new one issued"
        )
    return Finding(what, Grade.OK, text)


def _published_cas(registry: Registry) -> Sequence[str] | None:
    """None if the tree is damaged, which its own finding says."""
    try:
        return published_own_cas(registry.repository.published())
    except HealthcodeError:
        return None


def _inspect_offline_keys(registry: Registry) -> Finding:
    what = "offline keys"
    try:
        warnings = check_offline_keys(registry)
    except HealthcodeError as error:
        return Finding(what, Grade.FAILED, error.message)
    if warnings:
        return Finding(what, Grade.WARNING, "; ".join(warnings))
    return Finding(what, Grade.OK, "there are none here")


def _verify_tree(registry: Registry) -> str:
    """Verifies the whole tree as a client would; describes it."""
    published = registry.repository.published()
    tree = registry.repository.tree
    roots = [tree.read(metadata_file("root", version)) for version in range(1, published.versions.root + 1)]
    national = verify_national(
        NationalFiles(
            roots=tuple(roots),
            timestamp=tree.read(TIMESTAMP_FILE),
            snapshot=tree.read(metadata_file("snapshot", published.versions.snapshot)),
            targets=published.role_bytes("targets"),
            participants=published.file(published.targets, PARTICIPANTS_PATH),
            policy=published.file(published.targets, POLICY_PATH),
            adopted=bootstrap_fingerprints(roots, roots[-1]),
        )
    )
    for code in published.members:
        if published.held_version(authority_role(code)):
            authority_of(published, code)
    return f"{len(national.participants.participants)} participants, every signature is valid"


def _verify_keys(registry: Registry) -> str:
    """Raises ConfigurationError if snapshot or timestamp cannot be signed here."""
    root = registry.repository.published().root.signed
    missing = roles_without_key(registry.folder, root)
    if missing:
        raise ConfigurationError(
            f"keys/ has no key that root version {root.version} names for {' and '.join(missing)}. After a rebuild with new "
            "keys: have the proposals signed that name them. After a rebuild with kept keys: the sources may be older than "
            "the keys, so rebuild from a newer source. Otherwise restore the keys from their backup"
        )
    return f"the keys that root version {root.version} names are here"


def _inspect_restore(registry: Registry) -> Finding:
    what = "restore"
    if not registry.repository.awaits_reports:
        return Finding(what, Grade.OK, "this registry may sign")
    text = (
        "restored from a backup: once it serves, it signs nothing before nodes have reported what was published since. "
        f"No node is left? Then remove {registry.folder.restored}"
    )
    return Finding(what, Grade.WARNING, text)


def _inspect_lacking(registry: Registry) -> Finding:
    """Versions that were published and are lost here; only their owners can send them again."""
    what = "lost files"
    try:
        lacking = registry.repository.published().lacking
    except HealthcodeError as error:
        return Finding(what, Grade.FAILED, error.message)
    named = ", ".join(
        f"{role} version {version}" for role, version in sorted(lacking.items()) if role != "targets"
    )
    if named:
        text = f"published before and lost here: {named}; each owner sends its version again, or publishes the next one"
        return Finding(what, Grade.WARNING, text)
    return Finding(what, Grade.OK, "everything that provinces published is here")


def _inspect_newer(registry: Registry) -> Finding:
    """Whether root and targets may be signed here."""
    what = "root and targets"
    try:
        published = registry.repository.published()
        behind = lost_versions(published)
    except HealthcodeError as error:
        return Finding(what, Grade.FAILED, error.message)
    if behind:
        return Finding(what, Grade.WARNING, "; ".join(f"{each}: {each.what}" for each in behind))
    if without := given_up(published, "root", "targets"):
        return Finding(what, Grade.WARNING, f"signed without {'; without '.join(without)}")
    return Finding(what, Grade.OK, "no newer versions are known")


def _check_tls_cas(registry: Registry) -> list[Finding]:
    what = "published CAs"
    try:
        faults = tls_ca_faults(registry.repository.published())
    except HealthcodeError:
        return []  # the trust tree is damaged: its own finding says so
    if faults:
        return [Finding(what, Grade.WARNING, "; ".join(fault.message for fault in faults))]
    if due := _step_due(registry):
        return [Finding(what, Grade.WARNING, due)]
    return [Finding(what, Grade.OK, "each is a CA certificate with a unique subject")]


def _step_due(registry: Registry) -> str | None:
    """The step that is due while several CAs are published for this registry (docs/operating.md, Another CA)."""
    cas = [pem for text in published_own_cas(registry.repository.published()) for pem in split_pem(text)]
    if len(cas) < 2:
        return None
    newest = max(cas, key=validity_of)
    try:
        files = load_own_certificate(registry.settings, registry.clock.now())
    except HealthcodeError:
        return None  # the finding on the certificate says so
    if is_issued_by(files.certificate_pem, (newest,)):
        return (
            f"{len(cas)} CAs are published for this registry, and its certificate is of the newest: step 3 of "
            "docs/operating.md, Another CA, is due, a day after step 2: propose that CA alone"
        )
    return (
        f"{len(cas)} CAs are published for this registry, and its certificate is not of the newest: step 2 of "
        "docs/operating.md, Another CA, is due: `trust-registry certificate --new-ca`"
    )


def _inspect_clock(registry: Registry, now: int) -> Finding:
    what = "clock"
    try:
        signed = signed_at(registry.repository.published().timestamp.signed)
    except HealthcodeError as error:
        return Finding(what, Grade.FAILED, error.message)
    if signed > now + _SKEW_SECONDS:
        text = (
            f"this machine says {rfc3339(now)}, and the timestamp was signed at {rfc3339(signed)}: "
            "set the clock before anything is signed"
        )
        return Finding(what, Grade.FAILED, text)
    return Finding(what, Grade.OK, f"{rfc3339(now)}, not before the last signature")


def _inspect_disk(registry: Registry) -> Finding:
    free = shutil.disk_usage(registry.folder.root).free
    text = f"{free // (1024 * 1024)} MiB free"
    if free < _LEAST_FREE_BYTES:
        return Finding("disk", Grade.WARNING, f"{text}: make room, or publications will be refused")
    return Finding("disk", Grade.OK, text)


def _inspect_files(registry: Registry) -> list[Finding]:
    """Proposals and join requests that cannot be read; other commands skip them."""
    decoders: tuple[tuple[Path, Callable[[bytes], object]], ...] = (
        (registry.folder.proposals, decode_proposal),
        (registry.folder.joins, Join.decode),
    )
    findings = []
    for folder, decode in decoders:
        for path in sorted(folder.glob("*.json")):
            try:
                decode(path.read_bytes())
            except (HealthcodeError, OSError) as error:
                findings.append(Finding(f"{folder.name}/{path.name}", Grade.WARNING, str(error)))
    return findings
