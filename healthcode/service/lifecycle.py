"""Start and stop of a service: its servers start together, drain together, and stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Sequence

from healthcode.errors import HealthcodeError
from healthcode.rpc.server import GrpcServer
from healthcode.service.background import BackgroundTask, Supervisor
from healthcode.telemetry import Metrics, get_logger, set_log_level

__all__ = ["ignore_hangup", "run_until_stopped"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def run_until_stopped(
    servers: Sequence[GrpcServer],
    background: Sequence[BackgroundTask] = (),
    *,
    metrics: Metrics,
    on_ready: Callable[[], None] | None = None,
    until_healthy: Callable[[], Awaitable[None]] | None = None,
    read_log_level: Callable[[], str] | None = None,
    lame_duck_seconds: float = 0.5,
    grace_seconds: float = 10.0,
) -> None:
    """Serves until SIGTERM or SIGINT. `on_ready` is called when all servers listen and are healthy.

    Calls are answered at once, but health is NOT_SERVING until `until_healthy` returns. After a signal health is
    NOT_SERVING while calls are accepted for `lame_duck_seconds`, so that clients and balancers leave; then new
    calls are refused and those under way finish within `grace_seconds`; then background tasks are cancelled. A second signal skips the grace. SIGHUP takes the log level that `read_log_level` gives;
    certificates are followed without it. A background task that fails is started again. Raises what a server's
    `start` raises, and InternalError for a background task's fatal error.
    """
    log = get_logger("lifecycle")
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    hurrying = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        (hurrying if stopping.is_set() else stopping).set()
        log.info("signal", signal=number.name)

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    loop.add_signal_handler(signal.SIGHUP, _reload, read_log_level)
    supervisor = Supervisor(metrics)
    tasks: list[asyncio.Task[None]] = []
    waiter = asyncio.create_task(stopping.wait())
    healthy: asyncio.Task[None] | None = None
    try:
        tasks += [asyncio.create_task(supervisor.keep(task)) for task in background]
        for server in servers:
            await server.start(serving=until_healthy is None)
        if until_healthy is not None:
            healthy = asyncio.create_task(_announce(servers, until_healthy, on_ready))
        elif on_ready is not None:
            on_ready()
        await asyncio.wait([waiter, *tasks], return_when=asyncio.FIRST_COMPLETED)
        failed = next((task for task in tasks if task.done()), None)
        if healthy is not None:
            healthy.cancel()
        log.info("draining", because="a task ended" if failed else "signal")
        await _stop(servers, hurrying, 0 if failed else lame_duck_seconds, grace_seconds)
        if failed is not None:
            await failed  # raises what it failed with
    finally:
        waiter.cancel()
        if healthy is not None:
            tasks.append(healthy)
        for task in tasks:
            task.cancel()
        await asyncio.gather(waiter, *tasks, return_exceptions=True)
        for server in servers:
            await server.stop(0)
        for number in (*_SIGNALS, signal.SIGHUP):
            loop.remove_signal_handler(number)
        ignore_hangup()  # later steps of the shutdown are not interrupted
    log.info("stopped")


async def _announce(
    servers: Sequence[GrpcServer],
    until_healthy: Callable[[], Awaitable[None]],
    on_ready: Callable[[], None] | None,
) -> None:
    await until_healthy()
    for server in servers:
        server.set_serving()
    if on_ready is not None:
        on_ready()


def ignore_hangup() -> None:
    """SIGHUP does nothing. A service's first act, since a reload may come before it serves."""
    with contextlib.suppress(ValueError):  # in a thread, as tests run a command
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _reload(read_log_level: Callable[[], str] | None) -> None:
    log = get_logger("lifecycle")
    try:
        level = None if read_log_level is None else read_log_level()
    except HealthcodeError as error:
        log.warning("reload_refused", why=error.message)
        return
    if level is not None:
        set_log_level(level)
    log.info("reloaded", log_level=level)


async def _stop(
    servers: Sequence[GrpcServer], hurrying: asyncio.Event, lame_duck_seconds: float, grace_seconds: float
) -> None:
    async def gently() -> None:
        for server in servers:
            await server.drain()
        await asyncio.sleep(lame_duck_seconds)
        await asyncio.gather(*(server.stop(grace_seconds) for server in servers))

    gentle = asyncio.create_task(gently())
    hurry = asyncio.create_task(hurrying.wait())
    await asyncio.wait([gentle, hurry], return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    if not gentle.done():
        gentle.cancel()
        await asyncio.gather(*(server.stop(0) for server in servers))
    await asyncio.gather(gentle, hurry, return_exceptions=True)
