"""The house keeps its design: arrows, docstrings, sizes, names, and what README says.

Every rule is a function from sources to the list of what breaks it, tried below on
sources that break it. Files are parsed, not imported, so that imports inside functions
count, and a file that is new is held to the rules from its first line.
"""

import ast
import io
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

import mfcourse

ROOT = Path(__file__).resolve().parent.parent
Sources = dict[str, str]  # "models/base" → text; a package's __init__ is "models"

# Who may import whom. The first row that fits a module is its rule; ``*`` fits any name
# and a package stands for all that is in it. ``mfcourse`` is the package's own top.
ARROWS = """
mfcourse       → *
cli            → *
__main__       → cli
doctor         → datasets cluster
cluster        →
datasets       →
split          →
metrics        →
retrieval      →
plots          →
interactions   →
evaluate       → metrics split interactions
models         → models/*
models/_in_spark → interactions models/_* cluster
models/_*      → interactions models/_*
models/base    → interactions models/_* mfcourse
models/spark   → interactions models/_* models/base cluster
models/knn     → interactions models/_* models/base models/baselines
models/als     → interactions models/_* models/base models/baselines
models/ials    → interactions models/_* models/base models/baselines
models/sgd     → interactions models/_* models/base models/baselines
models/svdpp   → interactions models/_* models/base models/baselines
models/*       → interactions models/_* models/base
experiments*   → experiments evaluate split datasets models mfcourse
exercises*     → exercises models metrics learn/progress
grading*       → grading exercises
learn*         → learn models plots
"""

# Lines of code: not blank, no comment, no docstring. Raising one needs a line in
# docs/decisions.md. The exercises themselves are content, as a lesson is; grading and
# experiments are tools beside the course, which nothing else imports.
CORE = ("datasets", "split", "interactions", "metrics", "evaluate", "models*")
CONTENT = "exercises/lesson_*"
MODEL_LINES, CORE_LINES, ALL_LINES = 200, 3_650, 8_000
BESIDE = {"grading": 2_100, "experiments": 1_150}

# The names of hyper-parameters; each may end in _user or _item.
GLOSSARY = {
    "n_factors",
    "n_neighbors",
    "n_epochs",
    "n_blocks",
    "reg",
    "lr",
    "decay",
    "init_sd",
    "patience",
    "weighted",
    "solver",
    "cg_steps",
    "fill",
    "order",
    "damping",
    "shrinkage",
    "alpha",
    "reg_scaling",
    "negatives",
    "seed",
    "engine",
    "dtype",
    "of",
    "similarity",
    "center",
    "compare",
    "min_support",
    "normalize",
    "binary",
    "implicit",
    "master",
    "memory",
}
ELSEWHERE = {
    "rank": "n_factors",
    "factors": "n_factors",
    "n_components": "n_factors",
    "embedding_size": "n_factors",
    "k": "n_factors or n_neighbors",
    "regularization": "reg",
    "reg_param": "reg",
    "l2": "reg",
    "learning_rate": "lr",
    "iterations": "n_epochs",
    "max_iter": "n_epochs",
    "random_state": "seed",
}

MACHINE = re.compile(r"/(?:work|root|farm|tmp/bash_jobs|tmp/ipykernel_\d+)/")
REGISTRY = re.compile(
    r"\b(?:pypi|pythonhosted|npmjs|anaconda)\.(?:org|com)\b|://[^\s\"']+/simple\b"
)


@cache
def _package() -> Sources:
    """Every file of mfcourse/."""
    sources = {}
    for path in sorted((ROOT / "mfcourse").rglob("*.py")):
        name = path.relative_to(ROOT / "mfcourse").with_suffix("").as_posix()
        name = name.removesuffix("__init__").rstrip("/") or "mfcourse"
        sources[name] = path.read_text(encoding="utf-8")
    return sources


def _fits(module: str, pattern: str) -> bool:
    return fnmatch(module, pattern) or fnmatch(module, f"{pattern}/*")


# ---- Arrows --------------------------------------------------------------------------


