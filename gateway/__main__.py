"""The command `healthcode-gateway`."""

from __future__ import annotations

from typing import NoReturn

from gateway.cli import cli
from healthcode.cli.console import run

__all__ = ["main"]


def main() -> NoReturn:
    run(cli)


if __name__ == "__main__":
    main()
