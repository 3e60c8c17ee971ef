"""Puts the files that were kept outside the lost machine back into a rebuilt registry's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from healthcode.errors import ConfigurationError
from healthcode.rpc.mtls.tls_files import CertifiedKey, load_ca
from healthcode.settings import split_address
from healthcode.signing.passphrase import check_secret_file
from healthcode.storage.files import save_file
from healthcode.storage.owner import as_caller
from healthcode.trust.verify.national import NationalTrust
from trust_registry.founding.certificate import registry_leaf
from trust_registry.layout import RegistryFolder
from trust_registry.settings import METRICS_LISTEN, new_configuration

__all__ = ["KeptFiles", "restore_keys", "restore_tls", "write_configuration"]


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """The files that were kept outside the machine; None for those that are lost too.

    `configuration`: registry.toml. `keys`: a folder with the online keys, opened by `passphrase_file`. `tls`: a
    folder with ca.pem, and with registry.pem and registry.key or the CA's ca.key. `holders`: holders.json, the
    names of key holders.
    """

    configuration: Path | None = None
    keys: Path | None = None
    passphrase_file: Path | None = None
    tls: Path | None = None
    holders: Path | None = None


def restore_keys(folder: RegistryFolder, keys: Path, passphrase_file: Path | None) -> None:
    """Copies the kept online keys and their passphrase. Raises ConfigurationError if they cannot be used."""
    if passphrase_file is None:
        raise ConfigurationError("kept online keys need the file with their passphrase: --passphrase-file")
    with as_caller():
        check_secret_file(passphrase_file, "passphrase file")
        passphrase = passphrase_file.read_bytes()
        found = {path.name: path.read_bytes() for path in sorted(keys.glob("*.key"))}
    if not found:
        raise ConfigurationError(f"{keys} has no key files: name the folder with snapshot.key")
    save_file(folder.passphrase, passphrase, mode=0o600)
    for name, data in found.items():
        save_file(folder.keys / name, data, mode=0o600)


def write_configuration(folder: RegistryFolder, kept: Path | None, national: NationalTrust) -> None:
    """Writes registry.toml: the kept one, or one made from the endpoints in the trust files.

    Raises ConfigurationError if the kept one cannot be read, or if there are no endpoints.
    """
    if kept is not None:
        try:
            with as_caller():
                data = kept.read_bytes()
            save_file(folder.configuration, data)
        except OSError as error:
            raise ConfigurationError(f"{kept} cannot be read: {error.strerror}") from error
        return
    entry = national.participants.services.get("registry")
    if entry is None or entry.public_endpoint is None:
        raise ConfigurationError("the trust files do not name the registry's endpoints: give --configuration")
    listen, public_listen = (
        f"0.0.0.0:{split_address(text)[1]}" for text in (entry.endpoint, entry.public_endpoint)
    )
    text = new_configuration(
        national.realm, listen=listen, public_listen=public_listen, metrics_listen=METRICS_LISTEN
    )
    save_file(folder.configuration, text.encode())


def restore_tls(folder: RegistryFolder, kept: Path | None, national: NationalTrust, now: int) -> bool:
    """Copies the registry's certificate, or issues one with the kept CA key; False if nothing was kept.

    Raises ConfigurationError if the kept folder lacks files.
    """
    if kept is None:
        return False
    names = ("ca.pem", "registry.pem", "registry.key")
    try:
        with as_caller():
            is_whole = all((kept / name).is_file() for name in names)
            found = {name: (kept / name).read_bytes() for name in names} if is_whole else {}
            if not is_whole:
                ca = CertifiedKey(load_ca(kept / "ca.pem").encode(), (kept / "ca.key").read_bytes())
        for name, data in found.items():
            save_file(folder.tls / name, data, mode=0o600)
        if is_whole:
            return True
    except OSError as error:
        raise ConfigurationError(
            f"{kept} lacks ca.pem with registry.pem and registry.key, or with the CA's ca.key: {error}"
        ) from error
    leaf = registry_leaf(ca, national.realm, national.participants.services, now)
    leaf.write(folder.tls / "registry.pem", folder.tls / "registry.key")
    save_file(folder.tls / "ca.pem", ca.certificate_pem)
    return True
