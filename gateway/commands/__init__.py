"""Commands: rich tables for people, ``--json`` for programs (one object per line, money as decimal text in USD)."""
