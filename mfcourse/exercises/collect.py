"""From the cells of a notebook: one function and all that it stands on.

A grader runs no notebook. It takes the last definition of the function, and every
function, class, import and plain value (``N = 10``) at the top of a cell that it needs,
and what those need in turn. A name that the notebook *computed*, or changed later, is
not among them: code that leans on one works here and nowhere else, so it is named. What
annotations name is never missed: where a function is marked, they are not evaluated.
"""

from __future__ import annotations

import ast
import builtins
import symtable
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_THERE = {*sys.stdlib_module_names, "numpy", "scipy"}  # where a function is marked
_PLAIN = (
    ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Tuple,
    ast.List, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.unaryop, ast.operator,
    ast.expr_context,
)  # fmt: skip
_AROUND = ("%%time", "%%capture", "%%prun")  # cell magics that run the cell as it is


@dataclass(frozen=True)
class Collected:
    """A function with all it needs.

    Parameters
    ----------
    source : str
        A module that defines it.
    missing : tuple of str
        Names that it uses and that only the running notebook knows.
    places : tuple of (int, int)
        Cell and line within it, both from 0, of each line of ``source``.
    """

    source: str
    missing: tuple[str, ...]
    places: tuple[tuple[int, int], ...]

    @property
    def absent(self) -> tuple[str, ...]:
        """Packages that it imports and that are not there where it is marked."""
        names: set[str] = set()
        for node in ast.walk(ast.parse(self.source)):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").partition(".")[0])
        return tuple(sorted(names - _THERE))


@dataclass(frozen=True)
class _Statement:
    cell: int
    node: ast.stmt
    lines: tuple[str, ...]
    kept: bool  # can be taken over without running the notebook
    binds: frozenset[str]
    changes: frozenset[str]  # names of what it changes in place


def collect(cells: Iterable[str], name: str) -> Collected:
    """Take a function out of a notebook.

    Parameters
    ----------
    cells : iterable of str
        Sources of code cells, in their order. Magics are understood as IPython does.
    name : str
        Of the function.

    Returns
    -------
    Collected

    Raises
    ------
    LookupError
        No cell defines it.
    SyntaxError
        No cell defines it, and a cell that mentions it is no valid Python.
    """
    bound: dict[str, list[_Statement]] = {}  # name -> where, in order
    always: list[_Statement] = []  # from x import *, from __future__ import x
    broken: SyntaxError | None = None
    changed: set[str] = set()
    defined: list[_Statement] = []
    registered: dict[str, list[_Statement]] = {}  # @f.register
    for number, cell in enumerate(cells):
        statements = _statements(number, cell)
        if isinstance(statements, SyntaxError):
            broken = statements if name in cell else broken
            continue
        for statement in statements:
            if "*" in statement.binds or _is_future(statement.node):
                always.append(statement)
            if name in statement.binds and _is_redefinition(statement):
                defined.append(statement)
            for other in _registers(statement.node):
                registered.setdefault(other, []).append(statement)
            for other in statement.binds:
                bound.setdefault(other, []).append(statement)
            changed = (changed - statement.binds) | statement.changes
            for other in _deletes(statement.node):
                bound.pop(other, None)
    if defined:  # whatever else bears its name: `rmse = rmse(P, R)` is a try-out
        bound[name] = defined
    if name not in bound or not bound[name][-1].kept:
        if broken is not None:
            raise broken
        raise LookupError(f"no cell defines {name}. Expected: def {name}(...)")
    anything = any("*" in s.binds for s in always)
    found, missing = {id(s): s for s in always}, set()
    waiting: list[tuple[str, _Statement | None]] = [(name, None)]
    while waiting:
        used, by = waiting.pop()
        if used not in bound:
            missing |= set() if anything or hasattr(builtins, used) else {used}
            continue
        before = [s for s in bound[used] if by is None or _order(s) < _order(by)]
        statement = (before or bound[used])[-1]
        same = [s for s in bound[used] if _is_dotted(s.node)]  # import a.b, import a.c
        same += registered.get(used, ())
        for needed in {id(s): s for s in [*same, statement]}.values():
            if not needed.kept:
                missing.add(used)
            elif id(needed) not in found:
                found[id(needed)] = needed
                is_import = isinstance(needed.node, ast.Import | ast.ImportFrom)
                missing |= set() if is_import else {used} & changed
                at_once, later, hints = _uses(needed.node, bound)
                waiting += [(n, needed) for n in at_once] + [(n, None) for n in later]
                waiting += [(n, None) for n in hints if _is_there(bound.get(n))]
    parts = sorted(found.values(), key=_order)
    return Collected(
        "\n".join(line for part in parts for line in part.lines) + "\n",
        tuple(sorted(missing)),
        tuple(place for part in parts for place in _places(part)),
    )


