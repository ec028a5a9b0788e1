"""Whatever a client writes into its heads, paths, queries and names, what is remembered of it stays below a stated size."""

import gc
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

import gateway.app  # every room is loaded then
import gateway.edge.server  # noqa: F401
from gateway.dialects.contract import NAME_CHARS_MAX, NAME_KEPT_CHARS_MAX, TIER_CHARS_MAX, Request
from gateway.edge.heads import KEPT_BYTES_MAX, KEPT_FIELDS_MAX, seen_head
from gateway.exchange.admission import Admitted
from gateway.exchange.breaker import BREAKERS_MAX, Breakers
from gateway.exchange.prospects import PROSPECTS_MAX, Prospects
from gateway.exchange.routing import DEPLOYMENTS_CACHED_MAX, Routes
from gateway.identity.principal import Principal
from gateway.identity.sigv4 import SIGNING_KEYS_MAX, _SigningKeys
from gateway.kernel.remembered import Remembered
from gateway.pricing.book import Book
from gateway.providers import installed
from gateway.providers.contract import Call, Kind, Upstream
from gateway.wire.messages import Headers, Inbound
from gateway.wire.spelling import HARMLESS_MAX, Spelling
from tests.unit.test_exchange_prospects import BOOK

KIB: Final = 1024
MIB: Final = 1024 * KIB
SMALL: Final = 8
ENTRIES: Final = 64
ROOT: Final = Path(__file__).parents[2]


def text(number: int, size: int) -> bytes:
    """Another one for every number, of a size."""
    return (b"%06d" % number).ljust(size, b"x")


