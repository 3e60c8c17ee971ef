"""Sends revocation requests to the running node, and retries them under the same request id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from healthcode.cli.console import error_console
from healthcode.errors import OverloadedError, Reason, UnavailableError
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1 import province_issuer_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from province_node.cli.connection import back_end, name_of
from province_node.settings import NodeSettings

__all__ = ["Count", "Request", "send_all"]

_TIMEOUT_SECONDS = 120.0
_ATTEMPTS = 4

Request = province_issuer_pb2.RevokeCodesRequest | province_issuer_pb2.RevokeMatchingRequest


@dataclass(frozen=True, slots=True)
class Count:
    """How many codes were revoked now, and how many before."""

    newly: int = 0
    already: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.newly + other.newly, self.already + other.already)


def send_all(root: Path, settings: NodeSettings, requests: Sequence[Request], *, count_only: bool) -> Count:
    """Sends all requests with a progress bar. If it is stopped, it prints the results so far."""
    done: list[Count] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = error_console()
    hidden = len(requests) == 1 or not console.is_terminal
    try:
        with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
            task = progress.add_task("counting" if count_only else "revoking", total=len(requests))

            def advance(count: Count) -> None:
                done.append(count)
                progress.advance(task)

            asyncio.run(_send_in_turn(root, settings, requests, advance, count_only=count_only))
    except BaseException:
        if done and not count_only:
            so_far = sum(done, Count())
            click.echo(
                f"stopped after {len(done)} of {len(requests)} requests: newly revoked {so_far.newly}, already "
                f"{so_far.already}. These stay revoked; run the same command again to do the rest",
                err=True,
            )
        raise
    return sum(done, Count())


async def _send_in_turn(
    root: Path,
    settings: NodeSettings,
    requests: Iterable[Request],
    on_answer: Callable[[Count], None],
    *,
    count_only: bool,
) -> None:
    async with back_end(root, settings) as channel:
        stub = ProvinceIssuerServiceStub(channel)
        for request in requests:
            request.count_only = count_only
            on_answer(await _send(stub, request, name_of(settings.issuer_listen)))


async def _send(stub: Any, request: Request, name: str) -> Count:
    """Sends one request. Retries are safe because the request_id stays the same."""
    by_code = isinstance(request, province_issuer_pb2.RevokeCodesRequest)
    call = stub.RevokeCodes if by_code else stub.RevokeMatching
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with rpc_errors(name):
                response = await call(request, timeout=_TIMEOUT_SECONDS)
        except (UnavailableError, OverloadedError) as error:
            passes = isinstance(error, UnavailableError) or error.reason is Reason.OVERLOADED
            if attempt == _ATTEMPTS or not passes:
                raise
            await asyncio.sleep(max(error.retry_after_seconds or 0.0, float(attempt)))
        else:
            return Count(response.newly_revoked, response.already_revoked)
    raise AssertionError  # the last attempt returned or raised
