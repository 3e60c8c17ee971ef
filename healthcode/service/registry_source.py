"""The registry as a TrustSource (FetchFile over gRPC), for code that is not async; and sources by URL."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

import grpc.aio

from healthcode.errors import (
    ConfigurationError,
    HealthcodeError,
    NotFoundError,
    Reason,
    RefusedServerError,
    UnavailableError,
)
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.service.public_channel import PublicChannel, RegistryCas
from healthcode.service.service_link import ServiceLink, member_stub
from healthcode.settings import split_address
from healthcode.telemetry import get_logger
from healthcode.trust.sources.http import HttpSource, check_mirror_url
from healthcode.trust.sources.trust_source import FolderSource, TrustSource, allowed_seconds, too_large
from healthcode.trust.view import TrustView
from healthcode.v1 import trust_registry_pb2
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub

if TYPE_CHECKING:
    from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceAsyncStub

__all__ = ["GrpcSource", "check_source", "connect_source", "open_mirror", "open_mirrors", "open_source"]

Trust = Callable[[], TrustView | None]
REGISTRY_NAME = "registry.healthcode"
_PUBLIC_EVERY_SECONDS = 300.0
_MEMBER_REST_SECONDS = 30.0
"""After a failure of the members' listener, for so long the public one is asked first."""


class GrpcSource:
    """A TrustSource over FetchFile. `fetch` must not be called in the loop's thread.

    `stub` is of the public listener. With `member`, a link with our certificate, files come over the places
    that the registry keeps for members; the public listener is asked where those fail. It is asked first for a while
    after `rest_member`, and once in five minutes, so that old or wrong files do not hold us back.
    A file may take `timeout_seconds`, and 1 s more for each 64 KiB of its maximum size.
    """

    def __init__(
        self,
        stub: TrustRegistryServiceAsyncStub,
        loop: asyncio.AbstractEventLoop,
        *,
        name: str = "the registry",
        timeout_seconds: float = 10.0,
        member: ServiceLink | None = None,
    ) -> None:
        self._stub = stub
        self._member = member
        self._member_rests_until = 0.0
        self._public_was_first = time.monotonic()
        self._loop = loop
        self._name = name
        self._timeout_seconds = timeout_seconds

    @property
    def name(self) -> str:
        return self._name

    def fetch(self, path: str, max_bytes: int) -> bytes:
        """The whole file; see TrustSource.fetch. Raises UnavailableError (SOURCE_SLOW) after the timeout."""
        call = self._fetch(path, max_bytes)
        try:
            future = asyncio.run_coroutine_threadsafe(call, self._loop)
        except RuntimeError as error:  # the loop is closed
            call.close()
            raise UnavailableError(
                f"{self._name}: we are stopping", reason=Reason.TRUST_UNAVAILABLE
            ) from error
        try:
            # the call has its own deadline, but a loop that is closed meanwhile would never end it, and
            # this thread must not delay the end of the process
            while not concurrent.futures.wait([future], timeout=0.25).done and not self._loop.is_closed():
                pass
            return future.result(0)
        except (concurrent.futures.TimeoutError, concurrent.futures.CancelledError) as error:
            if inspect.getcoroutinestate(call) == inspect.CORO_CREATED:
                call.close()  # it never runs
            raise UnavailableError(
                f"{self._name}: we are stopping", reason=Reason.TRUST_UNAVAILABLE
            ) from error

    def rest_member(self) -> None:
        """Asks the public listener first for a while: what came over the other did not do."""
        self._member_rests_until = time.monotonic() + _MEMBER_REST_SECONDS

    async def _fetch(self, path: str, max_bytes: int) -> bytes:
        if self._member is None:
            return await self._fetch_from(self._stub, path, max_bytes)
        if time.monotonic() - self._public_was_first > _PUBLIC_EVERY_SECONDS:
            self.rest_member()
        ways: list[Callable[[], Awaitable[TrustRegistryServiceAsyncStub]]]
        ways = [partial(member_stub, self._member), self._public]
        if time.monotonic() < self._member_rests_until:
            self._public_was_first = time.monotonic()
            ways.reverse()
        try:
            return await self._fetch_from(await ways[0](), path, max_bytes)
        except HealthcodeError as error:
            if isinstance(error, NotFoundError) or error.reason is Reason.TOO_LARGE:
                raise
            if time.monotonic() >= self._member_rests_until:
                self.rest_member()
                get_logger("trust").info("members_listener_failed", reason=error.reason, why=error.message)
        # also the other way round: strangers may have used up the public listener
        return await self._fetch_from(await ways[1](), path, max_bytes)

    async def _public(self) -> TrustRegistryServiceAsyncStub:
        return self._stub

    async def _fetch_from(self, stub: TrustRegistryServiceAsyncStub, path: str, max_bytes: int) -> bytes:
        request = trust_registry_pb2.FetchFileRequest(path=path, max_bytes=max_bytes)
        data = bytearray()
        seconds = allowed_seconds(self._timeout_seconds, max_bytes)
        try:
            with rpc_errors(self._name):
                call = stub.FetchFile(request, timeout=seconds)
                async for response in call:
                    data += response.chunk
                    if len(data) > max_bytes:
                        call.cancel()
                        break
        except HealthcodeError as error:
            raise self._source_error(error, path, max_bytes, seconds) from error
        if len(data) > max_bytes:
            raise too_large(path, max_bytes, self._name)
        return bytes(data)

    def _source_error(
        self, error: HealthcodeError, path: str, max_bytes: int, seconds: float
    ) -> HealthcodeError:
        """The error of a failed call as a source raises it. The server cannot choose reasons of trust."""
        if isinstance(error, NotFoundError):
            return NotFoundError(f"{self._name} has no file {path}")
        if isinstance(error, RefusedServerError):
            return error
        if error.reason is Reason.TOO_LARGE:
            return too_large(path, max_bytes, self._name)
        if error.reason is Reason.DEADLINE_EXCEEDED:
            return UnavailableError(
                f"{self._name}: {path} did not come in {seconds:.0f} s",
                reason=Reason.SOURCE_SLOW,
            )
        return UnavailableError(
            f"{self._name}: {error.message.removeprefix(f'{self._name}: ')}",
            reason=Reason.TRUST_UNAVAILABLE,
            retry_after_seconds=error.retry_after_seconds,
        )


