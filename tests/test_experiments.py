"""Experiments give what a plain loop gives, once, in spite of kills and company."""

import dataclasses
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mfcourse as mf
from mfcourse import cli, evaluate, experiments, split
from mfcourse.experiments import ledger as book
from mfcourse.experiments import runner, search
from mfcourse.experiments.ledger import Ledger
from tests.conftest import random_ratings

TIMED = ("seconds", "scoring_seconds", "peak_mb", "date")
SMALL = """
title = "Small"
metrics = ["rmse", "mae"]
reference = "biases"
clip = true
data = { path = "ratings.csv", columns = { timestamp = "timestamp" } }
split = { protocol = "kfold", n_folds = 3, seed = 1 }
search = { trials = 4, rungs = 2, keep = 2, validation = 0.2 }

[models.biases]
class = "BiasModel"

[models.ALS]
class = "ALSModel"
n_factors = [2, 3]
n_epochs = 4

[models."tuned SGD"]
class = "SGDModel"
n_factors = 3
n_epochs = 8
lr = { from = 0.005, to = 0.1, log = true }
reg = { from = 0.01, to = 0.3, log = true }
"""
LISTS = SMALL.replace('"rmse", "mae"', '"ndcg@5", "recall@10"').replace("clip", "#")


def declare(folder, text=SMALL, ratings=None):
    """The declaration with its ratings beside it; its path."""
    frame = random_ratings(n_ratings=400) if ratings is None else ratings
    folder.mkdir(exist_ok=True)
    frame.to_csv(folder / "ratings.csv", index=False)
    (folder / "small.toml").write_text(text, encoding="utf-8")
    return folder / "small.toml"


def told(ledger, but=TIMED):
    """Rows in the order of their keys, without what a clock or a machine adds."""
    rows = experiments.rows(ledger)
    rows = [{k: v for k, v in row.items() if k not in but} for row in rows]
    return sorted(rows, key=lambda row: row["key"])


