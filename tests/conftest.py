"""What every test may rely on: where things are, a clean environment, and one tokenizer for the whole run."""

import os
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from gateway.metering import vocabulary
from gateway.metering.count import Counter, Vocabulary
from gateway.pricing.book import Book
from gateway.shipped import configured, price_book

REPOSITORY = Path(__file__).resolve().parents[1]
SCRUBBED_PREFIXES = (
    "WEIGHBRIDGE_",
    "OPENAI_",
    "AZURE_",
    "AWS_",
    "GOOGLE_",
    "GEMINI_",
    "ANTHROPIC_",
    "TIKTOKEN_",
)
SCRUBBED_SUFFIXES = ("_PROXY",)
# A law holds or it does not, on a busy machine too: how long an example takes is the benchmark's business.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own credentials, proxies or settings reaches a test."""
    for name in list(os.environ):
        upper = name.upper()
        if upper.startswith(SCRUBBED_PREFIXES) or upper.endswith(SCRUBBED_SUFFIXES):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def recorded() -> Path:
    """Recorded traffic beside the checkout; a test that needs it is skipped, and says so, where it is absent."""
    folder = REPOSITORY.parent / "shared" / "recorded"
    if not folder.is_dir():
        pytest.skip(f"no recorded traffic at {folder}")
    return folder


@pytest.fixture(scope="session")
def vocabulary_files() -> dict[str, bytes]:
    """The shipped vocabulary files, by encoding name."""
    folder = resources.files(vocabulary)
    return {name: (folder / file).read_bytes() for name, file in vocabulary.FILES.items()}


@pytest.fixture(scope="session")
def loaded_vocabulary(vocabulary_files: dict[str, bytes]) -> Vocabulary:
    """The encodings; loading them takes about half a second, once."""
    return Vocabulary.from_bytes(vocabulary_files)


@pytest.fixture(scope="session")
def counter(loaded_vocabulary: Vocabulary) -> Counter:
    """A counter over the shipped vocabulary."""
    return Counter(loaded_vocabulary)


@pytest.fixture(scope="session")
def book() -> Book:
    """The shipped price book."""
    return price_book(configured(None, {}))
