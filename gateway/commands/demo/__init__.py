"""The demo: scripted providers of three clouds on loopback, the gateway on SQLite, and the real SDKs as its clients."""
