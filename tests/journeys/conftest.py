"""The world of a province node, as its own tests have it."""

from __future__ import annotations

from tests.unit.province_node.conftest import world

__all__ = ["world"]
