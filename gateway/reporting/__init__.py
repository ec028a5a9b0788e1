"""Statements: pure folds over the ledger's sums, and the forms they are printed in."""
