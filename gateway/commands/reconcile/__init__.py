"""weighbridge reconcile: the ledger against the clouds' bills."""
