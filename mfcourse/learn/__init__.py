"""What answers a learner: quick checks, predictions, playgrounds, cards, progress.

Widgets are own anywidgets: a class in Python that knows what is right, a file in
``static/`` that draws. Names are handed on lazily, so that the progress log, which the
exercises write to, loads no widget.
"""

import importlib
from typing import Any

_NAMES = {
    "dashboard": "dashboard",
    "demonstrate": "practice",
    "playground": "playground",
    "practice": "practice",
    "predict": "predict",
    "quiz": "quiz",
    "reveal": "predict",
    "studio": "studio",
}
__all__ = ["progress", *_NAMES]


def __getattr__(name: str) -> Any:
    if name == "progress":
        return importlib.import_module(f"{__name__}.progress")
    if name in _NAMES:
        module = importlib.import_module(f"{__name__}._{_NAMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
