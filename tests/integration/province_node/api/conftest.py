"""The node of the unit tests, served over the wire here."""

from __future__ import annotations

from tests.unit.province_node.conftest import cheap_keys, world

__all__ = ["cheap_keys", "world"]
