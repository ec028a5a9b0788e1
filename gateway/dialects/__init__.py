"""Dialects: one file per wire protocol, shared by the providers that speak it."""
