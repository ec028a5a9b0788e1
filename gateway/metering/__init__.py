"""Metering: what was used (units, disjoint usage, meters) and tiktoken's own count of it."""
