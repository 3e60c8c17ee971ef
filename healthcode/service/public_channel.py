"""The channel to the registry's public listener. Its CAs are those of a file and those that the trust files publish."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

import grpc
import grpc.aio

from healthcode.errors import HealthcodeError, RefusedServerError
from healthcode.identity.peer import PeerId
from healthcode.identity.x509 import decode_certificates
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.certificate import encode_pool
from healthcode.rpc.mtls.tls_files import FollowedCa, load_ca
from healthcode.service.channel_swap import ChannelSwap
from healthcode.trust.store import TrustStore
from healthcode.trust.view import TrustView

__all__ = ["PublicChannel", "RegistryCas", "ask_by_published_ca", "trust_in"]

_Answer = TypeVar("_Answer")


def trust_in(folder: Path) -> Callable[[], TrustView | None]:
    """For a command: the trust in a folder, opened when it is first asked for; None if it has none."""

    @cache
    def read() -> TrustView | None:
        try:
            return TrustStore.open(folder).view
        except HealthcodeError:
            return None

    return read


def _registry_cas(view: TrustView | None) -> tuple[str, ...]:
    """The CAs (PEM) that the trust files publish for the registry; none without trust."""
    entry = None if view is None else view.services.get("registry")
    return () if entry is None else (entry.ca_pem,)


class RegistryCas:
    """The CAs by which the registry is known now: those that are published, and those of a file (or PEM).

    The file counts too, since it begins a folder, and brings back who missed a whole change of the CA. What the
    registry serves is signed, so trust does not depend on a CA. The file is read again when it changes.
    """

    def __init__(self, ca: Path | str, trust: Callable[[], TrustView | None]) -> None:
        """Raises ConfigurationError if the file has no CA."""
        self._given = FollowedCa(ca) if isinstance(ca, Path) else ca
        self._trust = trust

    def pem(self) -> str:
        """All of them, the published ones first."""
        given = self._given if isinstance(self._given, str) else self._given.pem
        return encode_pool((*_registry_cas(self._trust()), given)).decode()


async def ask_by_published_ca(
    ca: Path, view: TrustView | None, ask: Callable[[str], Awaitable[_Answer]]
) -> tuple[_Answer, str | None]:
    """(the registry's answer, the fault of its CA), for `check`. `ask` calls it, known by the CAs given.

    Raises as `ask` does. Only by the published CA do members publish and report.
    """
    published = _registry_cas(view)
    if not published:
        return await ask(load_ca(ca)), None
    try:
        answer = await ask(encode_pool(published).decode())
    except RefusedServerError:
        answer = await ask(load_ca(ca))
        return answer, (
            f"the registry shows a certificate of a CA that only {ca} names, and not the trust files: this service can "
            "fetch, and neither publish nor report. Tell the registry's operators, who publish that CA"
        )
    if set(decode_certificates(load_ca(ca))) & set(decode_certificates(encode_pool(published))):
        return answer, None
    return answer, (
        f"{ca} names none of the CAs that the trust files publish for the registry: put the published one there, since "
        "a new trust folder begins with that file"
    )


class PublicChannel(grpc.aio.Channel):
    """A channel that is opened again when `cas` change; calls under way go on over the one before."""

    def __init__(self, target: str, cas: Callable[[], str], server: PeerId | str, **options: Any) -> None:
        self._target = target
        self._cas = cas
        self._server = server
        self._options = options
        self._channels = ChannelSwap()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:  # noqa: ARG002  the library's signature
        await self._channels.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._current().channel_ready()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._following("unary_unary", method, *args, **kwargs)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._following("unary_stream", method, *args, **kwargs)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._following("stream_unary", method, *args, **kwargs)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._following("stream_stream", method, *args, **kwargs)

    def _following(self, kind: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """A method of a stub, which takes the channel of the moment at each call."""

        def call(*request: Any, **options: Any) -> Any:
            return getattr(self._current(), kind)(*args, **kwargs)(*request, **options)

        return call

    def _current(self) -> grpc.aio.Channel:
        cas = self._cas()
        return self._channels.get(
            cas, lambda: open_channel(self._target, ca_pem=cas, server=self._server, **self._options)
        )
