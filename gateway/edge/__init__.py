"""The client's side of the gateway: strict HTTP/1.1 in, upstream bytes out. See README.md."""
