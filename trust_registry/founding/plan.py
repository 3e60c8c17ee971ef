"""The plan of a realm to found: who signs, at which thresholds, and where the registry listens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from healthcode.errors import ConfigurationError, InvalidInputError, Reason
from healthcode.identity.realm import check_realm, is_test_realm
from healthcode.policy.lint.policy_lint import check_policy
from healthcode.signing.passphrase import check_passphrase
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.json_files import ServiceEntry
from trust_registry.layout import RegistryFolder

__all__ = ["FoundingPlan", "KeyHolder", "check_folder_is_new", "check_thresholds"]


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """A person who gets a key in a ceremony; `key_name` names the key file."""

    purpose: KeyPurpose
    key_name: str
    person: str
    passphrase: bytes

    def __repr__(self) -> str:
        return f"KeyHolder({self.key_name}, {self.person})"  # the passphrase stays out of logs and tracebacks


@dataclass(frozen=True, slots=True)
class FoundingPlan:
    """A realm to found. `roots` and `operators` are empty if key holders bring cards."""

    realm: str
    roots: Sequence[KeyHolder]
    root_threshold: int
    operators: Sequence[KeyHolder]
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
        """Checks the plan of a ceremony. Raises InvalidInputError."""
        check_thresholds(
            self.realm,
            development=self.development,
            roots=(len(self.roots), self.root_threshold),
            operators=(len(self.operators), self.operator_threshold),
        )
        for what, key_holders in (("root", self.roots), ("operator", self.operators)):
            people = {key_holder.person.casefold() for key_holder in key_holders}
            if len(people) != len(key_holders):
                raise InvalidInputError(f"two {what} keys have one key holder: give each to another person")
            for key_holder in key_holders:
                check_passphrase(key_holder.passphrase.decode(), key_holder.key_name)
        check_policy(self.policy)


def check_thresholds(
    realm: str, *, development: bool, roots: tuple[int, int], operators: tuple[int, int]
) -> None:
    """Checks the realm's name and both thresholds; `roots` and `operators` are (keys, threshold).

    Raises InvalidInputError.
    """
    check_realm(realm)
    if development and not is_test_realm(realm):
        raise InvalidInputError(
            f"--development asks nobody to sign, so it cannot found realm {realm}: "
            "name a test realm (test-…), or leave out --development",
            reason=Reason.REALM_MISMATCH,
        )
    least = 1 if development else 2
    for what, (count, threshold) in (("root", roots), ("operator", operators)):
        if not least <= threshold <= count:
            raise InvalidInputError(
                f"{count} {what} keys with a threshold of {threshold}: the threshold must be between "
                f"{least} and the number of keys, so that no one person acts alone"
            )


def check_folder_is_new(folder: RegistryFolder) -> None:
    """Checks that a realm can be founded in `folder`. Raises ConfigurationError."""
    target = folder.root.absolute()
    if target.exists() and any(target.iterdir()):
        raise ConfigurationError(f"{target} is not empty: found a realm in a new folder")
