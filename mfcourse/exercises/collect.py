"""From the cells of a notebook: one function and all that it stands on.

A grader runs no notebook. It takes the last definition of the function, and every
function, class, import and plain value (``N = 10``) at the top of a cell that it needs,
and what those need in turn. A name that the notebook *computed* is not among them: code
that leans on one works here and nowhere else, so it is named.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
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


@dataclass(frozen=True)
class _Statement:
    cell: int
    node: ast.stmt
    lines: tuple[str, ...]
    kept: bool  # can be taken over without running the notebook


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
    for number, cell in enumerate(cells):
        try:
            statements = list(_statements(number, cell))
        except SyntaxError as error:
            broken = error if name in cell else broken
            continue
        for statement in statements:
            names = set(_binds(statement.node))
            if "*" in names or _is_future(statement.node):
                always.append(statement)
            for other in names:
                bound.setdefault(other, []).append(statement)
            for other in _deletes(statement.node):
                bound.pop(other, None)
    if name not in bound or not bound[name][-1].kept:
        if broken is not None:
            raise broken
        raise LookupError(f"no cell defines {name}. Expected: def {name}(...)")
    anything = any("*" in _binds(s.node) for s in always)
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
        for needed in {id(s): s for s in [*same, statement]}.values():
            if not needed.kept:
                missing.add(used)
            elif id(needed) not in found:
                found[id(needed)] = needed
                at_once, later = _uses(needed.node)
                waiting += [(n, needed) for n in at_once] + [(n, None) for n in later]
    parts = sorted(found.values(), key=_order)
    return Collected(
        "\n".join(line for part in parts for line in part.lines) + "\n",
        tuple(sorted(missing)),
        tuple(place for part in parts for place in _places(part)),
    )


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


def _statements(number: int, cell: str) -> Iterator[_Statement]:
    from IPython.core.inputtransformer2 import TransformerManager

    blank = len(cell) - len(cell.lstrip("\n"))  # lines that IPython drops
    first, _, rest = cell[blank:].partition("\n")
    if first.split()[:1] and first.split()[0] in _AROUND:
        cell = "pass\n" + rest
    try:
        text = "\n" * blank + TransformerManager().transform_cell(cell)
        body = ast.parse(text).body
        lines, end = text.split("\n"), 0
    except (ValueError, RecursionError, MemoryError) as error:  # such as a null byte
        raise SyntaxError(f"no Python: {type(error).__name__}") from error
    for node, following in zip(body, [*body[1:], None], strict=False):
        start, last = _start(node), node.end_lineno or 0
        alone = end < start and not (following and _start(following) <= last)
        own = lines[start - 1 : last] if alone else ast.unparse(node).split("\n")
        end = last
        yield _Statement(number, node, tuple(own), _is_kept(node))


def _start(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, _DEFINITIONS) else []
    return min([node.lineno, *(part.lineno for part in decorators)])


def _places(part: _Statement) -> list[tuple[int, int]]:
    first, last = _start(part.node) - 1, (part.node.end_lineno or 1) - 1
    return [(part.cell, min(first + n, last)) for n in range(len(part.lines))]


def _is_kept(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        try:
            ast.literal_eval(node.value)
        except (ValueError, TypeError, MemoryError, RecursionError):
            return isinstance(node.value, ast.Lambda)
        return True
    return isinstance(node, (*_DEFINITIONS, ast.Import, ast.ImportFrom))


def _binds(node: ast.AST) -> Iterator[str]:
    """Names that a statement at the top of a cell gives a value."""
    if isinstance(node, _DEFINITIONS):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.split(".")[0]
    elif isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Store):
            yield node.id
    elif isinstance(node, _COMPREHENSIONS):  # of its names, only a := b leaves it
        for child in ast.walk(node):
            if isinstance(child, ast.NamedExpr):
                yield child.target.id
    elif not isinstance(node, ast.Lambda):
        if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
        for child in ast.iter_child_nodes(node):
            yield from _binds(child)


def _uses(node: ast.stmt) -> tuple[set[str], set[str]]:
    """Names that a statement takes from the top of the notebook."""
    top = symtable.symtable(ast.unparse(node), "<cell>", "exec")
    at_once = {s.get_name() for s in top.get_symbols() if s.is_referenced()}
    later: set[str] = set()
    tables = [(table, False) for table in top.get_children()]
    while tables:
        table, deferred = tables.pop()
        deferred = deferred or table.get_type() == "function"
        tables += [(child, deferred) for child in table.get_children()]
        names = {
            s.get_name()
            for s in table.get_symbols()
            if s.is_global() and s.is_referenced()
        }
        (later if deferred else at_once).update(names)
    return at_once - {"__class__"}, later - {"__class__"}
