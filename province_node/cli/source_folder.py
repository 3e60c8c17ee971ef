"""A source's own folder: source.toml names the node, and the certificate with which the source sends evidence."""

from __future__ import annotations

import json
from pathlib import Path

from healthcode.clock import SystemClock
from healthcode.errors import ConfigurationError
from healthcode.identity.peer import PeerKind
from healthcode.rpc.mtls.tls_files import CertifiedKey, load_tls
from healthcode.settings import ListenAddress, Settings, TlsSettings, load_settings
from healthcode.storage.files import write_output
from province_node.cli.caller_folder import CallerFolder, as_option_of

__all__ = ["SOURCE_FILE", "SourceFolder", "as_option", "open_source", "write_source"]

SOURCE_FILE = "source.toml"

_TEXT = """\
# A source of evidence. Paths are relative to this file's folder.
# the issuer listener of the province's node
node = {node}

[tls]
certificate = "source.pem"
private_key = "source.key"
ca = "ca.pem"
"""


class _SourceSettings(Settings):
    """The whole of source.toml."""

    node: ListenAddress
    tls: TlsSettings


class SourceFolder(CallerFolder):
    """Who sends evidence, and to which node."""


as_option = as_option_of(SOURCE_FILE, "The source's folder: source.toml, certificate, key and CA.")


def open_source(folder: Path) -> SourceFolder:
    """The source of this folder. Raises ConfigurationError, which names the file and what to do."""
    settings = load_settings(
        folder / SOURCE_FILE,
        _SourceSettings,
        missing="name the source's folder with --as (docs/operating.md, Evidence)",
    )
    files = settings.tls
    tls = load_tls(files.certificate, files.private_key, files.ca, now=SystemClock().now())
    peer = tls.identity.peer
    if peer.kind is not PeerKind.SOURCE:
        raise ConfigurationError(
            f"{files.certificate} is of {peer.uri}, and evidence is sent by a source: have a certificate issued with "
            f"the URI spiffe://{peer.realm}.healthcode/source/{peer.participant or 'NN'}/NAME"
        )
    return SourceFolder(peer, settings.node, tls)


def write_source(folder: Path, leaf: CertifiedKey, *, ca_pem: bytes, node: str) -> None:
    """Makes a source's folder. Raises ConfigurationError if it has a key already."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    leaf.write(folder / "source.pem", folder / "source.key")
    write_output(folder / "ca.pem", ca_pem)
    write_output(folder / SOURCE_FILE, _TEXT.format(node=json.dumps(node)).encode())
