"""Logs and metrics of a service: structlog JSON on standard error, and a Prometheus registry."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from healthcode.clock import utc
from healthcode.log_writer import LogWriter

__all__ = [
    "LogBudget",
    "Metrics",
    "configure_logging",
    "get_logger",
    "redact",
    "set_log_level",
]

# a second line of defence: no code may log an id number, a name, a code's text or key bytes
MASK = "[redacted]"

_SECRET_KEYS = re.compile(
    r"(^|_)(code|codes|code_text|number|id_number|document|name|full_name|masked_name|holder|passphrase|password"
    r"|seed|secret|private|private_key|key_pem|question|answer|nonce|salt|tag)$"
)
_FOREIGN = ("grpc", "asyncio", "tuf", "securesystemslib", "urllib3", "py.warnings")
# event fields that match the pattern but are not secret
_PLAIN_KEYS = frozenset(
    {"grpc_code", "exit_code", "participant_code", "file_name", "role_name", "logger_name"}
)
_SECRET_TEXT = re.compile(
    r"CNH[CT]1:[0-9A-Z $%*+./:-]+"  # a code
    r"|(?<![0-9A-Fa-f])[0-9]{17}[0-9Xx](?![0-9A-Fa-f])"  # a resident id
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.DOTALL,
)


def redact(value: object) -> object:
    """`value` with codes, resident ids and private keys masked in texts at any depth."""
    if isinstance(value, str):
        return _SECRET_TEXT.sub(MASK, value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, Mapping):
        return {key: MASK if _is_secret(str(key)) else redact(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [redact(item) for item in value]
    return value


def _is_secret(key: str) -> bool:
    return key not in _PLAIN_KEYS and _SECRET_KEYS.search(key) is not None


def _timestamp(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["timestamp"] = f"{utc(time.time()):%Y-%m-%dT%H:%M:%S.%fZ}"
    return event


def _redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        event[key] = MASK if _is_secret(key) else redact(value)
    return event


def configure_logging(
    service: str, *, level: str = "info", style: str = "json", stream: TextIO | None = None
) -> None:
    """Configures the process's log; called once, by a service's `serve`.

    `style` is json (one line per event) or console. Records of other libraries pass through the same processors.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _timestamp,
        _service_name(service),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    # a stream that is given is one in memory, which cannot block
    handler = LogWriter() if stream is None else logging.StreamHandler(stream)
    handler.addFilter(_ForeignBudget())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_log_level(level)
    # at INFO they log each key of an m-of-n role that did not sign, which is normal, and each invalid
    # signature, which our own lines report with a reason
    for library in ("tuf", "securesystemslib"):
        logging.getLogger(library).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class _ForeignBudget(logging.Filter):
    """Limits the lines of other libraries by logger and message: a peer that vanishes is no incident."""

    def __init__(self) -> None:
        super().__init__()
        self._budget = LogBudget(burst=5, period_seconds=60)

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(_FOREIGN):
            return True
        return self._budget.take(f"{record.name} {str(record.msg)[:80]}") is not None


def set_log_level(level: str) -> None:
    """Changes the level of the process's log, as `configure_logging` sets it."""
    logging.getLogger().setLevel(level.upper())


def _service_name(service: str) -> structlog.typing.Processor:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    return add


def get_logger(component: str) -> structlog.stdlib.BoundLogger:
    """A logger whose lines carry `component`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(component).bind(component=component)
    return logger


class LogBudget:
    """Limits log lines of one kind to `burst` per `period_seconds`, and counts the rest.

    It is for events that a stranger can cause. At most `max_kinds` kinds are distinguished.
    """

    def __init__(self, *, burst: int = 5, period_seconds: float = 10, max_kinds: int = 256) -> None:
        self._burst = burst
        self._period = period_seconds
        self._max_kinds = max_kinds
        self._kinds: dict[str, tuple[float, int, int]] = {}

    def take(self, kind: str) -> int | None:
        """None: do not log. Else the number of lines of this kind left out since the last one."""
        now = time.monotonic()
        if kind not in self._kinds and len(self._kinds) >= self._max_kinds:
            kind = ""
        started, used, left_out = self._kinds.get(kind, (now, 0, 0))
        if now - started >= self._period:
            started, used = now, 0
        if used >= self._burst:
            self._kinds[kind] = (started, used, left_out + 1)
            return None
        self._kinds[kind] = (started, used + 1, 0)
        return left_out


class _DroppedLines(Collector):
    """`healthcode_log_dropped_lines_total`, of the process's log."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        dropped = sum(each.dropped for each in logging.getLogger().handlers if isinstance(each, LogWriter))
        yield CounterMetricFamily(
            "healthcode_log_dropped_lines",
            "Log lines dropped, because the log's reader was too slow",
            value=dropped,
        )


class Metrics:
    """A service's Prometheus registry. Every name has the prefix `healthcode_`; labels are closed words, never data."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        self.service = service
        self.rpc_total = self.counter(
            "rpc_total", "Calls served, by method and gRPC code", ("method", "grpc_code")
        )
        self.rpc_seconds = self.histogram("rpc_seconds", "Time to serve a call", ("method",))
        self.registry.register(_DroppedLines())
        self.rpc_open = self.gauge("rpc_open", "Calls being served now", ("method",))
        self.tls_files_refused = self.gauge(
            "tls_files_refused", "1 while new certificate files of a listener cannot be used", ("listen",)
        )

    def counter(self, name: str, what: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"healthcode_{name}", what, labels, registry=self.registry)

    def gauge(self, name: str, what: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"healthcode_{name}", what, labels, registry=self.registry)

    def histogram(
        self, name: str, what: str, labels: Sequence[str] = (), buckets: Sequence[float] | None = None
    ) -> Histogram:
        chosen = buckets or (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
        return Histogram(f"healthcode_{name}", what, labels, registry=self.registry, buckets=chosen)
