"""What `check` looks at before the registry is ever started: what would stop or harm it, and what to do."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from healthcode.clock import Clock, rfc3339
from healthcode.errors import HealthcodeError
from healthcode.rpc.certificate import load_tls
from healthcode.settings import split_address
from healthcode.signing.ed25519 import self_test
from healthcode.trust.layout import PARTICIPANTS_PATH, POLICY_PATH, metadata_file
from healthcode.trust.metadata import signed_at
from healthcode.trust.national import NationalFiles, verify_national
from trust_registry.app import Registry, check_offline_keys, open_registry
from trust_registry.folder import RegistryFolder
from trust_registry.join import Join
from trust_registry.proposal import decode_proposal
from trust_registry.publication import anchor_faults, authority_of
from trust_registry.tree import TIMESTAMP_FILE

__all__ = ["Finding", "Grade", "inspect_folder"]

_SKEW_SECONDS = 300
_LEAST_FREE_BYTES = 256 * 1024 * 1024

_Found = TypeVar("_Found")


class Grade(StrEnum):
    """How a finding is meant."""

    OK = "OK"
    WARNING = "WARNING"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    grade: Grade
    text: str


def inspect_folder(folder: RegistryFolder, clock: Clock, environ: Mapping[str, str]) -> list[Finding]:
    """Everything that can be found out without starting."""
    findings = [_try("signature library", self_test, lambda _: "keeps the rule of docs/wire-format.md")]
    try:
        registry = open_registry(folder, clock, environ)
    except HealthcodeError as error:
        return [*findings, Finding("configuration and keys", Grade.FAILED, error.message)]
    now, realm, tls = clock.now(), registry.settings.realm, registry.settings.tls
    return [
        *findings,
        Finding("configuration and keys", Grade.OK, f"realm {realm}, the online keys open"),
        _inspect_offline_keys(registry),
        _try(
            "certificate",
            lambda: load_tls(tls.certificate, tls.private_key, tls.ca, now=now, realm=realm),
            lambda files: f"holds until {rfc3339(files.identity.not_after)}",
        ),
        _try("trust tree", lambda: _verify_tree(registry), lambda text: text),
        *_inspect_anchors(registry),
        _inspect_clock(registry, now),
        _inspect_addresses(registry),
        _inspect_disk(registry),
        *_inspect_files(registry),
    ]


def _try(what: str, look: Callable[[], _Found], tell: Callable[[_Found], str]) -> Finding:
    try:
        found = look()
    except HealthcodeError as error:
        return Finding(what, Grade.FAILED, error.message)
    return Finding(what, Grade.OK, tell(found))


def _inspect_offline_keys(registry: Registry) -> Finding:
    what = "offline keys"
    try:
        warnings = check_offline_keys(registry)
    except HealthcodeError as error:
        return Finding(what, Grade.FAILED, error.message)
    if warnings:
        return Finding(what, Grade.WARNING, "; ".join(warnings))
    return Finding(what, Grade.OK, "none lie here")


def _verify_tree(registry: Registry) -> str:
    """The whole tree as a client would check it; what it holds."""
    published = registry.repository.published()
    tree = registry.repository.tree
    national = verify_national(
        NationalFiles(
            roots=tuple(
                tree.read(metadata_file("root", version)) for version in range(1, published.versions.root + 1)
            ),
            timestamp=tree.read(TIMESTAMP_FILE),
            snapshot=tree.read(metadata_file("snapshot", published.versions.snapshot)),
            targets=published.role_bytes("targets"),
            participants=published.file(published.targets, PARTICIPANTS_PATH),
            policy=published.file(published.targets, POLICY_PATH),
        )
    )
    for code in national.participants.participants:
        authority_of(published, code)
    return f"{len(national.participants.participants)} participants, every signature holds"


def _inspect_anchors(registry: Registry) -> list[Finding]:
    what = "published CAs"
    try:
        faults = anchor_faults(registry.repository.published())
    except HealthcodeError:
        return []  # the trust tree is damaged, which was told
    if faults:
        return [Finding(what, Grade.WARNING, "; ".join(fault.message for fault in faults))]
    return [Finding(what, Grade.OK, "each is a CA certificate with a subject of its own")]


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
    return Finding(what, Grade.OK, f"{rfc3339(now)}, not before what was signed last")


def _inspect_disk(registry: Registry) -> Finding:
    free = shutil.disk_usage(registry.folder.root).free
    text = f"{free // (1024 * 1024)} MiB free"
    if free < _LEAST_FREE_BYTES:
        return Finding("disk", Grade.WARNING, f"{text}: make room, or publications will be refused")
    return Finding("disk", Grade.OK, text)


def _inspect_addresses(registry: Registry) -> Finding:
    server = registry.settings.server
    for address in (server.listen, server.public_listen):
        host, port = split_address(address)
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError as error:
            text = f"cannot listen on {address} now: {error.strerror}. Is the registry running already?"
            return Finding("addresses", Grade.WARNING, text)
    return Finding("addresses", Grade.OK, f"{server.listen} and {server.public_listen} are free")


def _inspect_files(registry: Registry) -> list[Finding]:
    """Proposals and requests that cannot be read; they are passed over elsewhere."""
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
