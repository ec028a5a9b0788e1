"""The principal: the chargeback identity a gateway key stands for. Attribution hangs on the key alone."""

from fnmatch import fnmatchcase

import msgspec


class Principal(msgspec.Struct, frozen=True):
    """Who pays and what they may do.

    models          globs over canonical and wire model names; () allows every priced model
    allow_unpriced  may use what has no price: booked NULL and flagged, never refused
    allow_batches   may create batches (their usage is booked when they have ended)
    allow_shared    may touch what other teams, or nobody through this gateway, made at a provider
    expires_us      epoch in microseconds from which the key is dead, or None
    tags            sorted 'name=value' texts: what budgets and reports may group by
    """

    key_id: str
    org: str
    user: str
    team: str
    cost_centre: str | None = None
    app: str | None = None
    models: tuple[str, ...] = ()
    allow_unpriced: bool = False
    allow_batches: bool = False
    allow_shared: bool = False
    expires_us: int | None = None
    tags: tuple[str, ...] = ()

    def may_use(self, *names: str) -> bool:
        """Whether any of a model's names matches the key's list."""
        return not self.models or any(
            fnmatchcase(name, glob) for name in names for glob in self.models
        )
