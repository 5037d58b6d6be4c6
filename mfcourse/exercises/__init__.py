"""The exercise bank: ``exercises.msd_similarity.check()``, ``.hint()``, …

A file a lesson; in it, each exercise is its solution, a function, with the statement,
hints, cases and typical mistakes in the decorator above it (`exercise.py`). Solutions
are public: practice is not an exam.
"""

import importlib
import pkgutil
from functools import cache
from typing import Any

_MODULES = [module.name for module in pkgutil.iter_modules(__path__)]


@cache
def bank() -> dict[str, Any]:
    """All exercises, in the order of the lessons.

    Returns
    -------
    dict
        Name → `exercise.Exercise`.
    """
    lessons = [name for name in _MODULES if name.startswith("lesson_")]
    modules = [importlib.import_module(f"{__name__}.{lesson}") for lesson in lessons]
    kind = importlib.import_module(f"{__name__}.exercise").Exercise
    found = [x for m in modules for x in vars(m).values() if isinstance(x, kind)]
    return {x.name: x for x in sorted(found, key=lambda x: (x.lesson, x.number))}


def assignment(path: str, edition: str = "") -> Any:
    """The public checks of an assignment: ``ps1 = assignment("PS1_checks.json")``.

    Parameters
    ----------
    path : str
        Of the file of checks, beside the notebook.
    edition : str
        Which the notebook is; the file has to be of the same.

    Returns
    -------
    SimpleNamespace
        ``ps1.rmse.check()``, and so on.
    """
    return importlib.import_module(f"{__name__}.assigned").load(path, edition)


def __getattr__(name: str) -> Any:
    if name in _MODULES or name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in bank():
        raise AttributeError(f"no exercise {name!r}. There are: {', '.join(bank())}")
    return bank()[name]


def __dir__() -> list[str]:
    return [*bank(), "assignment", "bank"]
