"""National policy: signed rules that turn findings into decisions, the same for every node."""
