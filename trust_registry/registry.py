"""Opens a registry's folder: settings, trust tree, stores and online keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from healthcode.clock import Clock
from healthcode.errors import ConfigurationError, Reason
from healthcode.identity.realm import is_test_realm
from trust_registry.founding.by_cards import check_founded
from trust_registry.layout import RegistryFolder
from trust_registry.participants.join import JoinStore
from trust_registry.participants.node_reports import NodeReportStore
from trust_registry.proposals.proposal import ProposalStore
from trust_registry.settings import RegistrySettings, load_registry_settings
from trust_registry.tree.event_log import EventLog, account_name
from trust_registry.tree.online_keys import OnlineKeys, offline_keys_in, read_online_keys
from trust_registry.tree.repository import Repository

__all__ = ["Registry", "check_offline_keys", "lacks_credential", "open_registry"]


@dataclass(frozen=True, slots=True)
class Registry:
    """An opened registry, as commands and the server use it."""

    folder: RegistryFolder
    settings: RegistrySettings
    repository: Repository
    joins: JoinStore
    proposals: ProposalStore
    events: EventLog
    clock: Clock


def open_registry(
    folder: RegistryFolder,
    clock: Clock,
    environ: Mapping[str, str],
    *,
    with_keys: bool = True,
    passphrase: bytes | None = None,
) -> Registry:
    """Opens a registry. Raises ConfigurationError naming the fault and what to do.

    Without `with_keys` the online keys stay closed: proposals can be read and signed, and nothing published.
    `passphrase` opens them instead of the configured one.
    """
    settings = load_registry_settings(folder.configuration)
    check_founded(folder)

    def reopen() -> OnlineKeys:
        return read_online_keys(folder, settings.keys, settings.realm, environ, passphrase=passphrase)

    events = EventLog(folder.events, clock, account_name(environ))
    repository = Repository(
        folder,
        reopen() if with_keys else None,
        clock,
        reopen=reopen if with_keys else None,
        claims=NodeReportStore(folder.nodes).claims,
        events=events,
    )
    realm = repository.published().realm
    if realm != settings.realm:
        raise ConfigurationError(
            f"registry.toml says realm {settings.realm}, and the trust tree is of {realm}",
            reason=Reason.REALM_MISMATCH,
        )
    return Registry(
        folder,
        settings,
        repository,
        JoinStore(folder.joins),
        ProposalStore(folder.proposals, events),
        events,
        clock,
    )


def lacks_credential(settings: RegistrySettings, environ: Mapping[str, str]) -> bool:
    """Whether the passphrase is a systemd credential that this process, unlike the service, does not get."""
    return settings.keys.credential is not None and not environ.get("CREDENTIALS_DIRECTORY")


def check_offline_keys(registry: Registry) -> list[str]:
    """Warnings about offline keys in this folder. Raises ConfigurationError for them outside test realms."""
    found = offline_keys_in(registry.folder.root)
    ca_key = registry.folder.tls / "ca.key"
    left = [*found, *([ca_key] if ca_key.exists() else [])]
    if not left:
        return []
    names = ", ".join(str(path.relative_to(registry.folder.root)) for path in left)
    if not is_test_realm(registry.settings.realm) and found:
        raise ConfigurationError(
            f"these keys must not be on the machine that serves: {names}. Carry each to its key holder, "
            "check that it opens there, and remove it here; then start again"
        )
    return [f"this folder has offline keys, which only a test realm may have: {names}"]