def imports(module: str, sources: Sources) -> set[str]:
    """Modules of ours that a module imports, wherever in its text."""
    found = set()
    is_package = any(other.startswith(f"{module}/") for other in sources)
    here = [] if module == "mfcourse" else module.split("/")
    for node in ast.walk(ast.parse(sources[module])):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            if node.level:
                up = node.level - (is_package or module == "mfcourse")
                parts = ["mfcourse", *here[: len(here) - up], start]
                start = ".".join(filter(None, parts))
            names = [f"{start}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and node.args:
            called = ast.unparse(node.func).rpartition(".")[2]
            first = node.args[0]
            if called in ("import_module", "__import__"):
                names = [str(first.value)] if isinstance(first, ast.Constant) else []
        for name in names:
            if name.split(".")[0] == "mfcourse":
                found.add(_module_of(name, sources))
    return found


def _module_of(name: str, sources: Sources) -> str:
    """The module that a dotted name is, or is taken from."""
    path = "/".join(name.split(".")[1:])
    while path and path not in sources:
        path = path.rpartition("/")[0]
    return path or "mfcourse"


def breaks_arrows(sources: Sources) -> list[str]:
    """Imports against the table, and modules without a row."""
    table = [row.split("→") for row in ARROWS.strip().splitlines()]
    wrong = []
    for module in sources:
        rule = next((to for of, to in table if fnmatch(module, of.strip())), None)
        if rule is None:
            wrong.append(f"{module} has no row in ARROWS")
            continue
        for target in sorted(imports(module, sources)):
            if not any(_fits(target, pattern) for pattern in rule.split()):
                wrong.append(
                    f"{module} imports {target}; it may: {rule.strip() or '-'}"
                )
    return wrong


def test_imports_follow_the_arrows():
    assert not (wrong := breaks_arrows(_package())), "\n".join(wrong)


@pytest.mark.parametrize(
    ("module", "line", "target"),
    [
        ("metrics", "from mfcourse.models.base import Recommender", "models/base"),
        ("metrics", "def f():\n    import mfcourse.evaluate", "evaluate"),
        ("metrics", "from mfcourse import evaluate", "evaluate"),
        ("metrics", "from . import evaluate", "evaluate"),
        ("metrics", "from mfcourse import BiasModel", "mfcourse"),
        ("metrics", "import mfcourse as mf", "mfcourse"),
        ("metrics", "importlib.import_module('mfcourse.evaluate')", "evaluate"),
        ("models/knn", "from .nmf import NMFModel", "models/nmf"),
        ("models/knn", "from ..evaluate import ratings", "evaluate"),
        ("models/knn", "from mfcourse.models import nmf", "models/nmf"),
        ("models/nmf", "from mfcourse.models.baselines import x", "models/baselines"),
        ("models/_solve", "from mfcourse.models.base import x", "models/base"),
        ("evaluate", "if TYPE_CHECKING:\n    from mfcourse.models import base",
         "models/base"),
    ],
)  # fmt: skip
def test_an_import_against_the_arrows_is_seen(module, line, target):
    others = ["mfcourse", "evaluate", "models", "models/base", "models/baselines"]
    sources = dict.fromkeys([*others, "models/nmf"], "") | {module: line}
    (wrong,) = breaks_arrows(sources)
    assert wrong.startswith(f"{module} imports {target};")


def test_imports_with_the_arrows_are_fine_and_a_new_module_needs_a_row():
    sources = {
        "mfcourse": "",
        "metrics": "import numpy as np\nfrom os import path",
        "evaluate": "from mfcourse import metrics\nfrom mfcourse.metrics import rmse",
        "models": "",
        "models/_lists": "",
        "models/base": "from mfcourse.models import _lists",
        "models/baselines": "from mfcourse.models.base import Recommender",
        "models/knn": "from mfcourse.models.baselines import damped_mean",
        "learn": "",
        "learn/quiz": "from mfcourse.learn import progress\nimport mfcourse.models.knn",
        "learn/progress": "",
    }
    assert breaks_arrows(sources) == []
    assert breaks_arrows({"shop": ""}) == ["shop has no row in ARROWS"]


# ---- Docstrings ----------------------------------------------------------------------

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sections(doc: str) -> dict[str, set[str]]:
    """The numpydoc sections of a docstring, each with the names that it lists."""
    found: dict[str, set[str]] = {}
    lines = doc.splitlines()
    title = ""
    for line, below in zip(lines, [*lines, ""][1:], strict=True):
        if re.fullmatch(r"-{3,}", below.strip()) and not line.startswith(" "):
            title = line.strip()
            found[title] = set()
        elif title and line.strip() and not line.startswith((" ", "-")):
            names = re.split(r"\s+:(?:\s|$)", line)[0].split(",")
            found[title] |= {name.strip().lstrip("*") for name in names}
    return found


def _arguments(function: Function) -> set[str]:
    a = function.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg]
    return {arg.arg for arg in every if arg} - {"self", "cls"}


