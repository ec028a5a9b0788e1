"""What ships with the package and is read from files: providers, configuration, prices, vocabulary.

Light on purpose: commands that only look something up do not load the gateway.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path

from gateway.config import Config, load
from gateway.exchange.routing import Routes
from gateway.kernel.errors import ConfigurationError
from gateway.metering import vocabulary
from gateway.metering.count import Counter, Vocabulary, VocabularyDamaged
from gateway.pricing.book import Book
from gateway.pricing.ceilings import Ceilings
from gateway.pricing.load import Listing, read
from gateway.pricing.row import BookInvalid, Row
from gateway.providers import installed
from gateway.providers.contract import Provider


def configured(path: Path | None, environment: Mapping[str, str] | None = None) -> Config:
    """The configuration of a file. Raises ConfigurationError with every problem."""
    return load(path, installed(), environment)


def provider_names() -> tuple[str, ...]:
    """The names of the providers there are: what a price may be of."""
    return tuple(provider.name for provider in installed())


def provider_named(name: str) -> Provider:
    """The provider of that name. Raises ConfigurationError naming the known ones."""
    known = {provider.name: provider for provider in installed()}
    if name not in known:
        raise ConfigurationError(
            (f"--provider: expected one of {', '.join(known)}, found {name!r}",)
        )
    return known[name]


def counter() -> Counter:
    """tiktoken with the shipped vocabulary; about half a second. Raises ConfigurationError where it is not whole."""
    folder = resources.files(vocabulary)
    paths = {name: folder / file for name, file in vocabulary.FILES.items()}
    files = {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
    try:
        return Counter(Vocabulary.from_bytes(files))
    except VocabularyDamaged as error:
        problem = f"{paths[error.name]}: {error}"
        raise ConfigurationError((problem,)) from error


def ceilings() -> Ceilings:
    """The shipped output ceilings of models. Raises CeilingsInvalid with every bad line."""
    return Ceilings.from_bytes((resources.files("gateway.pricing") / "ceilings.csv").read_bytes())


def seed_files() -> dict[str, bytes]:
    """The shipped price files by name, aliases and regions among them."""
    seed = resources.files("gateway.pricing") / "seed"
    return {file.name: file.read_bytes() for file in seed.iterdir() if file.name.endswith(".csv")}


def source_manifest() -> bytes:
    """Which packages the shipped prices are refreshed from."""
    return (resources.files("gateway.catalog") / "sources.toml").read_bytes()


def price_files(config: Config) -> Listing:
    """The shipped price rows and the configured ones. Raises ConfigurationError where a file is not there."""
    missing = [name for name in config.prices.files if not Path(name).is_file()]
    if missing:
        raise ConfigurationError(tuple(f"prices.files: no such file: {name}" for name in missing))
    own = {name: Path(name).read_bytes() for name in config.prices.files}
    return read(seed_files(), own, provider_names())


def price_book(config: Config, imported: Iterable[Row] = ()) -> Book:
    """The shipped rows, the configured and the imported ones over them.

    The last one is remembered while neither files nor rows change: a command that asks again does not wait again.
    Raises ConfigurationError with every bad row.
    """
    own = (Path(name) for name in config.prices.files)
    stamps = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in own if path.is_file())
    return _book(_Files(config, (config.prices.files, stamps)), tuple(imported))


class _Files:
    """A configuration, equal to another where its price files are the same, unchanged."""

    def __init__(self, config: Config, files: object) -> None:
        self.config = config
        self._files = files

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Files) and self._files == other._files

    def __hash__(self) -> int:
        return hash(self._files)


@lru_cache(maxsize=1)
def _book(files: _Files, imported: tuple[Row, ...]) -> Book:
    try:
        return price_files(files.config).book(imported)
    except BookInvalid as error:
        raise ConfigurationError(error.problems) from error


def routes(config: Config, book: Book) -> Routes:
    """The configured routes. Raises ConfigurationError with every alternative that is another model.

    Which model a name means only the price book can tell, so this is not known when the file is read.
    """
    found = Routes(config.upstreams, config.deployments, config.rules, config.locations)
    providers = {provider.name: provider for provider in installed()}
    problems = tuple(
        f"deployments: {deployment.wire}: also at {other.upstream}: model: expected the same model as the "
        f"deployment's own ({deployment.model or deployment.wire}), as the price book names it, "
        f"found {other.model!r}"
        for deployment, other in found.differing(providers, book.canonical)
    )
    if problems:
        raise ConfigurationError(problems)
    return found
