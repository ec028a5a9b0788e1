"""Providers' own lists: a feed of pages over a real socket, files, and what is said where they are none."""

import json
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gateway.catalog import lines
from gateway.catalog.figure import SourceUnreadable
from gateway.catalog.refresh import refresh
from gateway.catalog.retail import Retail
from gateway.commands.prices.feeds import contents, read_feeds
from tests.unit.catalog_sources import files, line, meter, sources

DAY = date(2026, 11, 22)


def feed_row(price: str, since: str = "2026-10-01", region: str = "north") -> dict[str, object]:
    """A row as the retail feed states it: one region each."""
    return {
        "currencyCode": "USD", "retailPrice": float(price), "unitPrice": float(price), "armRegionName": region,
        "meterName": "m1 inp", "productName": "p", "unitOfMeasure": "1M", "type": "Consumption",
        "effectiveStartDate": f"{since}T00:00:00Z", "isPrimaryMeterRegion": True,
    }  # fmt: skip


@pytest.fixture
def feed() -> Iterator[str]:
    """A server of two pages, the first naming the second."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert isinstance(self.server, ThreadingHTTPServer)
            address = f"http://127.0.0.1:{self.server.server_port}/?$skip=1"
            page = (
                {"Items": [feed_row("1.5")], "NextPageLink": address}
                if "skip" not in self.path
                else {"Items": [feed_row("1.5", region="south")], "NextPageLink": None}
            )
            body = json.dumps(page).encode()
            self.send_response(200 if "gone" not in self.path else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_live_feed_speaks_over_the_snapshot_and_the_row_names_it(feed: str) -> None:
    held = sources({}, meter("m1 inp", 2, ["north", "south"]))
    book = files(line("2", "meter m1 inp", "authoritative"))
    assert refresh(book, held, DAY).deltas == ()
    feeds = read_feeds([feed], (), DAY)
    assert len(feeds.pages) == 2
    (delta,) = refresh(book, feeds.over(held), DAY).deltas
    assert (delta.after["price"], delta.after["valid_from"]) == ("1.5", "2026-10-01")
    assert delta.after["source"] == "azure-retail 2026-11-22"


def test_a_feed_of_one_region_leaves_the_others_as_the_snapshot_has_them(tmp_path: Path) -> None:
    page = tmp_path / "page.json"
    page.write_text(json.dumps({"Items": [feed_row("1.5")]}), encoding="utf-8")
    held = sources({}, meter("m1 inp", 2, ["north", "south"]))
    book = files(
        line("2", "meter m1 inp", "authoritative", region="north"),
        line("2", "meter m1 inp", "authoritative", region="south"),
    )
    outcome = refresh(book, read_feeds([str(page)], (), DAY).over(held), DAY)
    assert [made["region"] for made in lines.read(outcome.files["cloud.csv"])] == [
        "north",
        "north",
        "south",
    ]
    assert outcome.disputes == ()


def test_where_both_state_a_price_of_one_day_the_feed_is_right() -> None:
    before = Retail("snapshot", [json.dumps({"items": [meter("m1 inp", 2, ["north"])]}).encode()])
    page = json.dumps({"Items": [feed_row("3", since="2026-01-01")]}).encode()
    found = before.under("feed", [page]).latest(["m1 inp"], {"north"}, (), DAY)
    assert found is not None
    assert (found.figure.text(1_000_000), found.source) == ("3", "feed")


@pytest.mark.parametrize(
    "name", ["http://prices.example/list", "ftp://127.0.0.1/list", "nowhere.json"]
)
def test_what_is_not_to_be_had_is_said(name: str) -> None:
    with pytest.raises(SourceUnreadable, match=r"https only|no such file"):
        contents([name])


def test_an_address_that_answers_otherwise_names_the_cure(feed: str) -> None:
    with pytest.raises(SourceUnreadable, match="name the file"):
        contents([f"{feed}gone"])
    with pytest.raises(SystemExit):
        read_feeds((), [__file__], DAY)