def _raised(function: Function) -> set[str]:
    """Exceptions that the function itself raises by name, outside of a ``try``."""
    nodes = list(ast.walk(function))
    tried = {n for t in nodes if isinstance(t, ast.Try) for b in t.body
             for n in ast.walk(b)}  # fmt: skip
    raised = (n.exc for n in nodes if isinstance(n, ast.Raise) and n not in tried)
    called = (e.func for e in raised if isinstance(e, ast.Call))
    names = {ast.unparse(function).rpartition(".")[2] for function in called}
    return {name for name in names if name[0].isupper()}


def _is_property(function: Function) -> bool:
    return any("property" in ast.unparse(d) for d in function.decorator_list)


def _bad_function(function: Function) -> Iterator[str]:
    doc = ast.get_docstring(function)
    if not doc:
        yield "has no docstring"
        return
    said = sections(doc)
    asked, named = _arguments(function), said.get("Parameters", set())
    if asked != named:
        missing, stale = sorted(asked - named), sorted(named - asked)
        yield f"Parameters: missing {missing}, not an argument {stale}"
    gives = ast.unparse(function.returns) if function.returns else "None"
    silent = ("None", "Self", "NoReturn")
    told = {"Returns", "Yields"} & set(said) or _is_property(function)
    if gives not in silent and not told:
        yield f"gives {gives}, and no section Returns or Yields says so"
    if unsaid := _raised(function) - said.get("Raises", set()):
        yield f"Raises: missing {sorted(unsaid)}"


def _fields(node: ast.ClassDef) -> set[str]:
    """Fields of a dataclass."""
    if not any("dataclass" in ast.unparse(d) for d in node.decorator_list):
        return set()
    return {
        part.target.id
        for part in node.body
        if isinstance(part, ast.AnnAssign)
        and isinstance(part.target, ast.Name)
        and "ClassVar" not in ast.unparse(part.annotation)
        and not part.target.id.startswith("_")
    }


def _takes(node: ast.ClassDef) -> set[str]:
    """Arguments of a class: those of ``__init__``, or its fields."""
    made = (p for p in node.body if isinstance(p, Function) and p.name == "__init__")
    return next(map(_arguments, made), _fields(node))


def _classes(sources: Sources) -> dict[str, ast.ClassDef]:
    trees = (ast.parse(text) for text in sources.values())
    return {n.name: n for t in trees for n in t.body if isinstance(n, ast.ClassDef)}


