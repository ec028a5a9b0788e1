"""Budgets and holds: what a request may spend at most is held before it is sent, and never overrun."""
