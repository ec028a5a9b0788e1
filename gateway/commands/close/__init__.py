"""weighbridge close: a month from open to posted, with its proof."""
