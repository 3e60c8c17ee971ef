"""The command trust-registry: one module a task of the operator."""
