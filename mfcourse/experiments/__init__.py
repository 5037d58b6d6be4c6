"""Experiments: a declaration → trials → a ledger → tables, the same on each run.

from mfcourse import experiments
experiment = experiments.read("accuracy_ladder")
ledger = experiments.run(experiment, "results/accuracy_ladder.jsonl", jobs=2)
experiments.tables(experiment, experiments.rows(ledger))
"""

from mfcourse.experiments.declare import (
    DeclarationError,
    Entry,
    Experiment,
    names,
    read,
)
from mfcourse.experiments.ledger import Ledger, LedgerError
from mfcourse.experiments.results import (
    READING,
    chosen,
    folds,
    frame,
    name_of,
    provenance,
    recorded,
    rows,
    tables,
)
from mfcourse.experiments.runner import ExperimentError, foreign, run

ERRORS = (DeclarationError, ExperimentError, LedgerError)  # told in a sentence each

__all__ = [
    "ERRORS",
    "READING",
    "DeclarationError",
    "Entry",
    "Experiment",
    "ExperimentError",
    "Ledger",
    "LedgerError",
    "chosen",
    "folds",
    "foreign",
    "frame",
    "name_of",
    "names",
    "provenance",
    "read",
    "recorded",
    "rows",
    "run",
    "tables",
]
