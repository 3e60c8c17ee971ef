"""A gRPC listener. Every method passes a gate, and every server has health and reflection."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio as reflection_aio

from healthcode.errors import ConfigurationError, UnavailableError
from healthcode.rpc.access import ACCESS, AccessRule, Ending, OfficerCheck
from healthcode.rpc.call import CallInfo
from healthcode.rpc.gate import Gate
from healthcode.rpc.health import HealthServicer
from healthcode.rpc.limits import GateState, ServerLimits
from healthcode.rpc.mtls.peer_verifier import PeerVerifier
from healthcode.rpc.mtls.tls import ServerTls, TlsReloader
from healthcode.settings import split_address
from healthcode.telemetry import Metrics, get_logger

__all__ = ["CallInfo", "GrpcServer", "ServerLimits", "ServerTls", "check_free"]

_OVER_LIMIT_BYTES = 1024 * 1024

_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
_REFLECTION = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]


class GrpcServer:
    """One listener. Create it inside a running event loop.

        server = GrpcServer(settings.listen, ServerTls(settings.tls, client_cas=cas), metrics=metrics,
                            verifier=PeerVerifier(realm=realm, ca_for=ca_for, clock=clock), participant="31")
        server.add(federation_pb2.DESCRIPTOR.services_by_name["FederationService"], Federation())
        await run_until_stopped([server])      # healthcode.service.lifecycle

    A listener that asks for no client certificate has `ServerTls(…, client_cas=None)` and `verifier=None`, and
    serves only methods that the access table opens to anonymous callers.
    """

    def __init__(
        self,
        listen: str,
        tls: ServerTls,
        *,
        metrics: Metrics,
        verifier: PeerVerifier | None,
        participant: str | None = None,
        officers: OfficerCheck | None = None,
        limits: ServerLimits | None = None,
        access: Mapping[str, AccessRule] = ACCESS,
    ) -> None:
        self._listen = listen
        self._tls = TlsReloader(tls, tell_refused=metrics.tls_files_refused.labels(listen).set)
        self._state = GateState(
            access=access,
            limits=limits or ServerLimits(),
            metrics=metrics,
            verifier=verifier,
            participant=participant,
            officers=officers,
        )
        self._health = HealthServicer()
        self._methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._services: list[str] = []
        self._server: grpc.aio.Server | None = None
        self._log = get_logger("rpc")
        self.port = 0
        self.add(_HEALTH, self._health)  # type: ignore[arg-type]  # its stubs name the C class

    def add(self, service: ServiceDescriptor, *servicers: object) -> None:
        """Serves `service` with the methods of `servicers`; call it before `start`.

        A servicer is a plain object with the methods of its proto service: `async def Answer(self, request, call)`;
        a server stream yields; for a client stream `request` is an AsyncIterator that ends when the server drains.
        A method that all of them lack is UNIMPLEMENTED.
        """
        self._services.append(service.full_name)
        self._health.add(service.full_name)
        for method in service.methods:
            path = f"/{service.full_name}/{method.name}"
            found = (getattr(each, method.name, None) for each in servicers)
            function = next((each for each in found if each is not None), None)
            if function is not None:
                self._methods[path] = _handler(self._state, path, method, function)

    async def start(self, *, serving: bool = True) -> None:
        """Listens; `port` is then known. Health says NOT_SERVING without `serving`, until `set_serving`. Raises UnavailableError if the port is in use, ConfigurationError if it cannot be bound."""
        reflection = reflection_aio.ReflectionServicer([*self._services, _REFLECTION.full_name])
        self.add(_REFLECTION, reflection)  # type: ignore[arg-type]  # as above
        check_free(self._listen, reuse_port=self._state.limits.reuse_port)
        server = grpc.aio.server(options=self._options())
        server.add_generic_rpc_handlers((_Router(self._methods),))
        try:
            self.port = server.add_secure_port(self._listen, self._tls.credentials())
        except RuntimeError as error:
            raise UnavailableError(f"cannot listen on {self._listen}: the port is taken") from error
        await server.start()
        self._server = server
        self._health.set_serving(serving=serving)
        self._log.info("listening", listen=self._listen, port=self.port, services=self._services)

    def set_serving(self) -> None:
        """Sets health to SERVING."""
        self._health.set_serving(serving=True)

    async def drain(self) -> None:
        """Sets health to NOT_SERVING and ends endless streams with OK. Calls are still accepted."""
        self._health.set_serving(serving=False)
        self._state.end(Ending.ON_DRAIN)

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Drains, refuses new calls, waits `grace_seconds` for calls under way, then closes."""
        await self.drain()
        self._state.end(Ending.ON_STOP)
        if self._server is not None:
            await self._server.stop(grace_seconds)

    def _options(self) -> list[tuple[str, int]]:
        limits = self._state.limits
        rules = [rule for path, rule in self._state.access.items() if path in self._methods]
        return [
            # with a shared port a second server would start silently and take half of the calls
            ("grpc.so_reuseport", int(limits.reuse_port)),
            # above the largest limit of a method: the gate enforces each limit with a reason, which the
            # transport does not give
            (
                "grpc.max_receive_message_length",
                max((rule.max_request_bytes for rule in rules), default=0) + _OVER_LIMIT_BYTES,
            ),
            ("grpc.max_metadata_size", 16 * 1024),
            ("grpc.max_concurrent_streams", limits.streams_per_connection),
            # a channel stays with one process: close it now and then, so that clients spread again
            ("grpc.max_connection_age_ms", int(limits.connection_age_seconds * 1000)),
            ("grpc.max_connection_age_grace_ms", int(limits.connection_grace_seconds * 1000)),
            ("grpc.max_connection_idle_ms", int(limits.connection_idle_seconds * 1000)),
            # our clients ping every 10 s, also without calls, which is not abuse
            ("grpc.http2.min_ping_interval_without_data_ms", 5000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]


class _Router(grpc.GenericRpcHandler):
    """Finds a method's handler; the library answers UNIMPLEMENTED for a method that is not served here."""

    def __init__(self, methods: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        self._methods = methods

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._methods.get(handler_call_details.method)


def _handler(
    state: GateState, path: str, method: MethodDescriptor, function: Callable[..., Any]
) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler over raw bytes, so that a body that cannot be decoded never becomes a traceback in the log."""
    gate = Gate(state, path, method, function)
    make: Any
    serve: Any
    match method.client_streaming, method.server_streaming:
        case False, False:
            make, serve = grpc.unary_unary_rpc_method_handler, gate.unary_unary
        case False, True:
            make, serve = grpc.unary_stream_rpc_method_handler, gate.unary_stream
        case True, False:
            make, serve = grpc.stream_unary_rpc_method_handler, gate.stream_unary
        case _:
            make, serve = grpc.stream_stream_rpc_method_handler, gate.stream_stream
    handler: grpc.RpcMethodHandler[Any, Any] = make(serve)
    return handler


def check_free(listen: str, *, reuse_port: bool = False) -> None:
    """Raises UnavailableError if the port is in use, ConfigurationError if `listen` cannot be bound."""
    host, port = split_address(listen)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise ConfigurationError(
            f"cannot listen on {listen}: the host name {host!r} is not known here"
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            # another process may release it, so a service manager may try again
            raise UnavailableError(
                f"cannot listen on {listen}: another process has the port; stop it, or choose another `listen`"
            ) from error
        raise ConfigurationError(f"cannot listen on {listen}: {error.strerror}") from error
