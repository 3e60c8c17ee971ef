"""Decides what of the trust files is accepted; does no IO."""
