"""Ledger: the entry, its invariants, the statement's arithmetic."""