def texts(cells: Iterable[str]) -> dict[str, str]:
    """The last text that each name is given at the top of a cell.

    Parameters
    ----------
    cells : iterable of str
        As in `collect`.

    Returns
    -------
    dict
    """
    found: dict[str, str] = {}
    for number, cell in enumerate(cells):
        statements = _statements(number, cell)
        for statement in () if isinstance(statements, SyntaxError) else statements:
            value = getattr(statement.node, "value", None)
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found |= dict.fromkeys(statement.binds, value.value)
    return found


def _is_redefinition(statement: _Statement) -> bool:
    """A def, or ``f = g``; what a try-out binds, such as ``f = f(3)``, is none."""
    value = getattr(statement.node, "value", None)
    is_alias = isinstance(value, ast.Name | ast.Attribute | ast.Lambda)
    return isinstance(statement.node, _DEFINITIONS) or (statement.kept and is_alias)


def _registers(node: ast.stmt) -> Iterator[str]:
    """The f of ``@f.register`` and ``@f.register(int)``."""
    for part in node.decorator_list if isinstance(node, _DEFINITIONS) else ():
        called = part.func if isinstance(part, ast.Call) else part
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            yield from {called.value.id} if called.attr == "register" else ()


def _is_there(statements: list[_Statement] | None) -> bool:
    """Whether a name comes from a package that is there wherever this runs."""
    node = statements[-1].node if statements else None
    if isinstance(node, ast.Import):
        return node.names[0].name.partition(".")[0] in _THERE
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").partition(".")[0] in _THERE
    return False


def _order(statement: _Statement) -> tuple[bool, int, int]:
    return not _is_future(statement.node), statement.cell, _start(statement.node)


def _is_dotted(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import) and any(
        "." in alias.name and not alias.asname for alias in node.names
    )


def _deletes(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Delete):
        yield from (part.id for part in node.targets if isinstance(part, ast.Name))


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


@lru_cache(1_000)
def _statements(number: int, cell: str) -> tuple[_Statement, ...] | SyntaxError:
    try:
        return tuple(_parsed(number, cell))
    except SyntaxError as error:
        return error
    except Exception as error:  # a null byte, or too much for a parser
        return SyntaxError(f"no Python: {type(error).__name__}")


def _parsed(number: int, cell: str) -> Iterator[_Statement]:
    from IPython.core.inputtransformer2 import TransformerManager

    lines = cell.split("\n")
    blank = len(list(takewhile(lambda line: not line.strip(), lines)))  # IPython drops
    if blank < len(lines) and lines[blank].split()[0] in _AROUND:
        lines[blank] = "pass"
    transformed = TransformerManager().transform_cell("\n".join(lines[blank:]))
    text = "\n" * blank + transformed
    body = ast.parse(text).body
    lines, end = text.split("\n"), 0
    for node, following in zip(body, [*body[1:], None], strict=False):
        start, last = _start(node), node.end_lineno or 0
        alone = end < start and not (following and _start(following) <= last)
        own = lines[start - 1 : last] if alone else ast.unparse(node).split("\n")
        end = last
        if isinstance(node, ast.Import) and len(node.names) > 1:  # each on its own
            for alias in node.names:
                one = ast.copy_location(ast.Import([alias]), node)
                names, line = frozenset(_binds(one)), ast.unparse(one)
                yield _Statement(number, one, (line,), True, names, frozenset())
            continue
        binds, changes = frozenset(_binds(node)), frozenset(_changes(node))
        yield _Statement(number, node, tuple(own), _is_kept(node), binds, changes)


