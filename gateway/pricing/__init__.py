"""Pricing: an effective-dated price book, exact look-up, usage → charge in whole pico-USD."""
