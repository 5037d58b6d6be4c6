"""docs/scaling.md: its numbers are those of the formulas, and the formulas hold.

What was measured (benchmarks/scaling.py, by hand) is held only to its own ratios.
"""

import re
from dataclasses import replace

import numpy as np
import pytest

import mfcourse as mf
from benchmarks import scaling
from benchmarks.scaling import SIZES, Size, on_paper, rows_met
from mfcourse import datasets

from .conftest import ROOT

UNITS = {
    "": 1, "%": 0.01, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
    "Mflop": 1e6, "Gflop": 1e9, "Tflop": 1e12, "Pflop": 1e15,
    "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "days": 86400,
}  # fmt: skip
PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


def parts(cell: str) -> tuple[float, float]:
    """'1.3 TB' → 1.3, 1e12."""
    found = re.fullmatch(r"([\d,]*\.?\d+) ?(\S*)", cell)
    assert found, f"{cell!r} is no number with a unit of {list(UNITS)}"
    return float(found[1].replace(",", "")), UNITS[found[2]]


def number(cell: str) -> float:
    """'1.3 TB' → 1.3e12."""
    amount, unit = parts(cell)
    return amount * unit


def tables() -> dict[str, list[list[str]]]:
    """The rows of each table under the first cell of its head."""
    found = {}
    for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        head, _, *rows = (
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in block.splitlines()
        )
        found[head[0]] = [head, *rows]
    return found


def assert_two_digits(shown: str, value: float) -> None:
    amount, unit = parts(shown)
    assert f"{amount:.2g}" == f"{value / unit:.2g}", f"{shown}, not {value:.3g}"


SIZED = ("Assumed", "Memory", "Operations", "Shipped", "Time")


@pytest.mark.parametrize("name", SIZED)
def test_a_table_shows_what_the_formulas_say(name):
    head, *rows = tables()[name]
    assert head[1:] == list(SIZES)
    for label, *cells in rows:
        for size, cell in zip(SIZES.values(), cells, strict=True):
            assert_two_digits(cell, on_paper(size)[label])


def test_what_others_measured_is_within_a_factor_of_two():
    (_, *rows), sizes = tables()["Published"], (scaling.LAST_FM, scaling.ML_20M)
    for (_, paper, seen), size in zip(rows, sizes, strict=True):
        assert_two_digits(paper, on_paper(size)["Spark, 8 cores of one machine"])
        assert 0.5 < number(seen) / number(paper) < 2


def test_ratios_of_what_was_measured():
    _, *rows = tables()["Model"]
    assert [row[0] for row in rows] == [f"`{name}`" for name in scaling.MODELS]
    for row, (_, model) in zip(rows, scaling.MODELS.values(), strict=True):
        predicted, took, ratio, held, rose, more = map(number, row[1:])
        dtype = getattr(model, "dtype", "float64")
        assert_two_digits(row[4], scaling.bytes_held(SIZES["10⁶"], dtype))
        assert abs(took / predicted - ratio) < 0.05 * ratio
        assert abs(rose / held - more) < 0.05 * more


def test_numbers_in_the_text():
    middle, large = on_paper(SIZES["10⁸"]), on_paper(SIZES["10¹⁰"])
    hundred = on_paper(replace(SIZES["10¹⁰"], blocks=100))
    half = hundred["user rows to item blocks"] / large["user rows to item blocks"]
    assert 0.45 < half < 0.55
    lists = large["lists, exact"] / large["epoch, Cholesky"]
    newcomer = 200 * 64**2 + 64**3 / 3  # operations
    assert newcomer < 1e-3 * scaling.RATE["Spark core"]
    peak = max(number(row[5]) for row in tables()["Model"][1:])
    text = " ".join(PAGE.split())
    for said in (
        f"as much as {round(lists, -1):.0f} epochs",
        f"With 100 it is {hundred['one item block and its rows'] / 1e9:.0f} GB",
        f"{15 * middle['ALSModel, 2 cores'] / 60:.0f} minutes for 15 epochs",
        f"{15 * middle['ImplicitALSModel, 2 cores'] / 60:.0f} with conjugate",
        f"{4 * 64**2 / 1e3:.0f} kB at every size",
        f"{scaling.VISITED:,} rows, 64 candidates with {2 * scaling.LINKS} links each",
        f"{scaling.LINKS * (2 + 1 / np.log(scaling.LINKS)):.0f} links of 4 bytes",
        f"about {(100 * peak + middle['frame, four columns']) / 1e9:.0f} GB",
        f"{scaling.WORKERS} workers × {scaling.CORES} cores",
        f"{8 * scaling.NETWORK / 1e9:.0f} Gbit/s",
    ):
        assert said in text


# ---- The formulas --------------------------------------------------------------------


def test_a_case_by_hand():
    # Two users, three items, all six pairs rated, k = 2, two blocks a side.
    got = on_paper(Size(6, 2, 3, blocks=2, k=2))
    assert got["epoch, Cholesky"] == pytest.approx(2 * 6 * 4 + 5 * 8 / 3)
    # residual at the start and 3 steps: each rating, 2 k there and 2 k back; two sides
    assert got["epoch, conjugate gradients"] == 4 * (2 * 2 + 2 * 2) * 6 * 2
    assert got["lists, exact"] == 2 * 3 * (2 + 2)
    assert got["factors, 4 bytes"] == (2 + 3) * 2 * 4
    # an item with two ratings misses a block with probability (1 − 1/2)²
    assert got["item rows to user blocks"] == pytest.approx(2 * 3 * 0.75 * 2 * 4)


@pytest.mark.parametrize("shape", [(60, 40, 0.5), (300, 20, 0.1)])
def test_bytes_of_both_matrices_are_those_that_are_held(shape):
    m, n, density = shape
    train = mf.Interactions(datasets.planted(m, n, 2, density)[0])
    held = sum(
        part.nbytes
        for R in (train.csr, train.csr_by_item)
        for part in (R.data, R.indices, R.indptr)
    )
    paper = on_paper(Size(train.n_ratings, m, n))
    assert paper["CSR both ways, SciPy, 8-byte values"] == held


def test_indices_double_where_32_bits_end():
    last, next_one = (
        on_paper(Size(ratings, 1e6, 1e5))["CSR both ways, SciPy, 8-byte values"]
        for ratings in (2**31 - 1, 2**31)
    )
    assert next_one / last == pytest.approx(16 / 12, rel=1e-3)


@pytest.mark.parametrize("blocks", [1, 4, 16])
def test_rows_met_are_those_that_blocks_of_ids_meet(blocks):
    m, n, ratings = 500, 400, 4_000
    frame, _ = datasets.planted(m, n, 2, ratings / (m * n))
    block = np.random.default_rng(0).integers(0, blocks, n)[frame["item"]]
    met = len(set(zip(frame["user"], block, strict=True)))
    # Planted counts vary around 8 a user; the formula takes them as even: a bit above.
    assert met == pytest.approx(blocks * rows_met(m, ratings, blocks), rel=0.06)