def _start(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, _DEFINITIONS) else []
    return min([node.lineno, *(part.lineno for part in decorators)])


def _places(part: _Statement) -> list[tuple[int, int]]:
    first, last = _start(part.node) - 1, (part.node.end_lineno or 1) - 1
    return [(part.cell, min(first + n, last)) for n in range(len(part.lines))]


def _is_kept(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        parts = ast.walk(node.value)
        is_plain = all(isinstance(part, _PLAIN) for part in parts)
        return is_plain or isinstance(node.value, ast.Lambda)
    return isinstance(node, (*_DEFINITIONS, ast.Import, ast.ImportFrom))


def _binds(statement: ast.AST) -> Iterator[str]:
    """Names that a statement at the top of a cell gives a value."""
    waiting = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, _DEFINITIONS):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name.split(".")[0]
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                yield node.id
        elif isinstance(node, _COMPREHENSIONS):  # of its names, only a := b leaves it
            walrus = (n for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
            yield from (n.target.id for n in walrus)
        elif not isinstance(node, ast.Lambda):
            if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
                yield node.name
            waiting += ast.iter_child_nodes(node)


def _changes(node: ast.stmt) -> Iterator[str]:
    """Names of what a statement changes: ``x[0] = 1``, ``x.a = 1``, ``x.append(1)``."""
    if isinstance(node, (*_DEFINITIONS, ast.Import, ast.ImportFrom)):
        return
    targets: list[ast.expr] = []
    for part in ast.walk(node):
        context = getattr(part, "ctx", None)
        if isinstance(part, ast.Attribute | ast.Subscript):
            targets += [part] if isinstance(context, ast.Store | ast.Del) else []
        elif isinstance(part, ast.Expr):
            value = getattr(part.value, "elt", part.value)  # [x.append(i) for i in y]
            targets += [value.func] if isinstance(value, ast.Call) else []
    for target in targets:
        root = target
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        if root is not target and isinstance(root, ast.Name):
            yield root.id


def _uses(
    node: ast.stmt, bound: Collection[str]
) -> tuple[set[str], set[str], set[str]]:
    """Names that a statement takes from the top: at once, later, for annotations."""
    tree = ast.parse(ast.unparse(node))
    hints: list[ast.expr | None] = []
    for part in list(ast.walk(tree)):
        if isinstance(part, ast.arg):
            hints.append(part.annotation)
            part.annotation = None
        elif isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            hints.append(part.returns)
            part.returns = None
        elif isinstance(part, ast.AnnAssign):
            hints.append(part.annotation)
            part.annotation = ast.Constant(None)
    named = {n.id for h in hints if h for n in ast.walk(h) if isinstance(n, ast.Name)}
    top = symtable.symtable(ast.unparse(tree), "<cell>", "exec")
    at_once = {s.get_name() for s in top.get_symbols() if s.is_referenced()}
    later: set[str] = set()
    tables = [(table, False) for table in top.get_children()]
    while tables:
        table, deferred = tables.pop()
        deferred = deferred or table.get_type() == "function"
        tables += [(child, deferred) for child in table.get_children()]
        names = {s.get_name() for s in table.get_symbols() if _is_taken(s, bound)}
        (later if deferred else at_once).update(names)
    return at_once - {"__class__"}, later - {"__class__"}, named


def _is_taken(symbol: symtable.Symbol, bound: Collection[str]) -> bool:
    if symbol.is_declared_global() and symbol.get_name() in bound:
        return True  # count += 1 is no reference to Python, and needs it all the same
    return symbol.is_global() and symbol.is_referenced()
