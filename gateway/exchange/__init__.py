"""Exchange: one request's life, told through ports: open → forward → observe → close."""
