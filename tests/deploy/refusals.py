"""deploy/nginx/refusals.conf from our own errors: `python -m tests.deploy.refusals` writes it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from healthcode.errors import (
    HealthcodeError,
    OverloadedError,
    PermissionDeniedError,
    Reason,
    UnauthenticatedError,
    UnavailableError,
)
from healthcode.rpc.status_mapping import DETAILS_KEY, encode_status

FILE = Path(__file__).parents[2] / "deploy" / "nginx" / "refusals.conf"

REFUSALS: Mapping[str, HealthcodeError] = {
    "overloaded": OverloadedError("too many calls at once; try again", retry_after_seconds=0.2),
    "too_large": OverloadedError("the request is larger than any method takes", reason=Reason.TOO_LARGE),
    "unauthenticated": UnauthenticatedError("the client certificate is not valid"),
    "unavailable": UnavailableError("the node is out of reach; try again", retry_after_seconds=1),
    "not_served": PermissionDeniedError("this method is not served through a proxy: call the node itself"),
}
"""What nginx answers by itself, by the name of its location."""

_HEAD = """\
# Made by `python -m tests.deploy.refusals` from the errors of healthcode/errors.py; included by nginx.conf.
"""
_LOCATION = """
location @{name} {{
    internal;
    default_type application/grpc;
    add_header grpc-status {code} always;
    add_header grpc-message "{message}" always;
    # {reason}{retry}
    add_header {key} {details} always;
    return 200;
}}
"""


def render() -> str:
    """The file's text."""
    return _HEAD + "".join(_location(name, error) for name, error in REFUSALS.items())


def _location(name: str, error: HealthcodeError) -> str:
    status = encode_status(error)
    retry = error.retry_after_seconds
    return _LOCATION.format(
        name=name,
        code=status.code,
        message=status.message,
        reason=error.reason,
        retry="" if retry is None else f", RetryInfo {retry:g} s",
        key=DETAILS_KEY,
        details=base64.b64encode(status.SerializeToString(deterministic=True)).decode().rstrip("="),
    )


if __name__ == "__main__":
    FILE.write_text(render())