@pytest.fixture(autouse=True)
def main_module_with_a_spec(monkeypatch):
    """Those of an xdist worker and of IPython have none, and spawning wants one."""
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None, raising=False)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An experiment that ran undisturbed: the declaration, and the ledger."""
    path = declare(tmp_path_factory.mktemp("small") / "a")
    return path, experiments.run(experiments.read(path), path.with_suffix(".jsonl"))


# ---- A run ---------------------------------------------------------------------------


def test_rows_hold_what_a_plain_loop_computes(small):
    frame = runner.prepare(experiments.read(small[0]).data[0])
    rows = [row for row in experiments.rows(small[1]) if row["stage"] == "test"]
    folds = list(split.kfold(frame, 3, seed=1))
    assert len(rows) == 3 * (1 + 2 + 1)
    for row in rows:
        train, test = folds[row["fold"]]
        settings = {
            **row["settings"],
            **({"seed": 0} if row["label"] != "biases" else {}),
        }
        model = getattr(mf, row["model"])(**settings).fit(train)
        low, high = frame["rating"].min(), frame["rating"].max()
        table = evaluate.ratings(model, test, clip=(low, high), n_boot=1)
        assert row["metrics"] == dict(table["value"])
        assert (row["train"], row["test"]) == (len(train), len(test))
        assert row["seconds"] > 0
        assert row["peak_mb"] > 50


def test_a_search_looks_at_validation_ratings_and_stops_where_they_say(small):
    frame = runner.prepare(experiments.read(small[0]).data[0])
    rows = experiments.rows(small[1])
    searched = [row for row in rows if row["stage"] == "search"]
    assert len(searched) == 3 * (4 + 2)
    folds = list(split.kfold(frame, 3, seed=1))
    for row in searched:
        inner, validation = split.random(folds[row["fold"]][0], test=0.2, seed=0)
        model = mf.SGDModel(**row["settings"], seed=0).fit(inner, validation=validation)
        assert row["best_epoch"] == model.best_epoch_
        assert row["metrics"]["mae"] == pytest.approx(
            evaluate.ratings(model, validation, clip=(0.5, 5), n_boot=1).value["mae"],
            abs=1e-12,
        )
    for fold in range(3):
        last = [r for r in searched if r["fold"] == fold and r["rung"] == 1]
        best = min(last, key=lambda row: row["metrics"]["rmse"])
        (test,) = (r for r in rows if r["label"] == "tuned SGD"
                   and r["fold"] == fold and r["stage"] == "test")  # fmt: skip
        epochs = {"n_epochs": best["best_epoch"]}
        assert test["settings"] == {**best["settings"], **epochs}


def test_the_same_command_again_does_nothing_and_two_jobs_change_no_digit(
    small, tmp_path, monkeypatch
):
    path, first = small
    two = experiments.run(experiments.read(path), tmp_path / "two.jsonl", jobs=2)
    assert told(two) == told(first)
    in_memory = experiments.run(experiments.read(path))
    assert told(in_memory) == told(first)
    before = (tmp_path / "two.jsonl").read_bytes()
    monkeypatch.setattr(runner, "perform", None)  # nothing is to be performed
    experiments.run(experiments.read(path), tmp_path / "two.jsonl")
    assert (tmp_path / "two.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("protocol", "again"),
    [
        ({"protocol": "kfold", "n_folds": 3, "seed": 1}, 'by_user=False'),
        ({"protocol": "random", "by_user": True, "test": 0.3, "seed": 2}, "by_user"),
        ({"protocol": "leave_last", "n": 2}, ""),
        ({"protocol": "temporal", "test": 0.3}, ""),
        ({"protocol": "newcomers", "users": 0.3, "test": 0.3, "seed": 1}, ""),
    ],
    ids=lambda value: value["protocol"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_shuffled_test_ratings_change_no_choice(protocol, again, tmp_path):
    """The leak test: what is chosen depends on the training part alone."""
    words = ", ".join(f"{k} = {json.dumps(v)}" for k, v in protocol.items())
    text = LISTS.replace('protocol = "kfold", n_folds = 3, seed = 1', words)
    if protocol["protocol"] == "kfold":
        text = text.replace('"ndcg@5", "recall@10"', '"rmse"')
    text = text.replace("n_factors = [2, 3]", "reg = { from = 0.01, to = 1.0 }")
    frame = random_ratings(n_ratings=400).astype({"rating": float})
    experiment = experiments.read(declare(tmp_path / "a", text, frame))
    before = experiments.run(experiment)
    cut = {k: v for k, v in protocol.items() if k != "protocol"}
    parts = getattr(split, protocol["protocol"])(frame, **cut)
    folds = list(parts) if protocol["protocol"] == "kfold" else [parts]
    for fold, (*_, test) in enumerate(folds):
        shuffled = frame.copy()
        mixed = np.random.default_rng(fold).permutation(test["rating"].to_numpy())
        shuffled.loc[test.index, "rating"] = mixed
        again = experiments.read(declare(tmp_path / "b", text, shuffled))
        after = experiments.run(again)

        def of_fold(ledger, stage, keep, fold=fold):
            rows = [{k: row.get(k) for k in keep} for row in experiments.rows(ledger)
                    if row["fold"] == fold and row["stage"] == stage]  # fmt: skip
            return sorted(rows, key=json.dumps)

        chosen = ("label", "settings", "number", "rung", "metrics", "best_epoch")
        searches = of_fold(before, "search", chosen)
        assert len(searches) == 4 + 4 + 2 + 2
        assert searches == of_fold(after, "search", chosen)
        settings = ("label", "settings", "number")
        assert of_fold(before, "test", settings) == of_fold(after, "test", settings)
        figures = ("label", "metrics")
        assert of_fold(before, "test", figures) != of_fold(after, "test", figures)


def test_test_ratings_beyond_the_scale_of_training_change_no_choice(tmp_path):
    """With clip = true the scale is what the training ratings show."""
    frame = random_ratings(n_ratings=400).astype({"rating": float})
    (_, test), *_ = split.kfold(frame, 3, seed=1)
    chosen = []
    for rating in (3.0, 500.0):
        frame.loc[test.index, "rating"] = rating
        experiment = experiments.read(declare(tmp_path, SMALL, frame))
        rows = experiments.rows(experiments.run(experiment.only(["tuned SGD"])))
        kept = ("settings", "metrics", "best_epoch")
        chosen.append(
            [
                {name: row.get(name) for name in kept}
                for row in rows
                if not row["fold"] and row["stage"] == "search"
            ]
        )
    assert chosen[0] == chosen[1]


def test_what_does_not_fit_the_ratings_is_a_row_that_says_so(tmp_path, capsys):
    text = SMALL.replace("n_factors = [2, 3]", "n_factors = [2, 9]\nreg = 0.0")
    path = declare(tmp_path, text)
    assert cli.main(["run", str(path), "--ledger", str(tmp_path / "x.jsonl")]) == 0
    said = capsys.readouterr().out
    assert "ALS, n_factors=9 failed: " in said
    assert "tuned SGD" in said


def test_a_setting_that_diverges_is_a_row_and_never_chosen(tmp_path):
    text = SMALL.replace("from = 0.005, to = 0.1", "from = 0.01, to = 1000.0")
    rows = experiments.rows(experiments.run(experiments.read(declare(tmp_path, text))))
    failed = [row for row in rows if "failed" in row]
    assert failed
    assert all("metrics" not in row for row in failed)
    assert {row["stage"] for row in failed} == {"search"}
    assert "lr" in failed[0]["failed"]


def test_what_cannot_run_says_where(tmp_path):
    text = SMALL.replace('protocol = "kfold", n_folds = 3, seed = 1',
                         'protocol = "leave_last"')  # fmt: skip
    text = text.replace(", columns = { timestamp", ", columns = { user")
    path = declare(tmp_path, text.replace('"timestamp" } }', '"user" } }'))
    with pytest.raises(
        experiments.ExperimentError, match=r"biases.*leave_last.*timest"
    ):
        experiments.run(experiments.read(path))
    for old, new, words in [
        ('path = "ratings.csv"', 'path = "no.csv"', "no file"),
        ('"timestamp" } }', '"time" } }', "time"),
        ("data = {", "data = { at_least = 6,", "nothing is left of ratings.csv"),
    ]:
        broken = experiments.read(declare(tmp_path, SMALL.replace(old, new)))
        with pytest.raises(experiments.ExperimentError, match=words):
            experiments.run(broken)
    with pytest.raises(experiments.ExperimentError, match="jobs is 0"):
        experiments.run(experiments.read(declare(tmp_path)), jobs=0)
    with pytest.raises(experiments.ExperimentError, match="only read"):
        experiments.run(experiments.read(declare(tmp_path)), tmp_path / "x.jsonl.gz")


def _die(trial):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_said_and_what_is_done_is_kept(
    small, tmp_path, monkeypatch
):
    monkeypatch.setattr(runner, "_work", _die)
    with pytest.raises(experiments.ExperimentError, match="fewer jobs"):
        experiments.run(experiments.read(small[0]), tmp_path / "x.jsonl", jobs=2)


@pytest.mark.parametrize("least", [1, 2, 4])
def test_preparation_leaves_who_has_enough(least, tmp_path):
    told = experiments.read(declare(tmp_path)).data[0]
    frame = runner.prepare(
        told | {"min_user_ratings": least + 3, "min_item_ratings": least, "at_least": 3,
                "binary": True}
    )  # fmt: skip
    assert set(frame["rating"]) == {1.0}
    assert frame["user"].value_counts().min() >= least + 3
    assert frame["item"].value_counts().min() >= least
    whole = runner.prepare(told)
    kept = whole[whole["rating"] >= 3]
    assert len(frame) <= len(kept) < len(whole)


def test_a_digest_is_of_ids_ratings_and_their_order(ratings):
    first = runner.digest(ratings)
    assert runner.digest(ratings.copy()) == first
    assert runner.digest(ratings.iloc[::-1]) != first
    changed = ratings.copy()
    changed.loc[5, "rating"] += 0.5
    assert runner.digest(changed) != first


# ---- The ledger ----------------------------------------------------------------------


def rows_of(n):
    return [{"key": f"k{i}", "value": "é" * i} for i in range(n)]


@given(st.integers(0, 400))
def test_a_ledger_cut_anywhere_opens_and_goes_on(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "x.jsonl"
    written = Ledger(path)
    for row in rows_of(6):
        written.append(row)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))])
    opened = Ledger(path)
    n = len(opened.rows)
    assert list(opened.rows.values()) == rows_of(6)[:n]
    for row in rows_of(8):
        opened.append(row)
    assert list(opened.rows.values()) == rows_of(8)
    assert list(Ledger(path).rows.values()) == rows_of(8)


def test_strange_lines_are_passed_over_and_the_first_row_counts(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'\n[1]\n{"a": 1}\n{"key": "a", "n": 1}\n\xff\n{"key": "a"}\n')
    assert Ledger(path).rows == {"a": {"key": "a", "n": 1}}


def test_a_file_that_is_something_else_is_left_alone(tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_text("user,item,rating\n1,2,3\n")
    words = ["run", "accuracy_ladder", "--quick", "--models", "biases"]
    assert cli.main([*words, "--ledger", str(path)]) == 1
    assert "is no ledger" in capsys.readouterr().err
    assert path.read_text() == "user,item,rating\n1,2,3\n"
    (tmp_path / "deep.jsonl").write_text("[" * 100_000 + "\n")
    assert cli.main(
        ["results", *words[1:], "--ledger", str(path.parent / "deep.jsonl")]
    )


def _write(path, start):
    ledger = Ledger(Path(path))
    for i in range(start, start + 300):
        ledger.append({"key": f"k{i}", "value": "x" * (i % 50) * 100})


def test_writers_at_one_time_leave_whole_lines_each_once(tmp_path):
    path = tmp_path / "x.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(str(path), s)) for s in (0, 150, 0)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(line["key"] for line in lines) == sorted(f"k{i}" for i in range(450))


def start(path, ledger, jobs=2):
    command = [sys.executable, "-m", "mfcourse", "run", str(path), "--jobs", str(jobs),
               "--ledger", str(ledger)]  # fmt: skip
    # A shell in the background has its children ignore Ctrl-C.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=heed,
    )


def test_kills_at_random_moments_leave_the_undisturbed_ledger(
    small, tmp_path, soak_share
):
    """Twenty with --soak; each kill hits the parent, whose workers must then end."""
    path, undisturbed = small
    ledger, chance = tmp_path / "killed.jsonl", random.Random(0)
    kills = 0
    while kills < round(20 * soak_share):
        process = start(path, ledger, jobs=chance.choice([1, 2]))
        rows = len(Ledger(ledger).rows)
        goal = rows + chance.choice([0, 1, 1, 2])
        end = time.monotonic() + chance.uniform(0, 3 if goal == rows else 60)
        while process.poll() is None and time.monotonic() < end:
            if goal > rows and len(Ledger(ledger).rows) >= goal:
                break
        if process.poll() is None:
            process.kill()
            kills += 1
        process.wait()
        if len(Ledger(ledger).rows) == len(undisturbed.rows):
            keep = random.Random(kills).randrange(len(undisturbed.rows))
            lines = ledger.read_bytes().splitlines(keepends=True)
            ledger.write_bytes(b"".join(lines[:keep]) + lines[keep][:40])
        process.communicate()  # returns only when no worker holds the pipe
    last = start(path, ledger)
    out, err = last.communicate()
    assert last.returncode == 0, err
    assert told(ledger) == told(undisturbed)
    assert b"3-fold" in out


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for another process")
def test_ctrl_c_ends_it_with_a_word_and_no_worker_left(small, tmp_path):
    ledger = tmp_path / "x.jsonl"
    process = start(small[0], ledger)
    while not Ledger(ledger).rows:
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert b"the same command goes on" in err
    assert b"Traceback" not in err
    assert 0 < len(Ledger(ledger).rows) < len(small[1].rows)


def test_two_runs_on_one_ledger_bring_one_result(small, tmp_path):
    ledger = tmp_path / "both.jsonl"
    both = [start(small[0], ledger, jobs=1) for _ in range(2)]
    for process in both:
        _, err = process.communicate()
        assert process.returncode == 0, err
    assert told(ledger) == told(small[1])
    assert len(ledger.read_text().splitlines()) == len(small[1].rows)


# ---- Results -------------------------------------------------------------------------


def test_users_come_back_to_three_digits_without_their_ids(ratings):
    train, test = split.random(ratings, test=0.3, seed=0)
    table = evaluate.per_user(mf.BiasModel().fit(train), test, "rmse")
    text = book.pack(table, "rmse", ratings)
    found = book.unpack(text, "rmse")
    users = np.sort(ratings["user"].unique())
    expected = table.reindex(users, fill_value=0)
    np.testing.assert_array_equal(found["n"], expected["n"])
    np.testing.assert_allclose(found["rmse"], expected["rmse"], rtol=5e-4)


def test_a_table_says_what_compare_says_of_one_split(tmp_path, ratings):
    text = SMALL.replace('protocol = "kfold", n_folds = 3', 'protocol = "random"')
    path = declare(tmp_path, text, ratings)
    experiment = experiments.read(path).only(["default"])
    rows = experiments.rows(experiments.run(experiment))
    (table,) = experiments.tables(experiment, rows).values()
    train, test = split.random(runner.prepare(experiment.data[0]), test=0.2, seed=1)
    models = {
        "biases": mf.BiasModel(),
        "ALS, n_factors=2": mf.ALSModel(n_factors=2, n_epochs=4),
        "ALS, n_factors=3": mf.ALSModel(n_factors=3, n_epochs=4),
    }
    fitted = {name: model.fit(train) for name, model in models.items()}
    low, high = ratings["rating"].min(), ratings["rating"].max()
    # Users are drawn in the order of their ids there, of appearance here.
    test = test.sort_values("user", kind="stable")
    expected = evaluate.compare(fitted, test, clip=(low, high), n_boot=2000)
    assert list(table.index) == list(models)
    np.testing.assert_allclose(table["rmse"], expected["value"], rtol=1e-12)
    both = ["low", "high", "difference", "diff_low", "diff_high"]
    np.testing.assert_allclose(table[both], expected[both], atol=2e-4)
    assert list(table["verdict"]) == list(expected["verdict"])


def test_over_folds_it_says_what_cross_validate_says(small):
    experiment = experiments.read(small[0])
    found = experiments.folds(experiment, experiments.rows(small[1]))
    als = mf.ALSModel(n_factors=2, n_epochs=4)
    models = {"biases": mf.BiasModel(), "ALS, n_factors=2": als}
    frame = runner.prepare(experiment.data[0])
    clip = (frame["rating"].min(), frame["rating"].max())
    expected = evaluate.cross_validate(models, frame, n_folds=3, seed=1, clip=clip)
    both = ["value", "sd", "difference", "diff_low", "diff_high"]
    np.testing.assert_allclose(found.loc[list(models), both], expected[both])


def test_a_table_is_of_the_declaration_not_of_what_ran_last(small, tmp_path):
    path, first = small
    experiment, ledger = experiments.read(path), tmp_path / "x.jsonl"
    for row in first.rows.values():
        Ledger(ledger).append(row)
    biases = dataclasses.replace(experiment.models[0], settings={"damping_user": 1.0})
    changed = dataclasses.replace(experiment, models=(biases, *experiment.models[1:]))
    experiments.run(changed, ledger)
    rows = experiments.rows(ledger)
    (before,) = experiments.tables(experiment, experiments.rows(first)).values()
    (again,) = experiments.tables(experiment, rows).values()
    pd.testing.assert_frame_equal(again, before)
    (other,) = experiments.tables(changed, rows).values()
    assert other.loc["biases", "rmse"] != before.loc["biases", "rmse"]
    assert list(other.index) == list(before.index)
    two = dataclasses.replace(experiment, metrics=("mae", "rmse"))
    assert experiments.tables(two, rows) == {}
    less = experiments.tables(experiment.only(["ALS"]), rows)
    assert [list(table.index) for table in less.values()] == [list(before.index)[1:3]]


def test_a_reference_with_a_grid_is_the_first_of_it(small):
    experiment, rows = experiments.read(small[0]), experiments.rows(small[1])
    experiment = dataclasses.replace(experiment, reference="ALS")
    (table,) = experiments.tables(experiment, rows).values()
    assert table.loc["ALS, n_factors=2", "verdict"] == "reference"
    folds = experiments.folds(experiment, rows)
    assert folds.loc["ALS, n_factors=2", "verdict"] == "reference"
    (table,) = experiments.tables(experiment, rows, reference="tuned SGD").values()
    assert table.loc["tuned SGD", "verdict"] == "reference"


def test_a_model_without_all_folds_has_no_interval(small):
    experiment = experiments.read(small[0])
    rows = experiments.rows(small[1])
    part = [r for r in rows if r["label"] != "tuned SGD" or r["fold"] > 0]
    (table,) = experiments.tables(experiment, part).values()
    assert table["folds"].tolist() == [*["3 of 3"] * 3, "2 of 3"]
    assert table["low"].notna().tolist() == [True, True, True, False]
    assert list(experiments.folds(experiment, part).index) == list(table.index)[:3]
    with pytest.raises(ValueError, match="all of two or more folds, got 0"):
        experiments.folds(experiment, [row for row in rows if row["fold"]])
    one = [row for row in rows if row["label"] == "biases"]
    (table,) = experiments.tables(experiment, one).values()
    assert "low" not in table


def test_the_frame_has_a_row_a_trial_and_a_column_a_setting(small):
    frame = experiments.frame(experiments.rows(small[1]))
    assert len(frame) == len(small[1].rows)
    assert {"label", "name", "stage", "fold", "n_factors", "reg", "rmse", "mae"} <= set(
        frame
    )
    assert set(frame["name"]) == {
        "biases", "ALS, n_factors=2", "ALS, n_factors=3", "tuned SGD"
    }  # fmt: skip


def test_what_a_search_chose_stands_beside_its_range(small):
    found = experiments.chosen(experiments.read(small[0]), experiments.rows(small[1]))
    assert set(found.index.get_level_values("model")) == {"tuned SGD"}
    found = found.droplevel(["dataset", "split", "model"])
    assert found.loc["lr", "range"] == "0.005, 0.1"
    assert found.loc["n_epochs", "range"] == "8"
    tests = [r for r in experiments.rows(small[1]) if r["number"] is not None]
    best = {r["settings"]["lr"] for r in tests if r["stage"] == "test"}
    assert found.loc["lr", "chosen"] == ", ".join(map(str, sorted(best)))


def test_epochs_that_nobody_set_are_chosen_and_shown(tmp_path):
    text = SMALL.replace("n_epochs = 8\n", "").replace("trials = 4", "trials = 1")
    experiment = experiments.read(declare(tmp_path, text)).only(["tuned SGD"])
    rows = experiments.rows(experiments.run(experiment))
    epochs = experiments.chosen(experiment, rows).xs("n_epochs", level=3)
    assert epochs["range"].tolist() == ["the model's own"]


def test_choices_need_no_ratings(tmp_path, ratings):
    text = LISTS.replace("data = {", "data = { binary = true, at_least = 4,")
    path = declare(tmp_path, text, ratings)
    liked = runner.prepare(experiments.read(path).data[0])
    assert len(liked) == (ratings["rating"] >= 4).sum()
    ratings.drop(columns="rating").to_csv(tmp_path / "ratings.csv", index=False)
    chosen = runner.prepare(experiments.read(path).data[0])
    assert len(chosen) == len(ratings)
    assert set(chosen["rating"]) == {1.0}
    explicit = experiments.read(declare(tmp_path, SMALL)).data[0]
    ratings.drop(columns="rating").to_csv(tmp_path / "ratings.csv", index=False)
    with pytest.raises(experiments.ExperimentError, match=r"rating.*--columns ROLE"):
        runner.prepare(explicit)


def test_provenance_names_days_machine_and_versions(small):
    said = experiments.provenance(experiments.rows(small[1]))
    assert f"{len(small[1].rows)} trials" in said
    assert f"numpy {np.__version__}" in said
    assert f"{os.cpu_count()} cores" in said
    assert experiments.provenance([]) == "Nothing yet"


# ---- The recorded runs ---------------------------------------------------------------


RECORDED = {name: experiments.recorded(name) for name in experiments.names()}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_ledgers_are_whole_and_of_the_declarations_that_stand(name):
    experiment, rows = experiments.read(name), experiments.rows(RECORDED[name])
    done = {row["key"]: row for row in rows}
    for dataset, data in {row["dataset"]: row["data"] for row in rows}.items():
        assert search.Plan(experiment.on(dataset), [data]).count(done) == 0


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_figures_are_those_that_the_code_gives(name):
    """The cheapest trials of four models on the embedded ratings, run again."""
    (declared, *_), rows = experiments.read(name).data, experiments.rows(RECORDED[name])
    frame, cheap = runner.prepare(declared), {}
    for row in sorted(rows, key=lambda row: row["seconds"]):
        if row["data"] == runner.digest(frame) and row["stage"] == "test":
            cheap.setdefault(row["label"], row)
    assert len(cheap) > 1
    plan = {trial.key: trial for trial in trials(experiments.read(name), rows)}
    for row in list(cheap.values())[:4]:
        again = runner.perform(plan[row["key"]], "embedded", frame)
        assert again["metrics"] == pytest.approx(row["metrics"], abs=2e-4)


def trials(experiment, rows):
    """Every trial of a test, as it was planned when the rows were not there."""
    done = {row["key"]: row for row in rows if row["stage"] == "search"}
    data = {row["dataset"]: row["data"] for row in rows}
    names = [one["name"] for one in experiment.data]
    return search.Plan(experiment, [data[name] for name in names]).ready(done)


def test_the_recorded_ladder_meets_the_published_one():
    experiment = experiments.read("accuracy_ladder")
    rows = experiments.rows(RECORDED["accuracy_ladder"])
    tables = experiments.tables(experiment, rows, n_boot=50)
    table = tables["ml-100k", "5-fold"]
    assert_near_the_published(table)
    for tuned in ("NMF", "SGD", "SVD++", "biases"):
        assert table.loc[f"tuned {tuned}", "rmse"] < table.loc[tuned, "rmse"]


def assert_near_the_published(table):
    gap = (table["rmse"] - table["published"]).abs().dropna()
    assert len(gap) == 7
    assert (gap.drop("NMF") < 0.003).all()
    assert gap["NMF"] < 0.006


def test_the_ladder_as_it_is_now_meets_the_published_one(shared_datasets):
    """All of Surprise's rows that we have, at its settings, on ml-100k, 5-fold."""
    experiment = experiments.read("accuracy_ladder").only(["default"])
    experiment = experiment.on(str(shared_datasets / "ml-100k"))
    rows = experiments.rows(experiments.run(experiment))
    (table,) = experiments.tables(experiment, rows, n_boot=50).values()
    assert_near_the_published(table)
    kept = experiments.rows(RECORDED["accuracy_ladder"])
    kept = {row["key"]: row["metrics"]["rmse"] for row in kept}
    again = {row["key"]: row["metrics"]["rmse"] for row in rows}
    assert again == pytest.approx({key: kept[key] for key in again}, abs=1e-4)


