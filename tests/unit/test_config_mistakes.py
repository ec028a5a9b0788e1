"""Every mistake of a configuration at once, in our words, with what was found; and never a secret."""

from pathlib import Path

import pytest

from gateway.config import load
from gateway.kernel.errors import ConfigurationError
from gateway.providers import installed

_SECRET = "sk-0123456789"


def problems(folder: Path, text: str, **environment: str) -> list[str]:
    """What is wrong, without the name of the file; [] where nothing is."""
    path = folder / "c.toml"
    path.write_text(text, encoding="utf-8")
    try:
        load(path, installed(), environment)
    except ConfigurationError as error:
        return [problem.removeprefix(f"{path}: ") for problem in error.problems]
    return []


def test_one_wrong_value_hides_no_other_of_its_table(tmp_path: Path) -> None:
    text = f"""
[storage]
url = "mysql://user:{_SECRET}@host"
[upstreams.a]
provider = "azur"
base_url = "http://example.com"
credential = {{ type = "api_key", key = "{_SECRET}" }}
[upstreams.b]
provider = "google"
service = "vertx"
credential = {{ type = "apikey", key = "{_SECRET}" }}
[upstreams.c]
provider = "azure"
base_url = "https://user:{_SECRET}@example.com"
credential = {{ type = "bearer", tokn = "{_SECRET}" }}
[upstreams.d]
region = "eastus2"
base_url = "example.com"
[[deployments]]
name = "x"
upstream = "a"
[[deployments]]
name = "y"
upstream = "e"
"""
    found = problems(tmp_path, text)
    by_reference = "a secret is given by reference; expected '${env:NAME}' or 'file:path'"
    expected = (
        "storage.url: a password is given as ${env:NAME}",
        "storage.url: expected sqlite+aiosqlite:///path/to/file or postgresql://user@host/database, found 'mysql'",
        "upstreams.a.provider: expected one of azure, bedrock, google, found 'azur'",
        "upstreams.a.base_url: expected https, as plain http is allowed to loopback only, found 'http://example.com'",
        f"upstreams.a.credential.key: {by_reference}",
        "upstreams.b.service: expected one of gemini, vertex, found 'vertx'",
        "upstreams.b.credential.type: expected one of api_key, bearer,",
        f"upstreams.b.credential.key: {by_reference}",
        "upstreams.c.base_url: expected https://host[/path] without a user or a password in it",
        "upstreams.c.credential.token: missing; expected text such as",
        "upstreams.c.credential.tokn: unknown key; known are token",
        "upstreams.d.provider: missing; expected text such as",
        "upstreams.d.base_url: expected https://host[/path], found 'example.com'",
        "deployments[1].upstream: expected one of a, b, c, d, found 'e'",
    )
    for sentence in expected:
        assert sum(problem.startswith(sentence) for problem in found) == 1, (sentence, found)
    assert len(found) == len(expected)
    assert _SECRET not in "".join(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nport = 'eighty'", "server.port: expected a whole number from 0 to 65535 such as 8080, found 'eighty'"),
        ("[server]\nworkers = 0", "server.workers: expected a whole number of at least 1 such as 1, found 0"),
        ("[relay]\ntransport = 'quick'", "relay.transport: expected one of relay, stock, found 'quick'"),
        ("[relay]\ncount = 'yes'", "relay.count: expected true or false, found 'yes'"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_said_in_our_words(tmp_path: Path, text: str, said: str) -> None:
    assert problems(tmp_path, text) == [said]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "missing; expected the resource's https URL"),
        ("https://example.com:99999", "its host or its port cannot be read"),
        ("https://example.com:http", "its host or its port cannot be read"),
        ("https://example.com:0", "its host or its port cannot be read"),
        ("https://[::1", "its host or its port cannot be read"),
        ("https://exam ple.com", "its host or its port cannot be read"),
        (r"https://exam\nple.com", "its host or its port cannot be read"),
        (f"https://example.com/?key={_SECRET}", "without a query or a fragment"),
        (f"https://example.com/#{_SECRET}", "without a query or a fragment"),
        (f"https://example.com:{_SECRET}", "its host or its port cannot be read"),
    ],
)
def test_a_base_url_that_leads_nowhere_is_said_without_a_secret(
    tmp_path: Path, url: str, said: str
) -> None:
    (found,) = problems(tmp_path, f'[upstreams.a]\nprovider = "azure"\nbase_url = "{url}"\n')
    assert found.startswith("upstreams.a.base_url: ")
    assert found.endswith(said)
    assert _SECRET not in found


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f'otlp_endpoint = "https://collector:{_SECRET}/v1/metrics"', "telemetry.otlp_endpoint: expected the whole URL"),
        ('otlp_endpoint = "https://"', "telemetry.otlp_endpoint: expected the whole URL"),
        (f'otlp_endpoint = "https://collector/v1/metrics?sig={_SECRET}"', "telemetry.otlp_endpoint: what stands in its query"),
        (f'otlp_endpoint = "https://collector/v1/metrics?a=${{env:X}}&{_SECRET}"', "telemetry.otlp_endpoint: what stands in its query"),
        (f'otlp_endpoint = "https://collector/v1/metrics?a={_SECRET}${{env:X}}"', "telemetry.otlp_endpoint: what stands in its query"),
        ('otlp_headers = { "a b" = "${env:X}" }', "telemetry.otlp_headers: expected names of headers, found 'a b'"),
    ],
)  # fmt: skip
def test_a_collector_that_nothing_could_reach_is_said_before_the_start(
    tmp_path: Path, line: str, said: str
) -> None:
    (found,) = problems(tmp_path, f"[telemetry]\n{line}\n", X="x")
    assert found.startswith(said)
    assert _SECRET not in found


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert problems(tmp_path, "\ufeff[server]\nport = 9000\n") == []


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("WEIGHBRIDGE_SERVER_PORT", "abc", "expected a whole number from 0 to 65535 such as 8080, found 'abc'"),
        ("WEIGHBRIDGE_LIMITS_BODY_MIB", "0", "expected a whole number of at least 1 such as 32, found '0'"),
        ("WEIGHBRIDGE_RELAY_TRANSPORT", "quick", "expected one of relay, stock, found 'quick'"),
        ("WEIGHBRIDGE_SERVR_PORT", "1", "names no key; did you mean WEIGHBRIDGE_SERVER_PORT?"),
        ("WEIGHBRIDGE_STORAGE_FODLER", "x", "names no key; did you mean WEIGHBRIDGE_STORAGE_FOLDER?"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_named_itself(
    tmp_path: Path, variable: str, value: str, said: str
) -> None:
    assert problems(tmp_path, "", **{variable: value}) == [f"{variable}: {said}"]


def test_variables_that_are_somebody_elses_are_left_alone(tmp_path: Path) -> None:
    """Kubernetes puts such into every pod beside a service called weighbridge; a file may refer to any."""
    theirs = (
        "WEIGHBRIDGE_SERVICE_HOST", "WEIGHBRIDGE_SERVICE_PORT", "WEIGHBRIDGE_PORT", "WEIGHBRIDGE_PORT_8080_TCP",
        "WEIGHBRIDGE_PORT_8080_TCP_ADDR", "WEIGHBRIDGE_SERVICE_PORT_HTTP", "WEIGHBRIDGE_DEMO_CREDENTIAL",
        "WEIGHBRIDGE_MASTER", "WEIGHBRIDGE_TEST_DATABASE_URL",
    )  # fmt: skip
    assert problems(tmp_path, "", **dict.fromkeys(theirs, "x")) == []
    text = '[org]\nname = "${env:WEIGHBRIDGE_ORGS_NAME}"'
    assert problems(tmp_path, text, WEIGHBRIDGE_ORGS_NAME="x") == []


def test_a_collectors_token_may_be_referred_to_in_the_query_or_with_the_whole_url(
    tmp_path: Path,
) -> None:
    whole = "https://collector/v1/metrics?sig=a-secret&b=two"
    (tmp_path / "endpoint").write_text(whole + "\n")
    by_names = "https://collector/v1/metrics?sig=${env:SIG}&b=${env:B}"
    for given in (by_names, f"file:{tmp_path}/endpoint"):
        assert (
            problems(tmp_path, f'[telemetry]\notlp_endpoint = "{given}"\n', SIG="a-secret", B="two")
            == []
        )


def test_every_name_that_nobody_could_read_or_type_again_is_said_with_its_place(
    tmp_path: Path,
) -> None:
    text = """
[org]
name = " "
[statements]
organisation = ""
platform_centre = "4100\\u200b"
tax_name = "Tax\\n"
[upstreams."a\\u202e"]
provider = "google"
service = "gemini"
credential = { type = "anonymous" }
[upstreams.b]
provider = "azure"
base_url = "http://127.0.0.1:9"
credential = { type = "anonymous" }
[[deployments]]
name = "gpt-5.4 "
model = "gpt\\u00ad-5.4"
upstream = "b"
[[deployments.also]]
upstream = "b"
name = ""
[[routes]]
provider = "google"
models = "\\ufeffgemini-*"
upstream = "a\\u202e"
[[contracts]]
name = ""
team = "sea\\u2066rch"
[[contracts.terms]]
model = "\\u3164"
discount_percent = 5
"""
    found = [one for one in problems(tmp_path, text) if "read and typed again" in one]
    expected = (
        ("org.name", "is empty: give a name"),
        ("statements.platform_centre", "holds the invisible character U+200B"),
        ("statements.tax_name", "holds the invisible character U+000A"),
        ("upstreams", "holds the invisible character U+202E"),
        ("deployments[0].name", "is a name without spaces around it"),
        ("deployments[0].model", "holds the invisible character U+00AD"),
        ("deployments[0].also[0].name", "is empty"),
        ("routes[0].models", "holds the invisible character U+FEFF"),
        ("contracts[0].name", "is empty"),
        ("contracts[0].team", "holds the invisible character U+2066"),
        ("contracts[0].terms[0].model", "shows nothing"),
    )
    assert len(found) == len(expected)
    for place, said in expected:
        assert any(one.startswith(f"{place}: expected a name") and said in one for one in found), (
            place
        )
    assert all(one.isprintable() for one in found)


def test_names_of_any_script_and_whole_arns_are_names(tmp_path: Path) -> None:
    arn = f"arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/{'x' * 300}"
    text = f"""
[org]
name = "Große Waage \U0001f468\u200d\U0001f469\u200d\U0001f467"
[upstreams.b]
provider = "bedrock"
service = "runtime"
region = "eu-west-1"
credential = {{ type = "anonymous" }}
[[deployments]]
name = "{arn}"
model = "claude"
upstream = "b"
"""
    assert [one for one in problems(tmp_path, text) if "typed again" in one] == []


@pytest.mark.parametrize(
    "zone", ["Europe", "America/", "x" * 3_000, "/etc/passwd", "", "Mars", "a\\u0000b"]
)
def test_a_zone_that_is_none_is_told_also_where_a_contract_begins_by_it(
    tmp_path: Path, zone: str
) -> None:
    """'Europe' is a folder of zones: opened as one it is no unknown name, but an error of the system's."""
    text = f"""
[org]
timezone = "{zone}"
[[contracts]]
name = "c"
valid_from = 2026-01-01
terms = [{{ provider = "azure", discount_percent = "5" }}]
"""
    (said,) = problems(tmp_path, text)
    assert said.startswith("org.timezone: expected an IANA zone such as 'Europe/Berlin'")


def test_a_file_that_cannot_be_read_as_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "c.toml").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(tmp_path / "c.toml", installed(), {})
    (tmp_path / "deep").mkdir()
    assert problems(tmp_path / "deep", "a = " + "[" * 100_000) == [
        "(file): not TOML of ours: nested deeper than any configuration is"
    ]