def _family(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """A class and its bases of ours."""
    bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
    ours = [classes[base] for base in bases if base in classes]
    return [node, *(kin for base in ours for kin in _family(base, classes))]


def _bad_class(
    node: ast.ClassDef, classes: dict[str, ast.ClassDef]
) -> Iterator[tuple[str, str]]:
    family = _family(node, classes)
    if not node.name.startswith("_"):
        if not ast.get_docstring(node):
            yield node.name, "has no docstring"
        docs = [sections(ast.get_docstring(kin) or "") for kin in family]
        fields = set().union(*map(_takes, family))
        if unnamed := fields - set().union(*(d.get("Parameters", ()) for d in docs)):
            yield node.name, f"Parameters: missing {sorted(unnamed)}"
        if stale := docs[0].get("Parameters", set()) - fields:
            yield node.name, f"Parameters: not a field {sorted(stale)}"
    told = {m.name for kin in family[1:] for m in kin.body if isinstance(m, Function)}
    for part in node.body:
        if isinstance(part, Function) and not part.name.startswith("_"):
            if part.name in told and not ast.get_docstring(part):
                continue  # an override says what the base says
            for bad in _bad_function(part):
                yield f"{node.name}.{part.name}", bad


def breaks_docstrings(sources: Sources) -> list[str]:
    """Public names whose docstring is missing, incomplete or out of date."""
    classes = _classes(sources)
    public = {kin.name for name, node in classes.items() if not name.startswith("_")
              for kin in _family(node, classes)}  # fmt: skip
    wrong = []
    for module, text in sources.items():
        if fnmatch(module, CONTENT):
            continue  # its functions are solutions, as a learner writes them
        tree = ast.parse(text)
        found: list[tuple[str, str]] = []
        if not ast.get_docstring(tree):
            found.append(("", "has no docstring"))
        for node in tree.body:
            if isinstance(node, Function) and not node.name.startswith("_"):
                found += [(node.name, bad) for bad in _bad_function(node)]
            if isinstance(node, ast.ClassDef) and node.name in public:
                found += _bad_class(node, classes)
        wrong += [f"{module}: {name} {bad}".replace("  ", " ") for name, bad in found]
    return wrong


def test_public_names_say_what_they_take_give_and_raise():
    assert not (wrong := breaks_docstrings(_package())), "\n".join(wrong)


GOOD = '''
def f(a, b, *rest: int, n: int = 1, **more) -> float:
    """Do.

    Parameters
    ----------
    a, b : arrays
        Two.
    *rest : int
    n : {1, 2}
        How many; see:

        - one
    **more

    Returns
    -------
    float
        It.

    Raises
    ------
    ValueError
        Never.
    """
    try:
        raise KeyError("caught below")
    except KeyError:
        raise ValueError("x")

class _Own:
    def take(self, x): ...

@dataclass(kw_only=True)
class _Base:
    """Base.

    Parameters
    ----------
    seed : int
    """
    seed: int = 0

    def fit(self, train) -> Self:
        """Learn.

        Parameters
        ----------
        train : DataFrame
        """

@dataclass(kw_only=True)
class Model(_Base):
    """Model.

    Parameters
    ----------
    reg, lr : float
    """
    reg: float = 0.1
    lr: float = 0.1

    @property
    def size(self) -> int:
        """Number of things."""

    def fit(self, train) -> Self:
        return self

    def _hidden(self, x): ...
'''


def test_complete_docstrings_are_fine():
    assert breaks_docstrings({"m": '"""M."""' + GOOD}) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"""Do.', '"""', None),
        ('    """Do.', '    x = """Do.', "m: f has no docstring"),
        ("a, b : arrays", "a : array", "missing ['b'], not an argument []"),
        ("n : {1, 2}", "m : {1, 2}", "missing ['n'], not an argument ['m']"),
        ("    **more\n", "", "missing ['more']"),
        ("Returns\n    -------", "Gives\n    -----", "no section Returns or Yields"),
        ("    ValueError\n", "    TypeError\n", "Raises: missing ['ValueError']"),
        ("    seed : int\n", "", "m: Model Parameters: missing ['seed']"),
        ("reg, lr : float", "reg : float", "m: Model Parameters: missing ['lr']"),
        ("reg, lr : float", "reg, lr, k : float", "not a field ['k']"),
        ('    """Model.', '    x = """Model.', "m: Model has no docstring"),
        ('"""Number of things."""', "...", "m: Model.size has no docstring"),
        ("        train : DataFrame\n", "", "m: _Base.fit Parameters: missing ['tr"),
    ],
)
def test_a_docstring_that_leaves_something_out_is_seen(old, new, words):
    assert old in GOOD
    wrong = breaks_docstrings({"m": '"""M."""' + GOOD.replace(old, new)})
    assert (words is None) == (wrong == [])
    assert words is None or any(words in line for line in wrong)


def test_a_module_without_a_docstring_is_seen():
    assert breaks_docstrings({"m": "x = 1"}) == ["m: has no docstring"]


# ---- The budget ----------------------------------------------------------------------


def lines_of_code(text: str) -> int:
    """Lines that are neither blank, nor comment, nor docstring."""
    quiet = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT}
    quiet |= {tokenize.DEDENT, tokenize.ENDMARKER, tokenize.ENCODING}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in quiet:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        documented = isinstance(node, ast.Module | ast.ClassDef | Function)
        if documented and ast.get_docstring(node) is not None:
            doc = node.body[0]
            lines -= set(range(doc.lineno, doc.end_lineno + 1))
    return sum(bool(text.splitlines()[line - 1].strip()) for line in lines)


