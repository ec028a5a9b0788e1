"""weighbridge prices: the price book's rows, what is wrong with them, and where they come from."""
