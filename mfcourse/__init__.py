"""mfcourse: matrix factorization for recommender systems, a course and a laboratory.

Every public name is handed on lazily (PEP 562): ``import mfcourse`` loads no numba,
matplotlib or scikit-learn until a name that needs them is used.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_MODULES = (
    "cluster",
    "datasets",
    "evaluate",
    "interactions",
    "metrics",
    "models",
    "plots",
    "retrieval",
    "split",
)
_NAMES = {
    "Interactions": "interactions",
    "Recommender": "models.base",
    "FactorModel": "models.base",
    "NotFittedError": "models.base",
    "NotSupported": "models.base",
    "PopularityModel": "models.baselines",
    "MeanModel": "models.baselines",
    "BiasModel": "models.baselines",
    "UserKNNModel": "models.knn",
    "ItemKNNModel": "models.knn",
    "SVDModel": "models.svd",
    "NMFModel": "models.nmf",
    "SGDModel": "models.sgd",
    "SVDppModel": "models.svdpp",
    "ALSModel": "models.als",
    "ImplicitALSModel": "models.ials",
    "BPRModel": "models.bpr",
    "EASEModel": "models.ease",
    "SparkALSModel": "models.spark",
}
__all__ = [*_MODULES, *_NAMES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
