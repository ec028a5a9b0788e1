"""The documents against the code: what is enumerated there is described here, and nothing else is claimed."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import typer

import gateway
from gateway.__main__ import command_line
from gateway.config import load, tables
from gateway.exchange.routing import RouteAlternative, RouteRule
from gateway.kernel.errors import ConfigurationError, GatewayError
from gateway.ledger.entry import Entry
from gateway.providers import installed
from gateway.storage.tables import LEDGER_COLUMNS
from gateway.telemetry.metrics import METRICS
from gateway.upstream import credentials

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "config" / "weighbridge.toml"
OPERATE = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
CONFIG_PAGE = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
LEFT_OUT = {"var", "build", "dist", "mutants", "node_modules", "__pycache__"}


def files(*suffixes: str) -> list[Path]:
    """Every file of the tree, without what tools leave behind."""
    found = []
    for path in sorted(ROOT.rglob("*")):
        inside = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part != ".ci" for part in inside[:-1])
        if path.is_file() and not hidden and not LEFT_OUT & set(inside):
            found += [path] if not suffixes or path.suffix in suffixes else []
    return found


PAGES = files(".md")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def section(text: str, heading: str) -> str:
    """The part of a page under a heading, up to the next one of its level."""
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert found is not None, heading
    return found[1]


def rows(part: str) -> dict[str, list[str]]:
    """The rows of a part's tables, by every name in code style of their first cell."""
    found: dict[str, list[str]] = {}
    for line in part.splitlines():
        if line.startswith("| ") and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            for word in re.findall(r"`([^`]+)`", cells[0]):
                found[word] = cells[1:]
    return found


# ── links, code, words ───────────────────────────────────────────────────────────────────────────


def prose(text: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.exists(), target
        assert place.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(place.read_text(encoding="utf-8")), target


def proofs() -> Iterator[tuple[str, str]]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    yield from re.findall(r"\[`(test_\w+)`\]\(([^)]+\.py)\)", section(text, "Guarantees"))


def test_every_guarantee_names_a_test_that_exists() -> None:
    claims = section((ROOT / "README.md").read_text(), "Guarantees").splitlines()
    assert all("](tests/" in line for line in claims if line.startswith("- "))
    found = list(proofs())
    assert len(found) > 15
    missing = [
        test
        for test, file in found
        if not re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE)
    ]
    assert missing == []


