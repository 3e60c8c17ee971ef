"""What a node itself writes into its audit log, and what an auditor reads of it."""