# ---- The command ---------------------------------------------------------------------


def test_run_and_results(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["run", str(small[0]), "--models", "ALS", "--set", "n_factors=2,4"]
    words += ["--set", "weighted=false", "--jobs", "1"]
    assert cli.main(words) == 0
    said = capsys.readouterr()
    assert "6 new of 6 trials in results/small.jsonl" in said.out
    assert "ratings.csv: 400 ratings, as prepared" in said.err
    assert "ALS, n_factors=2, weighted=False" in said.out
    assert "6/6" in said.err
    assert "other code" not in said.out
    ledger = Path("results/small.jsonl")
    ledger.write_text(ledger.read_text().replace('"code": "', '"code": "x', 2))
    assert cli.main(words) == 0
    assert "2 trials were made by other versions" in capsys.readouterr().out
    some_words = ["results", *words[1:-2]]
    assert cli.main(some_words) == 0
    assert "ALS, n_factors=2, weighted=False" in capsys.readouterr().out
    assert cli.main(["results", str(small[0])]) == 1
    assert "In the file: ALS, n_factors=2, weighted=False" in capsys.readouterr().err
    assert (
        cli.main([*some_words, "--reference", "ALS, n_factors=4, weighted=False"]) == 0
    )
    assert cli.main([*some_words, "--reference", "SGD"]) == 1
    assert "reference" in capsys.readouterr().err
    assert cli.main(["results", str(small[0]), "--csv", "all.csv"]) == 0
    assert len(pd.read_csv("all.csv")) == 6
    capsys.readouterr()
    assert cli.main(["results", str(small[0]), "--csv", "-"]) == 0
    assert capsys.readouterr().out == Path("all.csv").read_text()
    some = ["results", *words[1:-2], "--dataset", str(small[0].parent / "ratings.csv")]
    assert cli.main(some) == 0
    assert "n_factors=4" in capsys.readouterr().out
    assert cli.main(["results", str(small[0]), "--dataset", "other"]) == 1
    assert "has only ratings.csv" in capsys.readouterr().err


def test_other_data_by_name_or_file(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frame = random_ratings(seed=3).rename(columns={"user": "who", "item": "what"})
    frame.to_csv("mine.csv", index=False)
    words = ["run", str(small[0]), "--models", "biases", "--jobs", "1"]
    mine = ["--dataset", "mine.csv", "--columns", "user=who,item=what"]
    assert cli.main([*words, *mine]) == 0
    assert "mine.csv, 3-fold" in capsys.readouterr().out
    assert cli.main([*words, "--dataset", "mine.csv"]) == 1
    assert "'user'" in capsys.readouterr().err
    assert cli.main([*words, *mine[2:]]) == 1
    assert "add --dataset" in capsys.readouterr().err


def test_list_show_and_what_is_wrong(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in experiments.names())
    assert cli.main(["run", "accuracy_ladder", "--show"]) == 0
    shown = capsys.readouterr().out
    Path("mine.toml").write_text(shown)
    mine = experiments.read("mine.toml")
    assert dataclasses.replace(mine, name="accuracy_ladder") == experiments.read(
        "accuracy_ladder"
    )
    for words, said in [
        (["run"], "run --list shows them"),
        (["run", "none"], "there is no none"),
        (["run", "accuracy_ladder", "--set", "16"], "expects NAME=VALUE"),
        (["run", "accuracy_ladder", "--set", "rank=3"], "no rank"),
        (["run", "accuracy_ladder", "--models", "x"], "there is no x"),
        (["run", "accuracy_ladder", "--jobs", "0"], "jobs is 0"),
        (["results", "none"], "there is no none"),
        (["results", "mine.toml"], "mfcourse run mine.toml makes it"),
        (["results", "accuracy_ladder"], "--recorded shows the run"),
    ]:
        assert cli.main(words) == 1
        assert said in capsys.readouterr().err
    assert not Path("results").exists()


def test_recorded_results_are_shown(capsys):
    assert cli.main(["results", "accuracy_ladder", "--recorded"]) == 0
    said = capsys.readouterr().out
    assert "ml-100k, 5-fold" in said
    assert "published" in said
