"""What a mutating request is remembered by: caller, request id and a keyed digest of its content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from healthcode.clock import Clock
from healthcode.errors import InvalidInputError
from healthcode.rpc.call import CallInfo
from province_node.people.pseudonym import PseudonymKey
from province_node.store.records import Request

__all__ = ["RequestMemory"]

_MAX_REQUEST_ID = 64
_REQUEST_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class RequestMemory:
    """Makes the `Request` of a call."""

    pseudonym_key: PseudonymKey
    clock: Clock

    def request_of(self, method: str, message: Any, call: CallInfo) -> Request:
        """`message` has a request_id. Raises InvalidInputError for one that cannot be kept."""
        request_id: str = message.request_id
        if not (
            1 <= len(request_id) <= _MAX_REQUEST_ID and request_id.isascii() and request_id.isprintable()
        ):
            raise InvalidInputError(
                "request_id: draw a new one (a UUID) for each new request, and repeat it with a retry",
                fields={"request_id": f"1 to {_MAX_REQUEST_ID} printable ASCII characters"},
            )
        content: bytes = message.SerializeToString(deterministic=True)
        return Request(
            caller=call.caller().uri,
            request_id=request_id,
            method=method,
            digest=self.pseudonym_key.request_digest(method, content),
            expires_at=self.clock.now() + _REQUEST_SECONDS,
        )
