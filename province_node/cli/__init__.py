"""The commands of `province-node`, a module for each group of them."""
