"""Watches that the audit logs of other provinces only grow, and proves that this province's own does."""
