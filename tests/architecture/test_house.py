"""The house's own laws, as tests: sizes, names, who may know what, what money rooms may not say."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from gateway.kernel import errors
from gateway.pricing.dimensions import READERS, Dimension
from gateway.providers import installed

ROOT = Path(__file__).parents[2]
GATEWAY = ROOT / "gateway"
LINES_MAX, SLACK_LINES = 400, 10
FUNCTION_LINES_MAX = 40

# An exception names its size and its reason, can only shrink, and fails when it is no longer needed.
WIDER: dict[str, tuple[int, str]] = {}
LONGER: dict[str, tuple[int, str]] = {
    "commands/demo/clients.py:_openai": (50, "a list of calls, one SDK"),
    "commands/demo/clients.py:_aws": (50, "a list of calls, one SDK"),
    "commands/budgets/command.py:set_budget": (75, "a list of options, one line each"),
    "commands/prices/refresh.py:refresh_prices": (55, "a list of options, one line each"),
    "commands/usage.py:record": (60, "a list of fields, one line each"),
}
VAGUE = {
    "utils",
    "util",
    "manager",
    "helper",
    "helpers",
    "data",
    "info",
    "core",
    "base",
    "common",
    "misc",
    "lib",
}
MONEY = ("kernel/money.py", "pricing/", "ledger/")


@cache
def modules() -> dict[str, str]:
    return {
        path.relative_to(GATEWAY).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(GATEWAY.rglob("*.py"))
    }


@cache
def trees() -> dict[str, ast.Module]:
    return {name: ast.parse(text) for name, text in modules().items()}


def functions() -> Iterator[tuple[str, int]]:
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield f"{name}:{node.name}", node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("name", modules())
def test_a_module_fits_in_one_reading(name: str) -> None:
    allowed, _reason = WIDER.get(name, (LINES_MAX, ""))
    assert modules()[name].count("\n") <= allowed


def test_every_wider_module_is_still_needed_and_tight() -> None:
    for name, (allowed, reason) in WIDER.items():
        lines = modules()[name].count("\n")
        assert reason
        assert lines > LINES_MAX, f"{name}: no longer needed, remove it"
        assert allowed - lines <= SLACK_LINES, f"{name}: it shrank, lower the figure"


def test_a_function_fits_on_one_screen() -> None:
    long = {
        name: lines
        for name, lines in functions()
        if lines > LONGER.get(name, (FUNCTION_LINES_MAX, ""))[0]
    }
    assert not long


def test_every_longer_function_is_still_needed() -> None:
    sizes = dict(functions())
    assert all(sizes[name] > FUNCTION_LINES_MAX and reason for name, (_, reason) in LONGER.items())


@pytest.mark.parametrize("name", modules())
def test_a_module_opens_with_its_purpose(name: str) -> None:
    assert ast.get_docstring(trees()[name])


def test_nothing_is_left_for_later() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [name for name, text in modules().items() if words.search(text)] == []


def test_no_module_has_a_vague_name() -> None:
    assert [
        name for name in modules() if Path(name).stem in VAGUE or Path(name).parent.name in VAGUE
    ] == []


def literals(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("provider", installed(), ids=lambda p: p.name)
def test_a_provider_is_named_in_its_own_file_only(provider: object) -> None:
    word = provider.name  # type: ignore[attr-defined]  # the parameter is a Provider
    own = type(provider).__module__.rsplit(".", 1)[-1]
    named = [
        name for name, tree in trees().items() if word in literals(tree) and Path(name).stem != own
    ]
    assert named == []


def test_no_token_class_is_a_parameter_or_a_field() -> None:
    from gateway.metering.units import UNITS  # noqa: PLC0415  # keeps the registry's names local

    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.arg):
                assert node.arg not in UNITS, name
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                assert node.target.id not in UNITS, name


@pytest.mark.parametrize("name", [n for n in modules() if n.startswith(MONEY)])
def test_money_rooms_know_no_float(name: str) -> None:
    for node in ast.walk(trees()[name]):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), ast.dump(
            node
        )
        assert not (isinstance(node, ast.Name) and node.id in ("float", "round")), ast.dump(node)
        assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)), ast.dump(node)


# The driver of Valkey, unlike httpx, gives its connection back when cancelled (tests/storage/test_valkey_server.py).
SAFE_TO_TIME_OUT = ("upstream/", "commands/", "storage/valkey_server.py")


def test_native_timeouts_stay_where_a_cancelled_call_loses_no_connection() -> None:
    found = [name for name, text in modules().items() if "asyncio.timeout" in text]
    assert [name for name in found if not name.startswith(SAFE_TO_TIME_OUT)] == []
    assert [name for name, text in modules().items() if "httpx.AsyncClient(" in text] == []


def test_nothing_waits_in_a_way_that_swallows_a_cancellation() -> None:
    """``asyncio.wait_for`` does on Python 3.11: see gateway/exchange/ending.py."""
    found = [name for name, text in modules().items() if "asyncio.wait_for(" in text]
    assert found == []


# The connection's edge, the start of the app, the job loop, the doctor's checks, the demo's foreign SDKs: each
# re-raises or records a named outcome.
SUPERVISED = {
    "edge/proxy.py", "edge/server.py", "jobs/supervise.py", "commands/doctor.py", "commands/demo/clients.py",
}  # fmt: skip


def test_broad_excepts_are_in_the_supervised_places_only() -> None:
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or (
                    isinstance(node.type, ast.Name) and node.type.id == "Exception"
                )
                assert not broad or name in SUPERVISED, f"{name}:{node.lineno}"


def test_there_are_no_globals_and_no_imports_in_functions() -> None:
    for name, tree in trees().items():
        for node in ast.walk(tree):
            assert not isinstance(node, ast.Global), f"{name}:{node.lineno}"
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                inside = [n for n in ast.walk(node) if isinstance(n, ast.Import | ast.ImportFrom)]
                assert not inside or name == "commands/demo/clients.py", f"{name}:{node.lineno}"


def test_every_dimension_has_a_reader() -> None:
    assert set(READERS) == set(Dimension)


def every_error() -> Iterator[type[errors.GatewayError]]:
    waiting = [errors.GatewayError]
    while waiting:
        kind = waiting.pop()
        if kind.__module__ == errors.__name__:
            yield kind
        waiting += kind.__subclasses__()


def test_every_error_has_its_own_code() -> None:
    codes = [kind.code for kind in every_error()]
    assert len(codes) == len(set(codes))


def test_every_error_stands_in_the_drawn_tree() -> None:
    assert errors.__doc__ is not None
    assert [kind.__name__ for kind in every_error() if kind.__name__ not in errors.__doc__] == []


LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_the_lock_is_pinned_and_hashed_and_names_no_index() -> None:
    for word in ("://", "--index-url", "--extra-index-url", "--find-links"):
        assert word not in LOCK
    entries = re.split(r"\n(?=[A-Za-z0-9])", LOCK.split("\n", 2)[2])
    for entry in entries:
        if entry.strip() and not entry.startswith("#"):
            assert "==" in entry.split("\n")[0], entry.split("\n")[0]
            assert "--hash=sha256:" in entry, entry.split("\n")[0]


def test_every_dependency_is_in_the_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    locked = {name.lower() for name in re.findall(r"^([A-Za-z0-9._-]+)==", LOCK, re.MULTILINE)}
    names = {re.split(r"[\[><=~! ;]", spec)[0].lower() for spec in wanted}
    assert names <= locked


def test_no_other_lock_and_no_index_host_is_written_anywhere() -> None:
    assert not any((ROOT / name).exists() for name in ("poetry.lock", "Pipfile.lock", "pdm.lock"))


# Names come from clients: nothing may read them as markup, and one module alone makes what is drawn.
OUTPUT = "commands/output.py"
MARKUP = {"from_markup", "escape", "render_markup", "from_ansi", "assemble"}
DRAWN = {"Console", "Table", "Text"}
READS_MARKUP = {"Panel": "title", "Spinner": "text", "Tree": "label", "Prompt": "prompt"}


def calls(name: str) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(trees()[name]):
        if isinstance(node, ast.Call):
            called = node.func
            yield node, called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")  # fmt: skip


@pytest.mark.parametrize("name", [name for name in modules() if name.startswith("commands/")])
def test_no_command_lets_a_name_be_read_as_markup(name: str) -> None:
    if name == OUTPUT:
        return
    for node in ast.walk(trees()[name]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rich"):
            taken = {each.name for each in node.names}
            assert not taken & {"Console", "Table", "escape", "print", "markup"}, name
    for call, called in calls(name):
        of_rich = called in DRAWN and isinstance(call.func, ast.Name) and called != "Table"
        assert not of_rich, f"{name}:{call.lineno}: {called} is made in {OUTPUT}"
        assert called not in MARKUP, f"{name}:{call.lineno}"
        keywords = {each.arg: each.value for each in call.keywords}
        if called == "TextColumn":
            assert isinstance(keywords.get("markup"), ast.Constant), f"{name}:{call.lineno}"
        if called in READS_MARKUP:
            read = keywords.get(READS_MARKUP[called])
            assert not isinstance(read, ast.JoinedStr | ast.Name), f"{name}:{call.lineno}"


@pytest.mark.parametrize("name", [name for name in modules() if name.startswith("commands/")])
def test_a_styled_sentence_is_a_constant_and_its_values_come_beside_it(name: str) -> None:
    for call, called in calls(name):
        if called == "styled" and name != OUTPUT:
            assert call.args, f"{name}:{call.lineno}"
            template = call.args[0]
            texts = (template.body, template.orelse) if isinstance(template, ast.IfExp) else (template,)  # fmt: skip
            assert all(isinstance(each, ast.Constant) for each in texts), f"{name}:{call.lineno}"
        if called in {"print", "add_row", "table"}:
            for part in ast.walk(call):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    assert "[/]" not in part.value or is_styled(call, part), f"{name}:{call.lineno}: markup is for styled()"  # fmt: skip


def is_styled(call: ast.Call, constant: ast.Constant) -> bool:
    return any(
        isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "styled"
        and any(part is constant for part in ast.walk(node))
        for node in ast.walk(call)
    )
