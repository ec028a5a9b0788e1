"""A gateway that is told to end while its database answers nobody: what was claimed meanwhile is there at the next start."""

from contextlib import closing
from pathlib import Path
from typing import Any

from openai import OpenAI

from tests.prove.database import postgres as started
from tests.serving import Running, serving, serving_app
from tests.storage.kept_cloud import KeepingCloud
from tests.storage.test_gateway_kept import DEPLOYED, batched, uploaded


def client_of(running: Running) -> Any:
    url = f"{running.url}/azure/openai/v1"
    return closing(OpenAI(base_url=url, api_key=running.key.key, max_retries=0))


def test_what_was_made_while_the_database_was_away_is_known_after_the_next_start(
    tmp_path: Path,
) -> None:
    with started("postgres") as server, serving_app(KeepingCloud()) as base:
        assert server is not None
        with (
            serving(tmp_path, base, DEPLOYED, database=server.url()) as running,
            client_of(running) as ours,
        ):
            file = uploaded(ours)
            server.pause()
            batch = batched(ours, file)
        server.resume()
        with (
            serving(tmp_path, base, DEPLOYED, database=server.url()) as running,
            client_of(running) as ours,
        ):
            assert ours.batches.retrieve(batch).id == batch
        assert list((tmp_path / "var" / "claims").iterdir()) == []