def breaks_budget(sources: Sources) -> list[str]:
    """Files and groups of files that have grown too large."""
    size = {m: lines_of_code(text) for m, text in sources.items()
            if not fnmatch(m, CONTENT)}  # fmt: skip
    core = sum(n for m, n in size.items() if any(_fits(m, part) for part in CORE))
    parts = [(m, n, MODEL_LINES) for m, n in size.items() if _fits(m, "models")]
    parts += [("datasets … evaluate, models", core, CORE_LINES)]
    beside = {of: sum(n for m, n in size.items() if _fits(m, of)) for of in BESIDE}
    parts += [(of, n, BESIDE[of]) for of, n in beside.items()]
    parts += [("mfcourse", sum(size.values()) - sum(beside.values()), ALL_LINES)]
    return [f"{m} has {n} lines of code, of {limit}" for m, n, limit in parts
            if n > limit]  # fmt: skip


def test_the_code_keeps_to_its_budget():
    assert not (wrong := breaks_budget(_package())), "\n".join(wrong)


def test_only_code_counts():
    text = '''"""Module,
    two lines."""

# comment
x = 1  # one

class A:
    """Doc."""

    def f(self):
        """Doc

        of three."""
        return """text

        that is no docstring"""


y = [
    # comment
    1,
]
'''
    assert lines_of_code(text) == 8
    assert lines_of_code("") == 0


def test_a_file_or_package_that_outgrows_its_budget_is_seen():
    def lines(n):
        return "x = 1\n" * n

    full = {"models/als": lines(200), "plots": lines(2_500)}
    assert breaks_budget(full) == []
    assert breaks_budget({"models/als": lines(201)}) == [
        "models/als has 201 lines of code, of 200"
    ]
    core = {f"models/m{i}": lines(200) for i in range(17)} | {"metrics": lines(251)}
    assert breaks_budget(core) == [
        "datasets … evaluate, models has 3651 lines of code, of 3650"
    ]
    assert breaks_budget({"grading": lines(1_000), "grading/a": lines(1_101)}) == [
        "grading has 2101 lines of code, of 2100"
    ]
    beside = {"exercises/lesson_01": "x", "grading/a": lines(2_000)}
    assert breaks_budget({"plots": lines(8_000), **beside}) == []
    assert breaks_budget({"plots": lines(8_001)}) == [
        "mfcourse has 8001 lines of code, of 8000"
    ]


# ---- Names of hyper-parameters -------------------------------------------------------


def breaks_glossary(sources: Sources) -> list[str]:
    """Fields of models that do not bear the glossary's names."""
    models = {m: text for m, text in sources.items() if _fits(m, "models")}
    wrong = []
    for name, node in _classes(models).items():
        for field in sorted(_fields(node)):
            plain = re.sub("_(user|item)$", "", field)
            if plain not in GLOSSARY:
                hint = ELSEWHERE.get(plain, "a name in GLOSSARY, or add one there")
                wrong.append(f"{name}.{field}: use {hint}")
    return wrong


def test_hyper_parameters_bear_the_names_of_the_glossary():
    assert not (wrong := breaks_glossary(_package())), "\n".join(wrong)
    assert not set(ELSEWHERE) & GLOSSARY


@pytest.mark.parametrize("name", [*ELSEWHERE, "n_factor", "reg_users"])
def test_a_foreign_name_is_seen(name):
    text = f"@dataclass(kw_only=True)\nclass A:\n    reg_user: float\n    {name}: int"
    (wrong,) = breaks_glossary({"models/als": text})
    assert wrong.startswith(f"A.{name}: use {ELSEWHERE.get(name, 'a name')}")


# ---- Importing -----------------------------------------------------------------------

LOADED = """
import sys
before = set(sys.modules)
{line}
names = {{name.split(".")[0] for name in set(sys.modules) - before}}
print(*sorted(names - set(sys.stdlib_module_names)))
"""


def loads(line: str) -> list[str]:
    """Packages outside the standard library that a line loads in a fresh Python."""
    code = LOADED.format(line=line)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_import_mfcourse_loads_nothing_else():
    assert loads("import mfcourse") == ["mfcourse"]
    assert loads("import mfcourse.cli") == ["mfcourse"]


def test_loading_is_seen():
    assert {"mfcourse", "numpy", "pandas"} <= set(
        loads("import mfcourse; mfcourse.split")
    )


