"""The pseudonym under which the node stores a holder: a keyed hash of the identity document.

The key is outside the database, in an encrypted key file, so the database alone reveals no document number.
"""

from __future__ import annotations

import hashlib
import hmac

from healthcode.identity.document import IdentityDocument

__all__ = ["PseudonymKey"]


class PseudonymKey:
    """Derives 32-byte pseudonyms of holders, references of records, and digests of requests."""

    __slots__ = ("_secret", "_started")

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        # keyed once: `hmac.digest` would release the interpreter's lock, and wait for it, for each item
        self._started = {use: self._start(use) for use in (b"holder", b"record")}

    def pseudonym(self, document: IdentityDocument) -> bytes:
        """HMAC-SHA-256 of document type and number."""
        return self._mac(b"holder", f"{document.type}:{document.number}".encode())

    def record_reference(self, source: str, record: str) -> str:
        """The node's reference of a source's record, 32 hex digits. Keyed: the record may be a document number."""
        return self._mac(b"record", f"{source}:{record}".encode())[:16].hex()

    def request_digest(self, method: str, content: bytes) -> bytes:
        """A digest of a request's content; keyed, since a plain hash of a document number hides nothing."""
        return self._mac(b"request/" + method.encode(), content)

    def _start(self, use: bytes) -> hmac.HMAC:
        return hmac.new(self._secret, b"healthcode/1/" + use + b"\x00", hashlib.sha256)

    def _mac(self, use: bytes, content: bytes) -> bytes:
        mac = self._started[use].copy() if use in self._started else self._start(use)
        mac.update(content)
        return mac.digest()
