"""Attacks on our own staging stack: `attack.sh --help` says which."""
