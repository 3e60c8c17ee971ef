"""Rebuilds a registry that was lost, or restored from an old copy."""
