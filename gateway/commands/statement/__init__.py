"""weighbridge statement and chargeback: asked, written to files, drawn."""
