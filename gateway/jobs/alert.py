"""Alerts of budgets: each is raised once per window and counter, whoever looks, however many do.

A row of the alert table is the alert; whoever could insert it says so in the log and the metric. A worker
that dies between the two leaves the row, which `weighbridge budgets alerts` shows.
"""

from typing import Final

from gateway.exchange.ports import Observer
from gateway.jobs.ports import Alarm, Raising
from gateway.jobs.supervise import forever
from gateway.quota.alert import due

PAUSE_MS: Final = 10_000
KNOWN_MAX: Final = (
    100_000  # alerts remembered, so that the database is not asked to refuse them again
)


class Alerter:
    """Any number may run, in any processes."""

    def __init__(self, budgets: Raising, alarm: Alarm, observer: Observer) -> None:
        self._budgets = budgets
        self._alarm = alarm
        self._observer = observer
        self._known: set[tuple[object, ...]] = set()

    async def run(self) -> None:
        """Look at once and then every ten seconds, until cancelled."""
        await forever("alert", self.step, self._observer, pause_ms=PAUSE_MS)

    async def step(self) -> int:
        """Look once; how long to pause. Raises Unavailable."""
        await self.look()
        return PAUSE_MS

    async def look(self) -> int:
        """Raise what is due; how many were new to everybody. Raises Unavailable."""
        standings = await self._budgets.earning()
        names = {one.key.budget: one.budget for one in standings}
        fresh = [alert for one in standings for alert in due(one) if alert.name not in self._known]
        if not fresh:
            return 0
        raised = await self._budgets.alert(fresh)
        for alert in raised:
            self._alarm.alerted(names[alert.key.budget], alert)
        if len(self._known) + len(fresh) > KNOWN_MAX:
            self._known.clear()
        self._known |= {alert.name for alert in fresh}
        return len(raised)
