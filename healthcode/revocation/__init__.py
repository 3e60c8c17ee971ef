"""Exact revocation: which codes, expiring on which day, are no longer good (docs/wire-format.md §6)."""