def blocks(page: Path, language: str) -> list[str]:
    pattern = rf"^```{language}\b[^\n]*\n(.*?)^```"
    return re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_code_blocks_are_code(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, name(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for block in blocks(page, "toml"):
        tomllib.loads(block)


# Put together from pieces, so that this file does not hold what it looks for.
DENIED = (
    "/wo" + "rk/", "/ho" + "me/", "/ro" + "ot/", "/Us" + "ers/", "bash_" + "jobs",
    "pypi" + ".org", "python" + "hosted", "npm" + "js.org", "arti" + "factory", "dev" + "pi",
    "/sim" + "ple/",
)  # fmt: skip
TEXT = (".py", ".md", ".toml", ".json", ".jsonl", ".yml", ".csv", ".lock", ".mako", "")


def test_no_machine_path_and_no_index_host_is_written_anywhere() -> None:
    found = [
        f"{name(path)}: {word}"
        for path in files(*TEXT)
        for word in DENIED
        if word in path.read_text(encoding="utf-8", errors="replace")
    ]
    assert found == []


# ── reference pages ──────────────────────────────────────────────────────────────────────────────


def test_every_step_that_may_fail_is_described_and_no_other() -> None:
    """A job's name, what is given to ``failed``, and the names of those that say STEP."""
    told = set()
    for path in files(".py"):
        if path.is_relative_to(ROOT / "gateway"):
            text = path.read_text(encoding="utf-8")
            told |= set(re.findall(r'(?:forever|attempted|\.failed)\(\s*"([a-z._]+)"', text))
            told |= set(re.findall(r'^STEP: Final = "([a-z.]+)"', text, re.MULTILINE))
    _, _, steps = section(OPERATE, "Metrics").partition("Steps of `weighbridge_failures_total`")
    lines = re.findall(r"^- (`.*?): ", steps.partition("### ")[0], re.MULTILINE)
    assert {one for line in lines for one in re.findall(r"`([a-z._]+)`", line)} == told


def test_every_metric_is_described_and_no_other() -> None:
    described = rows(section(OPERATE, "Metrics"))
    assert described.keys() == METRICS.keys()
    assert {metric: cells[0] for metric, cells in described.items()} == {
        metric: kind for metric, (kind, _) in METRICS.items()
    }


def everything() -> None:
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if not module.name.endswith(("__main__", "demo.clients")):
            importlib.import_module(module.name)


def every_error() -> Iterator[type[GatewayError]]:
    everything()
    waiting = [GatewayError]
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting += kind.__subclasses__()


def test_every_error_code_is_described_with_its_status_and_no_other() -> None:
    described = rows(section(OPERATE, "Error codes"))
    assert {code: cells[0] for code, cells in described.items()} == {
        kind.code: str(kind.status) for kind in every_error()
    }


def test_every_ledger_column_is_described_and_no_other() -> None:
    described = rows(section(OPERATE, "Ledger columns"))
    assert list(described) == list(Entry.__struct_fields__)
    assert set(described) == set(LEDGER_COLUMNS)


def flagged(tree: ast.Module) -> Iterator[ast.expr]:
    """What is given as flags: keyword arguments and variables of that name, words appended to them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "flags":
            yield node.value
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any("flags" in ast.unparse(target).lower() for target in targets):
                yield node.value
                yield from (t.slice for t in targets if isinstance(t, ast.Subscript))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("flags.append"):
            yield from node.args
        elif isinstance(node, ast.FunctionDef) and "flags" in node.name:
            yield from (n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value)


def words(given: ast.AST) -> Iterator[str]:
    """The texts of an expression, but for what it hands to other functions."""
    if isinstance(given, ast.Constant) and isinstance(given.value, str):
        yield given.value
    elif not isinstance(given, ast.Call):
        for part in ast.iter_child_nodes(given):
            yield from words(part)


def flags_raised() -> set[str]:
    rooms = ("dialects", "exchange", "metering", "pricing", "providers")
    found = {
        part
        for room in rooms
        for path in (ROOT / "gateway" / room).rglob("*.py")
        for given in flagged(ast.parse(path.read_text(encoding="utf-8")))
        for part in words(given)
    }
    return {word for word in found if re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", word)} - {"true"}


def test_every_flag_is_described() -> None:
    raised = flags_raised()
    assert len(raised) > 15
    described = rows(section(OPERATE, "Flags"))
    assert raised - described.keys() == set()
    source = "".join(path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
    assert [flag for flag in described if f'"{flag}"' not in source] == []


def commands() -> Iterator[tuple[str, list[str]]]:
    line = typer.main.get_command(command_line(None))
    for word, command in line.commands.items():  # type: ignore[attr-defined]  # a group has commands
        inside = getattr(command, "commands", {})
        for under, leaf in inside.items():
            yield f"weighbridge {word} {under}", options(leaf)
        if not inside:
            yield f"weighbridge {word}", options(command)


def options(command: object) -> list[str]:
    shown = [p for p in command.params if not getattr(p, "hidden", False)]  # type: ignore[attr-defined]  # click's
    return [opt for p in shown for opt in p.opts if opt.startswith("--")]


def test_every_command_is_described_and_no_other() -> None:
    part = section(OPERATE, "Commands")
    there = dict(commands())
    described = {
        found[1]: line
        for line in part.splitlines()
        if (found := re.match(r"\| `(weighbridge [a-z -]+)` \|", line))
    }
    assert described.keys() == there.keys()
    everywhere = {"--config", "--json", "--help"}
    for command, opts in there.items():
        missing = [o for o in opts if o not in everywhere and o not in described[command]]
        assert missing == [], command


def test_the_readme_has_an_example_of_every_command_and_of_every_option_the_truth() -> None:
    text = section((ROOT / "README.md").read_text(encoding="utf-8"), "Commands")
    there = dict(commands())
    examples = re.findall(r"`(weighbridge [^`]+)`", text)
    assert {e.split()[1] for e in examples} == {c.split()[1] for c in there}
    for example in examples:
        words = example.split()
        command = " ".join(words[:3]) if " ".join(words[:3]) in there else " ".join(words[:2])
        assert [w for w in words if w.startswith("--") and w not in there[command]] == [], example


# ── configuration ────────────────────────────────────────────────────────────────────────────────


SECTIONS = (
    "server", "storage", "secrets", "org", "limits", "relay", "quotas", "failover", "prices",
)  # fmt: skip


def keys_of_the_configuration() -> Iterator[tuple[str, msgspec.structs.FieldInfo]]:
    tables_of: dict[str, type[msgspec.Struct]] = {
        **{name: type(getattr(load(None, installed(), {}), name)) for name in SECTIONS},
        "upstreams": tables.UpstreamTable,
        "deployments": tables.DeploymentTable,
        "routes": RouteRule,
        "contracts": tables.ContractTable,
    }
    for section_name, kind in tables_of.items():
        for field in msgspec.structs.fields(kind):
            yield f"{section_name}.{field.name}", field


def shown(field: msgspec.structs.FieldInfo) -> tuple[str, ...]:
    """How a default may be written."""
    if field.required:
        return ("required",)
    default = field.default
    if default in (None, ()):
        return ("none", "the provider's", "the first")
    if default == "":
        return ("empty",)
    return (f"`{str(default).lower() if isinstance(default, bool) else default}`",)


TABLES = (*SECTIONS, "upstreams", "deployments", "routes", "contracts")


def test_every_key_is_described_with_its_default_and_no_other() -> None:
    described = {
        key: cells
        for heading in TABLES
        for key, cells in rows(section(CONFIG_PAGE, heading)).items()
        if "." in key and key.split(".")[0] == heading
    }
    there = dict(keys_of_the_configuration())
    assert described.keys() == there.keys() | {"upstreams.credential", "contracts.terms"}
    for key, field in there.items():
        assert described[key][1] in shown(field), key


def test_every_key_of_a_contracts_terms_is_described_with_its_default_and_no_other() -> None:
    described = {
        key: cells
        for key, cells in rows(section(CONFIG_PAGE, "contracts")).items()
        if key.startswith("terms.")
    }
    fields = {f"terms.{field.name}": field for field in msgspec.structs.fields(tables.TermTable)}
    assert described.keys() == fields.keys()
    for key, field in fields.items():
        assert described[key][1] in shown(field), key


def test_every_key_of_an_alternative_is_described_with_its_default_and_no_other() -> None:
    described = {
        key: cells
        for key, cells in rows(section(CONFIG_PAGE, "deployments")).items()
        if key.startswith("also.")
    }
    there = {f"also.{f.name}": f for f in msgspec.structs.fields(tables.AlternativeTable)}
    assert described.keys() == there.keys()
    for key, field in there.items():
        assert described[key][1] in shown(field), key
    route = {f.name for f in msgspec.structs.fields(RouteAlternative)}
    (line,) = [line for line in CONFIG_PAGE.splitlines() if line.startswith("| `routes.also`")]
    assert route <= set(re.findall(r"`(\w+)`", line))


def credential_kinds() -> dict[str, type[msgspec.Struct]]:
    kinds = [kind for kind in vars(credentials).values() if isinstance(kind, type)]
    return {
        str(kind.__struct_config__.tag): kind
        for kind in kinds
        if issubclass(kind, msgspec.Struct) and kind.__struct_config__.tag
    }


def test_every_credential_is_described_and_no_other() -> None:
    part = section(CONFIG_PAGE, "Credentials")
    there = {
        f"{tag}.{field.name}": field
        for tag, kind in credential_kinds().items()
        for field in msgspec.structs.fields(kind)
    }
    described = rows(part)
    assert described.keys() == there.keys()
    for key, field in there.items():
        if field.required:
            assert described[key][0].startswith("required"), key
    assert [tag for tag in credential_kinds() if f"`{tag}" not in part] == []
    example = EXAMPLE.read_text(encoding="utf-8")
    assert [tag for tag in credential_kinds() if tag not in example] == []


def test_the_documented_example_loads() -> None:
    config = load(EXAMPLE, installed(), {})
    assert {upstream.provider for upstream in config.upstreams} == {p.name for p in installed()}
    assert config == load(EXAMPLE, installed(), {})


def test_the_examples_figures_are_the_defaults() -> None:
    config = load(EXAMPLE, installed(), {})
    defaults = load(None, installed(), {})
    for part in SECTIONS:
        assert getattr(config, part) == getattr(defaults, part), part


def test_what_the_example_leaves_out_is_right_as_well(tmp_path: Path) -> None:
    text = re.sub(r"^# (?=\w+ = |\[\[)", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    text = text.replace('upstream = "bedrock-eu-central-1"', 'upstream = "bedrock-us-east-1"')
    file = tmp_path / "whole.toml"
    file.write_text(text)
    environment = {
        "AZURE_OPENAI_API_KEY": "k",
        "GEMINI_API_KEY": "k",
        "VALKEY_PASSWORD": "p",
        "WEIGHBRIDGE_MASTER": "m" * 32,
    }
    config = load(file, installed(), environment)
    assert len(config.rules) == 1
    assert config.server.tls_key
    assert config.secrets.master == "m" * 32


def test_every_key_stands_in_the_example() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    there = [key.rsplit(".", 1)[1] for key, _ in keys_of_the_configuration()]
    there += [field.name for field in msgspec.structs.fields(tables.AlternativeTable)]
    there += [field.name for field in msgspec.structs.fields(tables.TermTable)]
    tabular = {"also"}
    there = [key for key in there if key not in tabular]
    assert [key for key in there if not re.search(rf"^#? ?{key} = ", text, re.MULTILINE)] == []


MISTAKES = """
[server]
port = "eighty"
colour = "blue"

[org]
timezone = "Mars/Olympus"

[upstreams.one]
provider = "azure"
base_url = "http://example.com"
credential = { type = "api_key", key = "a-literal-secret" }
"""


def test_five_mistakes_are_five_problems_each_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "five.toml"
    file.write_text(MISTAKES)
    with pytest.raises(ConfigurationError) as raised:
        load(file, installed(), {})
    problems = raised.value.problems
    places = (
        "server.port",
        "server.colour",
        "org.timezone",
        "upstreams.one.base_url",
        "upstreams.one.credential.key",
    )
    assert [sum(f"{file}: {place}:" in line for line in problems) for place in places] == [1] * 5
    assert len(problems) == 5, problems
    assert not any("a-literal-secret" in line for line in problems)


def test_a_scalar_is_overridden_by_the_environment_as_documented() -> None:
    assert "WEIGHBRIDGE_SERVER_PORT=9000" in CONFIG_PAGE
    assert load(None, installed(), {"WEIGHBRIDGE_SERVER_PORT": "9000"}).server.port == 9000


# ── changelog, rooms, image ──────────────────────────────────────────────────────────────────────


def test_version_and_changelog_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", text, re.MULTILINE)
    assert versions[0] == project["version"]
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        assert "\n### Money\n" in part, part.splitlines()[0]


def rooms() -> list[str]:
    return sorted(path.parent.name for path in (ROOT / "gateway").glob("*/__init__.py"))


@pytest.mark.parametrize("room", rooms())
def test_every_room_has_its_page(room: str) -> None:
    text = (ROOT / "gateway" / room / "README.md").read_text(encoding="utf-8")
    house = (ROOT / "gateway" / "README.md").read_text(encoding="utf-8")
    assert f"]({room}/README.md)" in house
    assert len(text.splitlines()) > 10


def locked(*roots: str) -> list[str]:
    run = subprocess.run(  # our own script
        [sys.executable, ROOT / ".ci" / "locked", *roots],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return re.findall(r"^([A-Za-z0-9._-]+)==", run.stdout, re.MULTILINE)


def test_the_image_installs_what_the_product_needs_and_no_sdk() -> None:
    names = set(locked("weighbridge"))
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.split(r"[\[><=~! ;]", spec)[0].lower() for spec in wanted} <= names
    assert not names & {"pytest", "openai", "boto3", "anthropic", "google-genai", "mypy", "ruff"}
    assert {"valkey", "zttp"} <= set(locked("weighbridge", "valkey", "zttp"))
    assert 'ARG EXTRAS="valkey"' in (ROOT / "Dockerfile").read_text()
    assert "hatchling" in locked("hatchling")


def test_the_image_and_its_service_are_locked_down() -> None:
    image = (ROOT / "Dockerfile").read_text()
    service = (ROOT / "docker-compose.yml").read_text()
    assert re.search(r"^USER 10001:10001$", image, re.MULTILINE)
    assert "/-/live" in image
    assert image.count("--require-hashes") == 2
    for word in ("read_only: true", "cap_drop: [ALL]", "no-new-privileges:true", "postgres:18"):
        assert word in service, word
