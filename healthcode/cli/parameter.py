"""Click parameter types for addresses and fingerprints, and the option that every `init` has."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from healthcode.settings import split_address

__all__ = ["ADDRESS", "ENDPOINT", "FINGERPRINT", "metrics_option"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_OFF = "off"

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


class _AddressOrOff(_Address):
    name = "host:port|off"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return None if str(value) == _OFF else super().convert(value, param, ctx)


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


def metrics_option(default: str) -> Callable[[_Function], _Function]:
    """`--metrics-listen` of a service's `init`; passed as `metrics_listen`, None for `off`."""
    return click.option(
        "--metrics-listen",
        type=_AddressOrOff(0),
        default=default,
        show_default=True,
        help="Where Prometheus reads /metrics, without TLS; `off` for no metrics.",
    )
