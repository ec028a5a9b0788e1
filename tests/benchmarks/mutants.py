"""Mutants of one source file: every small change to its syntax tree that a good test should notice.

A mutant is found again by its place in words (function, old expression, new expression), not by its line, so a list
of equivalent ones survives edits elsewhere. To add an operator: one function from a node to its edits in ``OPERATORS``.
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

# Messages, types and hints of the machine change no number: not mutated.
SKIPPED_FIELDS: Final = {
    (ast.AnnAssign, "annotation"),
    (ast.arg, "annotation"),
    (ast.FunctionDef, "returns"),
    (ast.FunctionDef, "decorator_list"),  # cache sizes
    (ast.ClassDef, "keywords"),  # frozen, gc
    (ast.Raise, "exc"),  # the words of a refusal
}
SKIPPED_KEYWORDS: Final = {"strict"}  # zip(strict=…) asserts a promise of ours


@dataclass(frozen=True)
class Mutant:
    """One change. ``nth`` tells apart the same change made twice in one function, from 1."""

    file: str
    line: int
    where: str
    old: str
    new: str
    nth: int
    number: int

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What names it in the list of equivalent ones."""
        return self.file, self.where, self.old, self.new, self.nth

    def __str__(self) -> str:
        again = f"  (nth = {self.nth})" if self.nth > 1 else ""
        return f"{self.file}:{self.line} {self.where}: {self.old} → {self.new}{again}"


class Edit(NamedTuple):
    """``owner.field = value``; ``shown`` is the node a person reads, ``text`` what replaces it if not itself."""

    shown: ast.AST
    owner: ast.AST
    field: str
    value: object
    text: str | None = None


Edits: TypeAlias = Iterator[Edit]

_COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_OPPOSITES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
_SWAPPABLE: Final = (ast.Name, ast.Attribute, ast.Subscript)
_UNORDERED: Final = {"isinstance", "max", "min", "zip"}  # swapped arguments: nonsense, or the same


def _compare(node: ast.Compare) -> Edits:
    for i, operation in enumerate(node.ops):
        for other in _COMPARISONS[type(operation)]:
            yield Edit(node, node, "ops", [*node.ops[:i], other(), *node.ops[i + 1 :]])


def _arithmetic(node: ast.BinOp | ast.AugAssign) -> Edits:
    if type(node.op) in _ARITHMETIC:
        yield Edit(node, node, "op", _ARITHMETIC[type(node.op)]())


def _logic(node: ast.BoolOp) -> Edits:
    is_and = isinstance(node.op, ast.And)
    yield Edit(node, node, "op", ast.Or() if is_and else ast.And())
    for i in range(len(node.values)):
        neutral = ast.Constant(True if is_and else None)
        yield Edit(node, node, "values", [*node.values[:i], neutral, *node.values[i + 1 :]])


def _unary(node: ast.UnaryOp) -> Edits:
    if isinstance(node.op, ast.Not):
        yield Edit(node, node, "operand", ast.UnaryOp(ast.Not(), node.operand))
    if isinstance(node.op, ast.USub):
        yield Edit(node, node, "op", ast.UAdd())


def _constant(node: ast.Constant) -> Edits:
    if isinstance(node.value, bool):
        yield Edit(node, node, "value", not node.value)
    elif isinstance(node.value, int):
        yield Edit(node, node, "value", node.value + 1)
        yield Edit(node, node, "value", node.value - 1)


def _branch(node: ast.If | ast.IfExp) -> Edits:
    yield Edit(node, node, "test", ast.Constant(value=False))
    if not isinstance(node.test, ast.Compare | ast.BoolOp):  # those have mutants of their own
        yield Edit(node, node, "test", ast.Constant(value=True))


def _loop(node: ast.While) -> Edits:
    yield Edit(node, node, "test", ast.Constant(value=False))


def _filter(node: ast.comprehension) -> Edits:
    for i in range(len(node.ifs)):
        yield Edit(node, node, "ifs", [*node.ifs[:i], *node.ifs[i + 1 :]])


def _answer(node: ast.Return) -> Edits:
    if node.value is not None and not (
        isinstance(node.value, ast.Constant) and node.value.value is None
    ):
        yield Edit(node, node, "value", ast.Constant(None))


def _call(node: ast.Call) -> Edits:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in _OPPOSITES:
        yield Edit(node, node, "func", ast.Name(_OPPOSITES[name], ast.Load()))
    if name in _UNORDERED:
        return
    for i, (one, other) in enumerate(pairwise(node.args)):
        if _alike(one, other):
            yield Edit(node, node, "args", [*node.args[:i], other, one, *node.args[i + 2 :]])
    for i, (first, second) in enumerate(pairwise(node.keywords)):
        if first.arg and second.arg and _alike(first.value, second.value):
            swapped = ast.keyword(first.arg, second.value), ast.keyword(second.arg, first.value)
            keywords = [*node.keywords[:i], *swapped, *node.keywords[i + 2 :]]
            yield Edit(node, node, "keywords", keywords)


