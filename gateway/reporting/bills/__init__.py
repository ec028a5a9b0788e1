"""What providers invoice, read: one grammar of meter names and one reading of rows per cloud."""
