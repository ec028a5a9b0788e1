"""What is said of a call that has no price: whoever adds the line it names can make the next call."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import shipped
from gateway.exchange.prospects import Prospect, Prospects
from gateway.pricing.book import Book
from gateway.pricing.dimensions import PROVISIONED, SCOPES
from gateway.pricing.rate import Status
from gateway.providers.contract import Call, Kind

AT_US = 1_795_000_000_000_000  # 2026-11-18
UPSTREAM = """
[upstreams.az]
provider = "{provider}"
service = "{service}"
base_url = "https://one.example"
credential = {{ type = "bearer", token = "${{env:TOKEN}}" }}
"""
DEPLOYMENT = """
[[deployments]]
name = "{name}"
upstream = "az"
"""
ADVICE = re.compile(
    r"""(?:add|set) (\w+) = ((?:"[^"]+"(?: or )?)+)( …)? (?:to|on) (\[upstreams\.az\]|its \[\[deployments\]\])"""
)


class Bench:
    """A configuration of one upstream and one deployment, read anew for every call."""

    def __init__(self, folder: Path, book: Book, provider: str, service: str, name: str) -> None:
        self.path, self.book = folder / "weighbridge.toml", book
        self.provider, self.service, self.name = provider, service, name

    def prospect(
        self,
        upstream: str = "",
        deployment: str = "",
        tier: str = "standard",
        where: str | None = None,
    ) -> Prospect:
        """What a call would cost; ``deployment``: its further lines, '-' for none configured."""
        text = UPSTREAM.format(provider=self.provider, service=self.service) + upstream
        if deployment != "-":
            text += DEPLOYMENT.format(name=self.name) + deployment
        self.path.write_text(text, encoding="utf-8")
        config = shipped.configured(self.path, {"TOKEN": "t"})
        speaker = shipped.provider_named(self.provider)
        call = Call(self.provider, "chat", Kind.METERED, b"/", service=self.service, location=where)
        routes = shipped.routes(config, self.book)
        (place,) = routes.find(speaker, call, self.name, self.book.canonical)
        return Prospects(lambda: self.book).of(self.provider, place.deployment, tier, None, AT_US)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Book:
    path = tmp_path_factory.mktemp("book") / "weighbridge.toml"
    path.write_text("", encoding="utf-8")
    return shipped.price_book(shipped.configured(path, {}))


@pytest.fixture
def azure(tmp_path: Path, book: Book) -> Bench:
    return Bench(tmp_path, book, "azure", "", "dz")


def advised(said: str | None) -> Iterator[tuple[str, str]]:
    """Each line that a refusal offers, and the table it goes to."""
    assert said is not None
    found = ADVICE.search(said)
    assert found is not None, said
    for word in re.findall(r'"([^"]+)"', found[2]):
        yield f'{found[1]} = "{word}"\n', "upstream" if "upstreams" in found[4] else "deployment"


CASES = [
    ("gpt-5.4", 'scope = "data_zone"\n'),
    ("gpt-4o-2024-08-06", 'scope = "regional"\n'),
    ("gpt-4.1", 'scope = "regional"\n'),
    ("gpt-5.1", 'scope = "data_zone"\n'),
    ("text-embedding-3-large", 'scope = "regional"\n'),
    # A region that nobody knows: which geo it lies in is asked.
    ("gpt-5.4", 'scope = "data_zone"\nregion = "atlantis"\n'),
    ("gpt-4o-2024-08-06", 'scope = "regional"\nregion = "atlantis"\n'),
]


@pytest.mark.parametrize(("model", "lines"), CASES)
def test_a_region_that_decides_is_asked_for_by_the_line_that_settles_it(
    azure: Bench, model: str, lines: str
) -> None:
    lines = f'model = "{model}"\n{lines}'
    first = azure.prospect(deployment=lines)
    assert first.status in (Status.AMBIGUOUS, Status.UNPRICED)
    tried = 0
    for line, table in advised(first.remedy):
        # As it was told: for all of the upstream's deployments, or for this one.
        kept = re.sub(rf"^{line[:6]}.*\n", "", lines, flags=re.MULTILINE)
        after = azure.prospect(*((line, kept) if table == "upstream" else ("", kept + line)))
        assert (after.remedy, str(after.status)) == (None, "priced")
        tried += 1
    assert tried


