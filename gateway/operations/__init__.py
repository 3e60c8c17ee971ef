"""What the gateway's operators do: set it up, check it, watch it."""
