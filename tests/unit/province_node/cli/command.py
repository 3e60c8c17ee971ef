"""Runs `province-node` in this process, and plans nodes for it."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest

from healthcode.cli.console import run
from healthcode.clock import SystemClock
from healthcode.rpc.mtls.development_ca import make_ca
from province_node.__main__ import cli
from province_node.keys.setup import NodePlan


def command(*arguments: str | Path) -> tuple[int, str, str]:
    """`province-node …`: exit status, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        run(cli, [str(each) for each in arguments])
    assert "Traceback" not in err.getvalue()
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def plan_of(folder: Path, **changes: object) -> NodePlan:
    ca = folder / "ca.pem"
    ca.write_bytes(make_ca("some CA", days=10, now=SystemClock().now()).certificate_pem)
    plan = NodePlan(
        participant="31",
        realm="test-keys",
        registry_endpoint="127.0.0.1:9",
        registry_ca=ca,
        root_fingerprint="sha256:" + "0" * 64,
        listen="127.0.0.1:0",
        issuer_listen="127.0.0.1:0",
        endpoint="127.0.0.1:7310",
        metrics_listen=None,
        development=True,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]  # named as in the class
