"""The node's state: records and the stores that keep them."""
