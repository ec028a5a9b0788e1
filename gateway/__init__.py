"""Weighbridge: an async reverse proxy that weighs every model call. Rooms and their order: README.md."""
