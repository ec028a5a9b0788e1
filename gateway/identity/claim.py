"""Whose a kept thing is: a file, batch, stored response, that a provider keeps behind the gateway's own credential."""

import msgspec

from gateway.identity.principal import Principal


class Claim(msgspec.Struct, frozen=True):
    """Who made it, and where it is kept. The first claim of a resource stands.

    resource    provider and id: 'azure/file-abc'
    upstream    the upstream that keeps it
    expires_us  when the provider has forgotten it, epoch microseconds; None: until it is deleted
    models      of an input file of batches: the models its lines name; None: it was not read as one
    work        of a file that deferred work wrote: the name of that work ('azure/openai-main/batch_1')
    tokens      of an answer that can be gone on from: what its prompt and itself are at most when they are read
                again by ``model``, canonical; None: nobody can tell
    """

    resource: str
    org: str
    team: str
    key_id: str
    upstream: str
    made_us: int
    expires_us: int | None = None
    models: tuple[str, ...] | None = None
    work: str | None = None
    model: str | None = None
    tokens: int | None = None

    def is_of(self, principal: Principal) -> bool:
        """Whether the principal's team made it."""
        return (self.org, self.team) == (principal.org, principal.team)
