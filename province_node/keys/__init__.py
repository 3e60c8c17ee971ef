"""The node's online keys: made, opened, rotated, exchanged."""