@pytest.mark.parametrize("model", ["gpt-5.4", "gpt-4o-2024-08-06", "gpt-5.4-pro", "gpt-4o", "tts"])
def test_a_deployment_without_a_scope_is_told_those_that_have_prices(
    azure: Bench, model: str
) -> None:
    first = azure.prospect(deployment=f'model = "{model}"\n')
    lines = [line for line, _ in advised(first.remedy)]
    assert lines
    for line in lines:
        after = azure.prospect('region = "eastus2"\n', f'model = "{model}"\n{line}')
        assert "scope" not in (after.remedy or "")
    # The one it names first needs nothing else.
    assert azure.prospect(deployment=f'model = "{model}"\n{lines[0]}').remedy is None
    unsaid = {*SCOPES, PROVISIONED} - {re.findall(r'"(.*)"', line)[0] for line in lines}
    for scope in unsaid - {PROVISIONED}:
        after = azure.prospect('region = "eastus2"\n', f'model = "{model}"\nscope = "{scope}"\n')
        assert str(after.status) == "unpriced"


def test_the_row_that_a_refusal_names_is_the_one_that_was_missing(
    azure: Bench, tmp_path: Path
) -> None:
    lines = 'model = "gpt-5.4"\nscope = "in_region"\n'
    first = azure.prospect('region = "eastus2"\n', lines)
    assert first.remedy is not None
    assert "it has prices in scope global, data_zone" in first.remedy
    row = re.findall(r"such as '(.*)', or use", first.remedy)[0]
    head = "provider,model,scope,geo,region,tier,unit,context_gt,price,per,currency,valid_from,valid_to,source,source_ref,evidence"
    filled = row.replace("<USD>", "2.5").replace("<where the price is from>", "contract")
    (tmp_path / "own.csv").write_text(f"{head}\n{filled}\n", encoding="utf-8")
    settings = tmp_path / "prices.toml"
    settings.write_text(f'[prices]\nfiles = ["{tmp_path / "own.csv"}"]\n', encoding="utf-8")
    azure.book = shipped.price_book(shipped.configured(settings, {}))
    assert azure.prospect('region = "eastus2"\n', lines).remedy is None


def test_the_region_of_a_deployment_comes_before_that_of_its_upstream(azure: Bench) -> None:
    lines = 'model = "gpt-4o-2024-08-06"\nscope = "regional"\n'
    upstream = azure.prospect('region = "eastus2"\n', lines)
    own = azure.prospect('region = "eastus2"\n', lines + 'region = "northeurope"\n')
    assert (upstream.under.region, own.under.region) == ("eastus2", "northeurope")
    tokens = 1_000_000
    first, second = (one.estimate(tokens, {}, AT_US).charge.net_pico for one in (upstream, own))
    assert (first, second) == (2_750_000_000_000, 3_300_000_000_000)


def test_a_data_zone_is_that_of_the_region_of_its_upstream(azure: Bench) -> None:
    lines = 'model = "gpt-5.4"\nscope = "data_zone"\n'
    for region, pico in (("eastus2", 275_000_000_000), ("japaneast", 300_000_000_000)):
        prospect = azure.prospect(f'region = "{region}"\n', lines)
        assert prospect.estimate(100_000, {}, AT_US).charge.net_pico == pico


@pytest.mark.parametrize(
    ("provider", "service", "name", "model"),
    [
        ("google", "vertex", "team-model", "gemini-2.5-pro"),
        ("bedrock", "runtime", "team-model", "anthropic.claude-sonnet-4-6"),
    ],
)
def test_where_the_path_does_not_say_the_upstream_does(
    tmp_path: Path, book: Book, provider: str, service: str, name: str, model: str
) -> None:
    bench = Bench(tmp_path, book, provider, service, name)
    region = {"google": "europe-west4", "bedrock": "eu-west-1"}[provider]
    prospect = bench.prospect(f'region = "{region}"\n', f'model = "{model}"\n')
    assert (prospect.under.region, prospect.remedy) == (region, None)
    # The name as it is: as the place where it is sent.
    plain = Bench(tmp_path, book, provider, service, model)
    same = plain.prospect(f'region = "{region}"\n', "-")
    assert (same.under.scope, same.under.region) == (prospect.under.scope, region)
    assert same.steady == prospect.steady


def test_where_the_path_says_the_place_the_deployment_is_priced_there(
    tmp_path: Path, book: Book
) -> None:
    bench = Bench(tmp_path, book, "google", "vertex", "team-model")
    for where, scope, region in (
        ("us-east5", "regional", "us-east5"),
        ("global", "global", None),
    ):
        under = bench.prospect(
            'region = "europe-west4"\n', 'model = "gemini-2.5-pro"\n', where=where
        ).under
        assert (under.scope, under.region) == (scope, region)


def test_an_arn_that_states_its_region_is_there_whatever_its_upstream_says(
    tmp_path: Path, book: Book
) -> None:
    arn = "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/abc"
    bench = Bench(tmp_path, book, "bedrock", "runtime", arn)
    lines = 'model = "anthropic.claude-sonnet-4-6"\n'
    prospect = bench.prospect('region = "eu-west-1"\n', lines)
    assert (prospect.under.region, prospect.remedy) == ("us-west-2", None)
