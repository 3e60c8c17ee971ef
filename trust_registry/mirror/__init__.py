"""Exports the published files for static mirrors."""
