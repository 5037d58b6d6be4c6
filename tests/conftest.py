"""Fixtures and options that all tests share."""

import itertools
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

# No test counts as a learner's work; those of the progress log say otherwise.
os.environ["MFCOURSE_RECORD"] = "0"

ROOT = Path(__file__).resolve().parent.parent

# The same examples each time, and no deadline: a busy machine is no failure.
settings.register_profile("mfcourse", deadline=None, derandomize=True)
settings.load_profile("mfcourse")

# Files that take long, from the longest on. Each worker begins with its share of them:
# begun last, one worker would end alone.
LONG = [
    *("spark", "browser", "hostile", "experiments", "refresh", "grading"),
    *("progress", "report", "widgets", "ials", "datasets", "plots", "evaluate"),
]


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="run long tests as a whole")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--soak"):
        skip = pytest.mark.skip(reason="runs with --soak")
        for item in filter(lambda item: item.get_closest_marker("rare"), items):
            item.add_marker(skip)
    # xdist's worksteal cuts the list into as many runs of one length as it has workers.
    n = getattr(config, "workerinput", {}).get("workercount", 1)
    place = {f"test_{name}": number for number, name in enumerate(LONG)}
    parts = [[] for _ in range(n)]
    for item in sorted(items, key=lambda item: place.get(item.path.stem, len(LONG))):
        number = place.get(item.path.stem)
        short = (part for part in parts if len(part) < len(items) / n)
        (next(short) if number is None else parts[number % n]).append(item)
    items[:] = itertools.chain.from_iterable(parts)


@pytest.fixture(scope="session")
def soak_share(request) -> float:
    """How much of a long test to run: a tenth, or all of it under ``--soak``."""
    return 1.0 if request.config.getoption("--soak") else 0.1


@pytest.fixture(scope="session")
def shared_datasets() -> Path:
    """Folder of data sets that may not be committed; the test skips without it."""
    default = ROOT.parent / "shared" / "datasets"
    folder = Path(os.environ.get("MFCOURSE_TEST_DATASETS", default))
    if not folder.is_dir():
        pytest.skip("no folder of further data sets; set MFCOURSE_TEST_DATASETS")
    return folder


@pytest.fixture
def ratings() -> pd.DataFrame:
    """300 random ratings of 30 users and 20 items, with biases and timestamps."""
    return random_ratings(seed=0)


def peak(function: Callable[[], object]) -> int:
    """Bytes that a call takes at most, of NumPy's arrays and Python's objects."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def random_ratings(
    n_users: int = 30, n_items: int = 20, n_ratings: int = 300, seed: int = 0
) -> pd.DataFrame:
    """Distinct random pairs with ratings of half stars; ids are not codes."""
    rng = np.random.default_rng(seed)
    pair = rng.permutation(n_users * n_items)[:n_ratings]
    user, item = pair // n_items, pair % n_items
    level = 3 + rng.normal(size=n_users)[user] + rng.normal(size=n_items)[item]
    rating = np.clip(np.round(2 * (level + rng.normal(size=n_ratings))) / 2, 0.5, 5)
    return pd.DataFrame(
        {
            "user": 100 + user,
            "item": 7 * item + 3,
            "rating": rating,
            "timestamp": 1_000_000 + rng.permutation(n_ratings),
        }
    )
