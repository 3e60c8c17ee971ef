"""Decides which trust files are accepted. Does no IO."""
