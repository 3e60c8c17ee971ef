"""The audit log of a node: entries, their Merkle tree, proofs, checkpoints. Pure."""
