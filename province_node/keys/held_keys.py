"""The keys that the running process has opened: it notes them in a file of the trust folder, and commands read it.

Key files say what could sign. Only this file says what the process can sign with.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from healthcode.errors import HealthcodeError
from healthcode.storage.files import save_file, storage_error
from healthcode.storage.lock import is_locked
from healthcode.storage.reading import read_file
from province_node.settings import NodeFolder, NodeSettings

__all__ = ["HeldKey", "HeldKeys", "forget_held_keys", "read_held_keys", "write_held_keys"]

_FILE = "held-keys.json"


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class HeldKey(_Strict):
    """An opened key. `kid` is in hex, None for the INDEX secret; `since`: when this process opened it."""

    kid: str | None
    since: int


class HeldKeys(_Strict):
    """Opened keys by the name of their file, and why other files could not be opened. `started`: epoch seconds."""

    started: int = 0
    opened: dict[str, HeldKey] = {}
    unreadable: dict[str, str] = {}

    def lacks(self, file: str, kid: str | None) -> bool:
        """Whether the process does not have the key that this file has now."""
        held = self.opened.get(file)
        return held is None or held.kid != kid


def write_held_keys(settings: NodeSettings, held: HeldKeys) -> None:
    """Notes them. Not durable: another process notes its own. Raises HealthcodeError."""
    save_file(settings.trust.folder / _FILE, held.model_dump_json(indent=1).encode(), durable=False)


def forget_held_keys(settings: NodeSettings) -> None:
    """Removes the note of an earlier process. Raises ConfigurationError."""
    path = settings.trust.folder / _FILE
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error


def read_held_keys(root: Path, settings: NodeSettings) -> HeldKeys | None:
    """What the process that serves this folder has opened; None if no process serves it.

    Nothing is opened in it while that process has not told: it starts, or cannot write.
    """
    if not is_locked(NodeFolder(root).serving):
        return None
    try:
        return HeldKeys.model_validate_json(read_file(settings.trust.folder / _FILE) or b"")
    except (ValidationError, HealthcodeError):
        return HeldKeys()
