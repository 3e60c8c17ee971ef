"""The node's online keys: opens them, and says which key signs now."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from healthcode.errors import ConfigurationError, HealthcodeError, PreconditionError, Reason
from healthcode.signing.ed25519 import PrivateKey
from healthcode.signing.keyfile import (
    KeyFileDamageError,
    KeyFileLockedError,
    KeyInfo,
    LoadedKey,
    read_key_file,
)
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import IssuerView
from province_node.keys.key_files import OFFLINE_PURPOSES, add_remedy, list_key_files, read_online_info

__all__ = ["Keyring"]


class Keyring:
    """The opened online keys of one node."""

    def __init__(
        self, folder: Path, passphrase: bytes, *, participant: str, realm: str, settle_seconds: int = 0
    ) -> None:
        """Opens every key file in `folder`.

        A new key signs once it has been seen published for `settle_seconds`, so that other nodes have it too.
        Raises ConfigurationError: the INDEX key is missing, or a file is damaged, readable by others, of another
        realm or participant, or not opened by the passphrase.
        """
        # A missing key other than INDEX stops nothing: what it signs waits for another key. A damaged file stops the
        # start, so that no key is lost unnoticed: a person must move the file away.
        self._folder = folder
        self._passphrase = passphrase
        self._participant = participant
        self._realm = realm
        self._opened: dict[Path, LoadedKey] = {}
        self._signers: dict[bytes, PrivateKey] = {}
        self._settle_seconds = settle_seconds
        self._first_seen: dict[bytes, int] = {}
        self._forbidden: frozenset[bytes] = frozenset()
        self._unreadable: Mapping[str, HealthcodeError] = {}
        self._scanning = threading.Lock()
        for path in list_key_files(folder):
            self._open(path)
        self._only(KeyPurpose.INDEX)

    def __repr__(self) -> str:
        return f"Keyring({len(self._opened)} keys)"

    def rescan(self) -> int:
        """Opens new key files; returns how many. One that does not open leaves the others: see `unreadable`."""
        with self._scanning:
            found, unreadable = 0, {}
            for path in list_key_files(self._folder):
                if path in self._opened:
                    continue
                try:
                    self._open(path)
                    found += 1
                except HealthcodeError as error:
                    unreadable[path.name] = error
            self._unreadable = unreadable
        return found

    def _open(self, path: Path) -> None:
        info = read_online_info(path)
        if info.realm != self._realm or info.participant != self._participant:
            raise ConfigurationError(
                f"{path} is a key of participant {info.participant} in realm {info.realm}; this node is "
                f"participant {self._participant} in realm {self._realm}: move it away"
            )
        if info.purpose in OFFLINE_PURPOSES:
            raise ConfigurationError(f"{path} is an offline key ({info.purpose}): take it off this machine")
        try:
            loaded = read_key_file(path, self._passphrase)
        except KeyFileDamageError as error:
            raise add_remedy(path, error) from None
        except KeyFileLockedError as error:
            # a passphrase that opens another file is right, so this file is damaged
            raise (add_remedy(path, error) if self._opens_another(path) else error) from None
        # a new mapping: another thread may read the old one
        self._opened = {**self._opened, path: loaded}
        if loaded.info.public is not None:
            self._signers = {**self._signers, loaded.info.public: loaded.private}

    @property
    def unreadable(self) -> Mapping[str, HealthcodeError]:
        """The key files that the last look could not open, by name, and why."""
        return self._unreadable

    @property
    def opened(self) -> Mapping[str, KeyInfo]:
        """The opened keys by the name of their file."""
        return {path.name: key.info for path, key in self._opened.items()}

    def _opens_another(self, locked: Path) -> bool:
        for path in sorted(self._folder.glob("*.key")):
            with contextlib.suppress(ConfigurationError):
                if path != locked and (path in self._opened or read_key_file(path, self._passphrase)):
                    return True
        return False

    def signers(self, purpose: KeyPurpose) -> list[tuple[KeyInfo, PrivateKey]]:
        """Every key of a purpose in the folder, published or not."""
        return [(key.info, key.private) for key in self._opened.values() if key.info.purpose is purpose]

    @property
    def infos(self) -> Sequence[KeyInfo]:
        return [key.info for key in self._opened.values()]

    def head_key(self) -> PrivateKey:
        """The newest HEAD key (TUF role province-NN-live), which the next request names.

        Raises ConfigurationError when there is none.
        """
        heads = self._heads()
        if not heads:
            raise ConfigurationError(
                f"the HEAD key is missing in {self._folder}: restore it from the backup of this folder, "
                "or make another with `province-node keys rotate --purpose HEAD`"
            )
        return heads[0]

    def head_keys(self, issuer: IssuerView) -> Sequence[PrivateKey]:
        """The HEAD keys in the folder, in the order to try them: the published one first, then the newest."""
        # during a rotation the registry takes the new key before the trust files show it
        return sorted(self._heads(), key=lambda key: key.public not in issuer.live_keys)

    def _heads(self) -> list[PrivateKey]:
        found = [key for key in self._opened.values() if key.info.purpose is KeyPurpose.HEAD]
        return [key.private for key in sorted(found, key=lambda key: key.info.created, reverse=True)]

    def index_secret(self) -> bytes:
        """The key of the index permutation."""
        return self._derive(b"index")

    def holder_secret(self) -> bytes:
        """The key of holder pseudonyms."""
        return self._derive(b"holder")

    def observe(self, issuer: IssuerView, now: int) -> None:
        """Notes when each published key was first seen. Call it with every new view."""
        for key in issuer.keys.values():
            self._first_seen.setdefault(key.public, now)

    def lacks(self, issuer: IssuerView) -> bool:
        """Whether a published key, the live key included, is not opened here."""
        published = {*issuer.live_keys, *(key.public for key in issuer.keys.values())}
        return not published <= self._signers.keys()

    def forbid(self, kids: Iterable[bytes]) -> None:
        """These keys do not sign any more, although the trust files may still list them."""
        self._forbidden |= frozenset(kids)

    def signing_key(
        self, purpose: KeyPurpose, issuer: IssuerView | None, now: int, *, without: bytes | None = None
    ) -> PrivateKey:
        """The key that signs for `purpose` at `now`, other than the key `without`.

        Raises PreconditionError (KEY_UNAVAILABLE).
        """
        if issuer is None:
            raise PreconditionError(
                f"participant {self._participant} is not in the trust files yet: "
                "its join request waits for the national operators' approval",
                reason=Reason.KEY_UNAVAILABLE,
            )
        self.observe(issuer, now)
        # only keys that the trust files list for now: a signature that other nodes cannot verify yet is never made
        mine = [
            key
            for key in issuer.keys_for(purpose, now)
            if key.public in self._signers and key.kid not in self._forbidden and key.kid != without
        ]
        for key in mine:
            if now - self._first_seen[key.public] >= self._settle_seconds:
                return self._signers[key.public]
        if mine:
            return self._signers[mine[-1].public]
        raise PreconditionError(
            f"no {purpose} key of this node is published and in its window: run `province-node keys list`, "
            f"then `keys rotate --purpose {purpose}` and have the authority sign the request",
            reason=Reason.KEY_UNAVAILABLE,
        )

    def _only(self, purpose: KeyPurpose) -> LoadedKey:
        found = [key for key in self._opened.values() if key.info.purpose is purpose]
        if len(found) != 1:
            problem = "is missing" if not found else "is there more than once"
            raise ConfigurationError(
                f"the {purpose} key {problem} in {self._folder}: restore it from the backup of this folder"
            )
        return found[0]

    def _derive(self, use: bytes) -> bytes:
        return hmac.digest(self._only(KeyPurpose.INDEX).secret, b"healthcode/1/" + use, hashlib.sha256)
