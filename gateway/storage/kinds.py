"""Which databases there are, by the beginning of their URLs: known without loading a driver."""

from typing import Final

DRIVERS: Final = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
EXPECTED: Final = "sqlite+aiosqlite:///path/to/file or postgresql://user@host/database"
