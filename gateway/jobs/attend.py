"""An engine of holds beside the database is told what was posted, and looked after, for as long as it is used."""

from typing import Final

from gateway.exchange.ports import Observer
from gateway.jobs.ports import Attended
from gateway.jobs.supervise import forever

PAUSE_MS: Final = 500


class Attendant:
    """Looks after one engine; the pauses are the engine's own."""

    def __init__(self, engine: Attended, observer: Observer) -> None:
        self._engine = engine
        self._observer = observer

    async def run(self) -> None:
        """Attend until cancelled."""
        await forever("attend", self._engine.step, self._observer, pause_ms=PAUSE_MS)
