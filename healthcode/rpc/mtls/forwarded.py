"""A client's leaf certificate in a header, from a proxy that ended the client's TLS."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from healthcode.errors import DecodeError, PermissionDeniedError, Reason, UnauthenticatedError
from healthcode.identity.x509 import decode_certificates
from healthcode.rpc.mtls.certificate import public_key_of

__all__ = ["HEADER", "MAX_HEADER_BYTES", "Proxies", "forwarded_leaf"]

HEADER = "healthcode-client-certificate"
"""The leaf as a URL-encoded PEM, as nginx's $ssl_client_escaped_cert and Envoy's DOWNSTREAM_PEER_CERT have it."""
MAX_HEADER_BYTES = 8 * 1024


class Proxies:
    """The proxies that may speak for their clients, by the SHA-256 of their public keys, and to which services.

    A proxy has no identity of its own: its connections count for the client that the header names, or for no client.
    """

    def __init__(self, public_keys: Collection[str] = (), services: Collection[str] = ()) -> None:
        self._public_keys = frozenset(public_keys)
        self._services = frozenset(services)

    def has(self, leaf_pem: bytes | None) -> bool:
        """Whether the connection with this leaf is a proxy's; TLS has proved that it has the key."""
        if not self._public_keys or leaf_pem is None:
            return False
        return public_key_of(leaf_pem) in self._public_keys

    def check_path(self, path: str) -> None:
        """Raises PermissionDeniedError if no proxy may call this method for its clients."""
        if path.split("/")[1] not in self._services:
            raise PermissionDeniedError("this method is not served through a proxy: call the node itself")


def forwarded_leaf(metadata: Iterable[tuple[str, str | bytes]]) -> bytes | None:
    """The leaf (PEM) in a proxy's headers; None if its client showed none. Raises UnauthenticatedError."""
    values = [value for key, value in metadata if key == HEADER]
    if not values:
        return None
    if len(values) > 1:
        raise UnauthenticatedError(f"there are {len(values)} headers {HEADER}: the proxy must overwrite it")
    return _decode(values[0])


# one client sends the same header with each call
@lru_cache(maxsize=1024)
def _decode(value: str | bytes) -> bytes:
    if len(value) > MAX_HEADER_BYTES:
        raise UnauthenticatedError(
            f"the header {HEADER} has {len(value)} bytes, and at most {MAX_HEADER_BYTES} are taken"
        )
    pem = unquote_to_bytes(value)
    try:
        found = decode_certificates(pem)
    except DecodeError as error:
        raise UnauthenticatedError(f"the header {HEADER} holds no certificate in PEM form") from error
    if len(found) != 1:
        raise UnauthenticatedError(
            f"the header {HEADER} holds {len(found)} certificates: the proxy passes on the leaf alone",
            reason=Reason.IDENTITY_MISSING,
        )
    return pem