def _alike(one: ast.expr, other: ast.expr) -> bool:
    """Whether two arguments look as if they were of one type."""
    plain = isinstance(one, _SWAPPABLE) and isinstance(other, _SWAPPABLE)
    return (plain or type(one) is type(other)) and not isinstance(one, ast.Starred)


def _body(node: ast.AST) -> Edits:
    """Statements dropped, and loops left instead of continued."""
    for field in ("body", "orelse"):
        found = getattr(node, field, None)
        statements = found if isinstance(found, list) else []  # a lambda's body is an expression
        for i, statement in enumerate(statements):
            after = _without(statement)
            if after is not None:
                value = [*statements[:i], after, *statements[i + 1 :]]
                yield Edit(statement, node, field, value, ast.unparse(after))


def _without(statement: ast.stmt) -> ast.stmt | None:
    if isinstance(statement, ast.Continue):
        return ast.Break()
    effects = ast.Call | ast.Yield | ast.YieldFrom
    if isinstance(statement, ast.Expr) and isinstance(statement.value, effects):
        return ast.Pass()
    return ast.Pass() if isinstance(statement, ast.AugAssign) else None


OPERATORS: Final[dict[type[ast.AST], Callable[..., Edits]]] = {
    ast.Compare: _compare,
    ast.BinOp: _arithmetic,
    ast.AugAssign: _arithmetic,
    ast.BoolOp: _logic,
    ast.UnaryOp: _unary,
    ast.Constant: _constant,
    ast.If: _branch,
    ast.IfExp: _branch,
    ast.While: _loop,
    ast.comprehension: _filter,
    ast.Return: _answer,
    ast.Call: _call,
}


def mutants_of(file: str, source: str) -> list[Mutant]:
    """Every mutant of a source, in the order of its text."""
    seen: Counter[tuple[str, str, str]] = Counter()
    found = []
    for number, (where, edit) in enumerate(_edits(ast.parse(source))):
        old, new = _shown(edit.shown), edit.text or _changed(edit)
        if old == new:  # the same argument twice, swapped
            continue
        seen[where, old, new] += 1
        line = getattr(edit.shown, "lineno", 0) or _line_below(edit.shown)
        found.append(Mutant(file, line, where, old, new, seen[where, old, new], number))
    return sorted(found, key=lambda mutant: mutant.line)


def mutated(source: str, number: int) -> ast.Module:
    """The tree of a source with one edit made."""
    tree = ast.parse(source)
    _where, edit = next(found for i, found in enumerate(_edits(tree)) if i == number)
    setattr(edit.owner, edit.field, edit.value)
    return ast.fix_missing_locations(tree)


def _edits(tree: ast.Module) -> Iterator[tuple[str, Edit]]:
    # Listed before any is made: an edit must not change what is walked.
    yield from [*_walk(tree, tree, "")]


def _walk(node: ast.AST, parent: ast.AST, where: str) -> Iterator[tuple[str, Edit]]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        where = f"{where}.{node.name}" if where else node.name
    operator = OPERATORS.get(type(node))
    for edit in () if operator is None else operator(node):
        # A lone figure says little: it is shown in what it stands in.
        told = ast.expr | ast.Assign | ast.AnnAssign | ast.keyword
        lone = isinstance(node, ast.Constant) and isinstance(parent, told)
        yield where or "module", edit._replace(shown=parent) if lone else edit
    for edit in _body(node):
        yield where or "module", edit
    for child in _children(node):
        yield from _walk(child, node, where)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for field, value in ast.iter_fields(node):
        if _is_mutated(node, field):
            children = value if isinstance(value, list) else [value]
            yield from (child for child in children if isinstance(child, ast.AST))


def _is_mutated(node: ast.AST, field: str) -> bool:
    if isinstance(node, ast.keyword) and node.arg in SKIPPED_KEYWORDS:
        return False
    if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
        return False
    return (type(node), field) not in SKIPPED_FIELDS


def _changed(edit: Edit) -> str:
    before = getattr(edit.owner, edit.field)
    setattr(edit.owner, edit.field, edit.value)
    text = _shown(edit.shown)
    setattr(edit.owner, edit.field, before)
    return text


def _shown(node: ast.AST) -> str:
    """The node in one line; of a compound statement its head."""
    return ast.unparse(node).strip().splitlines()[0]


def _line_below(node: ast.AST) -> int:
    return min(child.lineno for child in ast.walk(node) if isinstance(child, ast.expr))
