"""Levels from evidence: the national rules, and one pure function that applies them."""
