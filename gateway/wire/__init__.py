"""Wire: bytes and their framings (SSE, event-stream, JSON, headers), sans-I/O."""
