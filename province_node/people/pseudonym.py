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

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def pseudonym(self, document: IdentityDocument) -> bytes:
        """HMAC-SHA-256 of document type and number."""
        return self._mac(b"holder", f"{document.type}:{document.number}".encode())

    def record_reference(self, source: str, record: str) -> str:
        """The node's reference of a source's record, 32 hex digits. Keyed: the record may be a document number."""
        return self._mac(b"record", f"{source}:{record}".encode())[:16].hex()

    def request_digest(self, method: str, content: bytes) -> bytes:
        """A digest of a request's content; keyed, since a plain hash of a document number hides nothing."""
        return self._mac(b"request/" + method.encode(), content)

    def _mac(self, use: bytes, content: bytes) -> bytes:
        return hmac.digest(self._secret, b"healthcode/1/" + use + b"\x00" + content, hashlib.sha256)