@contextmanager
def connect_source(
    target: str, *, ca_pem: str, trust: Trust = lambda: None, timeout_seconds: float = 10.0
) -> Iterator[GrpcSource]:
    """The registry's public listener at `target` as a source, with an event loop in its own thread.

    Its certificate is one of `ca_pem`, or of the CA that `trust`, the view in use, publishes for it.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="trust-source", daemon=True)
    thread.start()

    async def connect() -> grpc.aio.Channel:
        return PublicChannel(target, RegistryCas(ca_pem, trust).pem, REGISTRY_NAME)

    async def disconnect(channel: grpc.aio.Channel) -> None:
        await channel.close()

    try:
        channel = asyncio.run_coroutine_threadsafe(connect(), loop).result()
        stub = TrustRegistryServiceStub(channel)
        try:
            yield GrpcSource(stub, loop, name=f"the registry {target}", timeout_seconds=timeout_seconds)
        finally:
            asyncio.run_coroutine_threadsafe(disconnect(channel), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def check_source(url: str) -> str:
    """`url` if it can be a source. Raises ConfigurationError, which says what to write."""
    parts = _split(url)
    if parts.scheme == "grpcs":
        try:
            split_address(parts.netloc)
        except ValueError as error:
            raise ConfigurationError(f"{url} is no source: {error}") from error
    elif parts.scheme in ("http", "https"):
        check_mirror_url(url)
    elif not url or (parts.scheme == "file" and parts.netloc) or (parts.scheme != "file" and "://" in url):
        raise ConfigurationError(
            f"{url} is no source: write grpcs://host:port, https://host/folder, or the path of a folder"
        )
    return url


def open_mirror(url: str, *, ca_pem: str | None = None) -> HttpSource | FolderSource:
    """The source at a URL other than gRPC. Raises ConfigurationError for an invalid one."""
    parts = _split(check_source(url))
    if parts.scheme in ("http", "https"):
        return HttpSource(url, ca_pem=ca_pem)
    if parts.scheme == "grpcs":
        raise ConfigurationError(f"{url} is a registry, not a mirror: write https://host/folder, or a path")
    return FolderSource(Path(unquote(parts.path) if parts.scheme == "file" else url))


def open_mirrors(urls: Iterable[str], ca: Path | None) -> tuple[HttpSource | FolderSource, ...]:
    """The mirrors of a configuration; `ca` is a file. Raises ConfigurationError."""
    pem = None if ca is None else load_ca(ca)
    return tuple(open_mirror(url, ca_pem=pem) for url in urls)


@contextmanager
def open_source(url: str, *, ca_pem: str | None = None, trust: Trust = lambda: None) -> Iterator[TrustSource]:
    """The source at any URL, for the duration of the block, for code that is not async.

        grpcs://host:port                    the registry's public listener
        https://host/folder, http://…        a mirror: the same files on a web server
        file:///folder, or a folder's path   a copy of the trust tree

    `ca_pem` is the CA of its certificate: required for a registry; without it, an https mirror is checked with
    the system's CAs. For a registry, the CA that `trust` publishes for it counts too. Raises ConfigurationError.
    """
    parts = _split(check_source(url))
    if parts.scheme != "grpcs":
        yield open_mirror(url, ca_pem=ca_pem)
        return
    if ca_pem is None:
        raise ConfigurationError(f"{url} needs the CA of the registry's certificate: give --ca FILE")
    with connect_source(parts.netloc, ca_pem=ca_pem, trust=trust) as registry:
        yield registry


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"{url} is no source: {error}") from error
