"""Behind a pooler that lends a server for one transaction at a time (pgbouncer's ``pool_mode = transaction``).

Nothing of a session lasts there: no prepared statement, no setting of a connection. ``statement_cache_size=0`` in
the URL says that it is so.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy.engine import URL

from gateway.kernel.errors import ConfigurationError

# The driver's own cache of prepared statements, and that of the library above it.
CACHES: Final = ("statement_cache_size", "prepared_statement_cache_size")
# What a pooler keeps for each of its clients; anything else in a start it refuses.
_KEPT: Final = frozenset({"application_name"})


def checked(url: URL) -> URL:
    """The URL, where the sizes of caches in it are numbers. Raises ConfigurationError."""
    problems = tuple(
        f"storage.url: {name}: expected a whole number such as 0 (behind a pooler in transaction mode)"
        for name in CACHES
        if not str(url.query.get(name, "0")).isdecimal()
    )
    if problems:
        raise ConfigurationError(problems)
    return url


def is_lent(url: URL) -> bool:
    """Whether servers are lent for a transaction: either cache is said to be 0."""
    return any(int(str(url.query.get(name, 1))) == 0 for name in CACHES)


def connecting(url: URL, timeout_s: int, command_s: int | None, settings: Mapping[str, str]) -> dict[str, Any]:  # fmt: skip
    """Arguments for the driver: what of the settings and caches can be had."""
    common = {"timeout": timeout_s, "command_timeout": command_s}
    if not is_lent(url):
        sizes = {name: int(str(url.query[name])) for name in CACHES if name in url.query}
        return {**common, **sizes, "server_settings": dict(settings)}
    kept = {name: value for name, value in settings.items() if name in _KEPT}
    # Without a name a statement goes with the next one, and is sent again with what it is to be executed with.
    unnamed = {**dict.fromkeys(CACHES, 0), "prepared_statement_name_func": str}
    return {**common, **unnamed, "server_settings": kept}