@pytest.mark.parametrize("name", mfcourse.__all__)
def test_each_public_name_is_there(name):
    assert getattr(mfcourse, name).__name__.rpartition(".")[2] == name
    assert name in dir(mfcourse)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'NoModel'"):
        _ = mfcourse.NoModel


# ---- Every file ----------------------------------------------------------------------


def repository() -> Iterator[Path]:
    """The files that git would keep, found without git."""
    ignored = (ROOT / ".gitignore").read_text().split()
    ignored = [pattern.rstrip("/") for pattern in ignored] + [".git"]
    for folder, folders, files in os.walk(ROOT):
        for names in (folders, files):
            names[:] = [n for n in names if not any(fnmatch(n, p) for p in ignored)]
        yield from (Path(folder, name) for name in files)


def foreign_places(content: bytes) -> list[str]:
    """Paths of one machine and hosts of registries in a file; none in a binary one."""
    if b"\0" in content:
        return []
    text = content.decode("utf-8", "replace")
    return [
        m.group() for pattern in (MACHINE, REGISTRY) for m in pattern.finditer(text)
    ]


def test_no_file_names_a_path_of_one_machine_or_a_registry():
    files = list(repository())
    assert {ROOT / "README.md", Path(__file__)} <= set(files)
    assert not any(".venv" in path.parts for path in files)
    found = {str(path.relative_to(ROOT)): foreign_places(path.read_bytes())
             for path in files}  # fmt: skip
    assert {path: places for path, places in found.items() if places} == {}


@pytest.mark.parametrize(
    "place",
    [
        *(f"/{folder}/x" for folder in ("work", "root", "farm")),
        *(f"/tmp/{folder}/1.py" for folder in ("bash_jobs", "ipykernel_77")),
        *(f"https://{host}.org" for host in ("pypi", "files.pythonhosted")),
        *(f"{host}.org/x" for host in ("registry.npmjs", "conda.anaconda")),
        *(f"http://mirror.example:80/{folder}/" for folder in ["simple"]),
    ],
)
def test_a_path_or_registry_is_seen(place):
    assert foreign_places(f'"in {place} "'.encode())
    assert not foreign_places(f"\0{place}".encode())


def test_ordinary_text_names_no_place():
    text = "work/root, https://example.org/network/ and a simple/ folder of PyPI"
    assert foreign_places(text.encode()) == []


# ---- The design page -----------------------------------------------------------------


def breaks_design(page: str, sources: Sources) -> list[str]:
    """Modules that the layout leaves out, and files that it names and nobody has."""
    now = page.split("## Planned")[0]
    named = {n.removesuffix(".py") for n in re.findall(r"^[\w/*]+\.py", now, re.M)}
    packages = {name.partition("/")[0] for name in sources if "/" in name}
    there = set(sources) - {"mfcourse", "__main__"} - packages
    gone = [n for n in named if not any(fnmatch(m, n) for m in there)]
    gone = [n for n in gone if not (ROOT / f"{n}.py").is_file()]
    new = [m for m in there if not any(fnmatch(m, n) for n in named)]
    return [f"{name} is not on the page" for name in sorted(new)] + [
        f"{name} is not in the code" for name in sorted(gone)
    ]


def test_the_design_page_shows_the_code():
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    assert not (wrong := breaks_design(page, _package())), "\n".join(wrong)


def test_a_design_page_that_is_out_of_date_is_seen():
    page = "metrics.py   numbers\nretrieval.py top-N\n## Planned\nplots.py"
    assert breaks_design(page, {"mfcourse": "", "metrics": "", "plots": ""}) == [
        "plots is not on the page",
        "retrieval is not in the code",
    ]


# ---- README --------------------------------------------------------------------------


def python_blocks(text: str) -> list[str]:
    """The Python in a Markdown text."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(code: str, folder: Path) -> str:
    """What a script prints in a fresh Python, where it must not fail."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_code_in_readme_runs(tmp_path):
    blocks = python_blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    assert blocks
    for code in blocks:
        assert run(code, tmp_path)


def test_code_that_fails_is_seen(tmp_path):
    (code,) = python_blocks("Text\n```python\nimport mfcourse\nmfcourse.no\n```\n")
    with pytest.raises(AssertionError, match="no attribute 'no'"):
        run(code, tmp_path)
