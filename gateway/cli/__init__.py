"""The commands of the gateway's operators."""
