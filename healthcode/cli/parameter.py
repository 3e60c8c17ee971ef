"""Click parameter types for addresses and fingerprints."""

from __future__ import annotations

import re
from typing import Any

import click

from healthcode.settings import split_address

__all__ = ["ADDRESS", "ENDPOINT", "FINGERPRINT"]

_HOST = re.compile(r"[A-Za-z0-9._\-:]{1,253}")
_GROUPING = re.compile(r"[\s/-]")
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")


class _Address(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases of click
    name = "host:port"

    def __init__(self, least_port: int) -> None:
        self._least_port = least_port

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        try:
            host, port = split_address(text)
        except ValueError as error:
            self.fail(f"{text!r}: {error}", param, ctx)
        if _HOST.fullmatch(host) is None or port < self._least_port:
            self.fail(f"{text!r}: write host:port, like gateway.example:7445 or [::1]:8443", param, ctx)
        return text


class _Fingerprint(click.ParamType):  # type: ignore[type-arg]  # as above
    name = "sha256:hex"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        # people read it out in groups and without the prefix
        digits = _GROUPING.sub("", str(value).lower()).removeprefix("sha256:")
        text = f"sha256:{digits}"
        if _FINGERPRINT.fullmatch(text) is None:
            self.fail(
                "write sha256: and 64 hex digits, as `trust-registry fingerprint` prints it", param, ctx
            )
        return text


ADDRESS = _Address(0)
"""host:port to listen on; port 0 lets the system choose."""

ENDPOINT = _Address(1)
"""host:port to connect to."""

FINGERPRINT = _Fingerprint()
"""The SHA-256 of a root file: 64 hex digits, with or without `sha256:` and grouping."""
