"""Status questions: asks other provinces, and answers theirs."""
