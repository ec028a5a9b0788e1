"""The price book of a running process: compiled anew when prices are imported, beside the requests, and swapped whole.

A request is charged by one book; the next may be charged by the next. Where the new rows make no book (another
process imported them over other files), the last good one goes on, and says so.
"""

import asyncio
from collections.abc import Iterable
from typing import Protocol

import msgspec

from gateway.config import Config
from gateway.exchange.ports import Observer
from gateway.exchange.routing import Routes
from gateway.kernel.errors import ConfigurationError
from gateway.pricing.book import Book
from gateway.pricing.load import Listing
from gateway.pricing.row import BookInvalid, Row
from gateway.shipped import price_files, routes
from gateway.storage.prices import Imported


class Imports(Protocol):
    """Where imported rows come from."""

    @property
    def current(self) -> Imported:
        """As last loaded."""
        ...

    async def refresh(self) -> bool:
        """Load them again if any were imported since; whether they were. Raises Unavailable."""
        ...


class Compiled(msgspec.Struct, frozen=True):
    """A book with the routes that follow it. ``version``: the number of the last import in it."""

    book: Book
    routes: Routes
    version: int = 0


class LiveBook:
    """The book in use. A Snapshot of jobs/reload: ``refresh`` is called every two seconds.

    Raises ConfigurationError when it is made of files that make no book.
    """

    def __init__(self, config: Config, observer: Observer) -> None:
        self._config = config
        self._observer = observer
        self._listing: Listing = price_files(config)
        self._imports: Imports | None = None
        self._standing = self._compiled((), 0)
        self._pending = False

    @property
    def book(self) -> Book:
        """The book that requests are charged by now."""
        return self._standing.book

    @property
    def routes(self) -> Routes:
        """The routes, by the names of that book."""
        return self._standing.routes

    @property
    def version(self) -> int:
        """The number of the last import that is in the book."""
        return self._standing.version

    @property
    def is_stale(self) -> bool:
        """Whether there are imported prices that make no book with the files of this machine."""
        return self._imports is not None and self._imports.current.version != self.version

    def canonical(self, provider: str, names: Iterable[str]) -> str | None:
        """The book's own name of a model; None: not in the book."""
        return self._standing.book.canonical(provider, names)

    async def follow(self, imports: Imports) -> None:
        """Take the imported prices in, and from now on with every ``refresh``.

        Raises Unavailable, and ConfigurationError where they make no book with this machine's files: there
        is no last good one yet, and charging by another book than everybody else is no way out.
        """
        await imports.refresh()
        found = imports.current
        self._standing = await asyncio.to_thread(self._compiled, found.rows, found.version)
        self._imports = imports

    async def refresh(self) -> bool:
        """Take in what was imported since, if anything; whether the book is another now. Raises Unavailable."""
        if self._imports is None:
            return False
        changed = await self._imports.refresh()
        self._pending = self._pending or changed
        if not self._pending:
            return False
        imported = self._imports.current
        try:
            # A third of a second of work: in a thread, so that no request waits for it.
            standing = await asyncio.to_thread(self._compiled, imported.rows, imported.version)
        except ConfigurationError as error:
            self._observer.failed("prices", error)
            self._pending = False  # the same rows would fail again: until the next import
            return False
        self._standing, self._pending = standing, False
        return True

    def _compiled(self, imported: Iterable[Row], version: int) -> Compiled:
        try:
            book = self._listing.book(imported)
        except BookInvalid as error:
            raise ConfigurationError(error.problems) from error
        return Compiled(book, routes(self._config, book), version)
