"""Telemetry: metric names and log events; implements the Observer port, so no other room logs."""