def fields(number: int, size: int) -> Headers:
    """As many headers as a head may have, or few."""
    count = max(1, min(100, size // 16))
    return tuple(
        [
            (text(number + at, size // 2 // count), text(at, size // 2 // count))
            for at in range(count)
        ]
    )


Hostile = Callable[[int, int], tuple[object, ...]]
# What a client, or what it makes an upstream say, would give each remembered function: by a number and a size.
HOSTILE: Final[dict[str, Hostile]] = {
    "gateway.edge.cycle._shape": lambda n, size: (tuple([name for name, _ in fields(n, size)]),),
    "gateway.edge.passing._plan": lambda n, size: (tuple([name for name, _ in fields(n, size)]),),
    "gateway.identity.misplaced.bears_no_credential": lambda n, size: (
        text(n, 8) + b"".join([b"&%05d" % at for at in range(size // 6)]),
    ),
    "gateway.identity.sigv4._canonical_path": lambda n, size: (b"/\x80" + text(n, size),),
    "gateway.identity.sigv4._claimed": lambda n, size: (
        b"AWS4-HMAC-SHA256 Credential=WBAK%06d/20260101/r/s/aws4_request, SignedHeaders=host;%bx-amz-date, "
        % (n, b"".join([b"i%05d;" % at for at in range(min(90, size // 7))])),
    ),
    "gateway.metering.families.family_of": lambda n, size: (chr(0x1F600) + text(n, size).decode(),),
    "gateway.metering.families.plain_name": lambda n, size: (
        chr(0x1F600) + text(n, size).decode(),
    ),
    "gateway.providers.azure_openai._call": lambda n, size: (
        b"POST",
        b"/azure/openai/deployments/" + text(n, size) + b"/chat/completions",
    ),
    "gateway.providers.bedrock._found": lambda n, size: (
        b"POST",
        b"/model/" + text(n, size) + b"%F0%9F%98%80/converse",
    ),
    "gateway.providers.google._call": lambda n, size: (
        b"POST",
        b"/v1/models/" + text(n, size) + b":generateContent",
    ),
    "gateway.providers.google._parameters": lambda n, size: (
        text(n, 8) + b"".join([b"&%05d" % at for at in range(size // 6)]),
    ),
    "gateway.upstream.pool._lines_without": lambda n, size: (
        b"host.invalid",
        fields(n, size),
        frozenset({b"api-key"}),
    ),
    "gateway.wire.headers._tokens": lambda n, size: (
        text(n, 8) + b"".join([b",%04x" % at for at in range(size // 5)]),
    ),
}


def remembering() -> dict[str, Remembered[object]]:
    """Every function of the house that remembers, by where it is written."""
    installed()
    return {
        f"{module}.{name}": value
        for module, loaded in sorted(sys.modules.items())
        if module.startswith("gateway.")
        for name, value in vars(loaded).items()
        if isinstance(value, Remembered) and value._work_out.__module__ == module
    }


def growth(fill: Callable[[], object]) -> int:
    """Bytes that are still held when something was done."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = fill()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del kept
    return after - before


def test_every_function_that_remembers_is_listed_here() -> None:
    assert set(remembering()) == set(HOSTILE)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("size", [SMALL, 300, 1_000, 4_000])
def test_no_text_of_a_clients_makes_a_memory_larger_than_stated(name: str, size: int) -> None:
    function, hostile = remembering()[name], HOSTILE[name]
    # What holds of each entry holds of any number of them.
    kept = Remembered(
        function._work_out,
        function._size,
        entries_max=ENTRIES,
        entry_bytes_max=function.bytes_max // (2 * function._half),
    )

    def fill() -> object:
        for number in range(ENTRIES + 2):
            kept(*hostile(number, size))
        return kept

    assert growth(fill) <= kept.bytes_max
    assert function.bytes_max <= 8 * MIB
    if size == SMALL:
        assert len(kept) > ENTRIES // 2


def test_what_names_no_client_may_choose_is_all_that_is_remembered_by_number_alone() -> None:
    """Arguments of these are configured, come from files of ours, or have a few bytes by their grammar."""
    found = {
        str(path.relative_to(ROOT / "gateway"))
        for path in (ROOT / "gateway").rglob("*.py")
        if "lru_cache" in path.read_text()
        and not str(path).startswith(str(ROOT / "gateway/commands"))
    }
    assert found == {
        "dialects/gemini/asked.py",  # names written in the code
        "exchange/bounds.py",  # units of the registry
        "identity/sigv4.py",  # timestamps of 16 bytes
        "ledger/period.py",  # zones
        "pricing/book.py",  # places: what is configured, with a tier of 64 characters
        "pricing/contract.py",  # the same
        "pricing/load.py",  # dates of price files
        "pricing/row.py",  # dates of price rows
        "quota/window.py",  # days
        "reporting/bills/layouts.py",  # a bill's columns
        "wire/objects.py",  # schemes written in the code
        "wire/spelling.py",  # names written in the code
        "shipped.py",  # the price files, and the rows that an operator imported
        "reporting/bills/charge.py",  # days of a bill that somebody reads at a command line
    }


def test_names_of_models_fill_no_memory() -> None:
    upstream = Upstream("here", "bedrock", "https://here.invalid", "mantle", "us-east-1")
    provider = next(provider for provider in installed() if provider.name == "bedrock")
    routes = Routes([upstream], [], [], {})
    prospects, breakers = Prospects(lambda: BOOK), Breakers()
    inbound = Inbound(b"POST", b"/bedrock/v1/chat/completions", b"", (), b"{}")
    call = provider.recognise(inbound)

    def ask(number: int, size: int) -> None:
        name = chr(0x1F600) + text(number, size).decode()
        (found,) = routes.find(provider, call, name, BOOK.canonical)
        tier = text(number, TIER_CHARS_MAX).decode()
        prospects.of("bedrock", found.deployment, tier, None, 1)
        breakers.succeeded(admitted(call, upstream, name).place, 1, 0)

    def fill() -> object:
        for number in range(DEPLOYMENTS_CACHED_MAX + 500):
            ask(number, NAME_KEPT_CHARS_MAX - 1)
            if number % 16 == 0:
                ask(number, NAME_CHARS_MAX - 1)
        return routes, prospects, breakers

    assert max(DEPLOYMENTS_CACHED_MAX, PROSPECTS_MAX, BREAKERS_MAX) == 4096
    assert growth(fill) <= 64 * MIB


def admitted(call: Call, upstream: Upstream, name: str) -> Admitted:
    principal = Principal("key_1", "org", "user-0001", "team")
    assert call.kind is Kind.METERED
    return Admitted(principal, call, Request(), upstream, None, name, None, None, "standard")


def test_names_of_members_fill_no_memory() -> None:
    spelling = Spelling(["model"])

    def fill() -> object:
        for number in range(HARMLESS_MAX + 500):
            spelling.misspelt(
                {chr(0x1F600) + text(number, 60).decode(): 1, text(number, 5_000).decode(): 1}
            )
        return spelling

    assert growth(fill) <= 256 * KIB


def test_a_kept_head_is_small_and_a_large_one_is_not_kept() -> None:
    def head(count: int, size: int) -> tuple[bytes, dict[str, object]]:
        named = [
            (b"content-length", b"5"),
            *[(b"x-%d" % at, text(at, size)) for at in range(count)],
        ]
        lines = b"".join([b"%b: %b\r\n" % field for field in named])
        return b"POST / HTTP/1.1\r\n%b\r\nhello" % lines, {"headers": named}

    def fill() -> object:
        octets, scope = head(KEPT_FIELDS_MAX - 1, KEPT_BYTES_MAX // KEPT_FIELDS_MAX - 20)
        seen = seen_head(octets, scope, 32 * KIB)
        assert seen is not None
        return seen

    assert growth(fill) <= 64 * KIB
    assert seen_head(*head(KEPT_FIELDS_MAX, 8), 32 * KIB) is None
    assert seen_head(*head(2, KEPT_BYTES_MAX // 2), 32 * KIB) is None


def test_regions_of_signatures_fill_no_memory_and_no_secret_stays_as_it_is() -> None:
    keys = _SigningKeys()
    secret = "a-secret-that-is-derived"

    def fill() -> object:
        for number in range(SIGNING_KEYS_MAX + 500):
            keys.of(secret, ("20260101", text(number, 64).decode(), "bedrock"))
        return keys

    assert growth(fill) <= MIB
    assert secret not in repr(keys._known)
    keys.of(secret, ("20260102", "r", "bedrock"))
    assert len(keys) == 1  # yesterday's are of no more use
    keys.of(secret, ("20260101", "r", "bedrock"))
    assert len(keys) == 2  # clocks differ around midnight


def test_names_of_models_fill_no_memory_of_the_price_book() -> None:
    book = Book.compile(BOOK.rows)

    def fill() -> object:
        for number in range(4_500):
            for size in (100,) if number % 16 else (100, NAME_CHARS_MAX):
                book.canonical("cloud", [chr(0x1F600) + text(number, size).decode()])
        return book

    assert growth(fill) <= 8 * MIB
