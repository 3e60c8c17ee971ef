"""Brings new trust files from the sources, verified and complete."""
