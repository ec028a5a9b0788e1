"""One gateway and one set of scripted clouds for all SDK tests of a worker; every test sees only its own rows."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, TypeVar

import pytest

from gateway.jobs import flush, reload
from tests.sdk.cloud import Cloud
from tests.sdk.weighing import BUDGETS, DEPLOYMENTS, Weighing
from tests.serving import serving, serving_app

C = TypeVar("C")
FLUSH_MS, RELOAD_MS = 20, 200  # the tests' pace: nothing but the waiting is shorter


@pytest.fixture(scope="session")
def _pace() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "PAUSE_MS", FLUSH_MS)
        patch.setattr(reload, "PAUSE_MS", RELOAD_MS)
        yield


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory, _pace: None) -> Iterator[Weighing]:
    """The gateway before the clouds, over plain http."""
    cloud = Cloud()
    with (
        serving_app(cloud) as upstream,
        serving(tmp_path_factory.mktemp("sdk"), upstream, DEPLOYMENTS) as running,
        closing(Weighing(running, cloud)) as weighing,
    ):
        running.put_budgets(*BUDGETS)
        yield weighing
        weighing.nothing_booked()
        assert weighing.unclaimed == 0


@pytest.fixture
def weighing(everything: Weighing, monkeypatch: pytest.MonkeyPatch) -> Weighing:
    """The gateway, with no AWS or Google settings of the machine's in reach."""
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", "/nonexistent")
    everything.forget()
    return everything


@pytest.fixture(scope="module")
def over_http2(tmp_path_factory: pytest.TempPathFactory, _pace: None) -> Iterator[Weighing]:
    """The gateway of a module of tests with the experimental HTTP/2 listener."""
    cloud = Cloud()
    with (
        serving_app(cloud) as upstream,
        serving(tmp_path_factory.mktemp("h2"), upstream, DEPLOYMENTS, http2=True) as running,
        closing(Weighing(running, cloud)) as weighing,
    ):
        yield weighing


@contextmanager
def _closing_all() -> Iterator[Callable[[C], C]]:
    with ExitStack() as stack:

        def keep(client: Any) -> Any:
            return stack.enter_context(closing(client))

        yield keep


@pytest.fixture
def opened() -> Iterator[Callable[[C], C]]:
    """Takes a client and closes it after the test: an SDK leaves its connections open otherwise."""
    with _closing_all() as keep:
        yield keep


@pytest.fixture(scope="module")
def kept() -> Iterator[Callable[[C], C]]:
    """The same for clients of a whole module: making one costs more than using it."""
    with _closing_all() as keep:
        yield keep
