"""The registry's certificate, issued again by its CA."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from healthcode.clock import SystemClock
from healthcode.errors import ConfigurationError
from healthcode.rpc.mtls.development_ca import make_ca
from healthcode.rpc.mtls.tls_files import load_tls
from tests.integration.trust_registry.cli.at_keyboard import run
from tests.simulator.registry import found_registry
from trust_registry.registry import Registry

REALM = "test-registry"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return found_registry(tmp_path / "registry", clock=SystemClock())


def test_the_certificate_is_issued_anew_by_the_ca_that_was_kept(registry: Registry, tmp_path: Path) -> None:
    """Another key and another certificate of the same CA; with a key that is not the CA's, the old ones stay."""
    tls = registry.settings.tls
    before = tls.certificate.read_bytes()
    stranger = make_ca("another CA", days=10, now=int(time.time()))
    stranger.write(tmp_path / "other.pem", tmp_path / "other.key")
    refused = run(registry, "certificate", "--ca-key", str(tmp_path / "other.key")).exception
    assert isinstance(refused, ConfigurationError)
    assert tls.certificate.read_bytes() == before
    safe = tmp_path / "ca.key"
    (registry.folder.tls / "ca.key").rename(safe)
    assert run(registry, "certificate", "--ca-key", str(safe)).exit_code == 0
    assert tls.certificate.read_bytes() != before
    load_tls(tls.certificate, tls.private_key, tls.ca, now=int(time.time()), realm=REALM)
    assert not list(tls.certificate.parent.glob(".renewal-*"))
