"""Upstream: the only room that speaks to providers, and the only holder of their credentials."""
