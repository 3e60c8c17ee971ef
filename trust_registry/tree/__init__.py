"""The published files and their versions: the only part that knows how they last."""
