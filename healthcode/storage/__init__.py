"""Durable files, the lock file, and SQLite."""
