"""Spark, on this machine and on a real cluster of one master and two workers.

Starting Java takes long, so each of the tests that start it walks through all that one
session can show. They skip, saying so, where pyspark or Java is missing.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
from IPython.core.interactiveshell import InteractiveShell

import mfcourse as mf
from mfcourse import cluster, doctor
from mfcourse.cluster import SparkError
from tests.conftest import ROOT, random_ratings


def missing() -> str:
    """Why Spark cannot run here, or nothing."""
    try:
        return (cluster.home() and cluster.java()) and ""
    except SparkError as error:
        return str(error)


needs_spark = pytest.mark.skipif(bool(missing()), reason=missing())


def rmse(model, test) -> float:
    return float(np.sqrt(((model.predict(test) - test["rating"]) ** 2).mean()))


def is_one_sentence(error) -> bool:
    """No page of Java: one line, and no other error behind it."""
    alone = error.__suppress_context__ or not error.__context__
    return "\n" not in str(error) and "\tat " not in str(error) and alone


@pytest.fixture(autouse=True)
def light_java(monkeypatch):
    """Java that compiles less: these runs end before its best code would pay."""
    options = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    monkeypatch.setenv("JDK_JAVA_OPTIONS", options)


# ---- What is wrong is said before Java starts ----------------------------------------


@pytest.mark.parametrize(
    ("master", "words"),
    [
        ("127.0.0.1:7077", "no address of a Spark master"),
        ("local[many]", "no address of a Spark master"),
        ("http://127.0.0.1:7077", "no address of a Spark master"),
        ("spark://127.0.0.1", "lacks a port"),
        ("spark://127.0.0.1:seven", "lacks a port"),
        ("spark://127.0.0.1:²", "lacks a port"),
        ("spark://a..b:7077", "nothing answers"),
        (f"spark://{'a' * 70}:99999", "nothing answers"),
        (5, "no address of a Spark master"),
    ],
)
@needs_spark
def test_a_wrong_address_is_named(master, words):
    with pytest.raises(SparkError, match=words) as info:
        cluster.session(master)
    assert str(master) in str(info.value)
    assert is_one_sentence(info.value)


@needs_spark
def test_an_address_where_nothing_answers(monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound, but nobody listens
        master = f"spark://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(SparkError, match="nothing answers at") as info:
            cluster.session(master)
        monkeypatch.setenv("MFCOURSE_SPARK_MASTER", master)
        with pytest.raises(SparkError, match=f"nothing answers at {master}"):
            mf.SparkALSModel().fit(random_ratings())
    assert "LocalCluster()" in str(info.value)
    assert is_one_sentence(info.value)


@needs_spark
@pytest.mark.parametrize(
    ("memory", "words"),
    [
        ("100m", r"does not start with memory='100m'.*'472m' or more"),
        ("much", "written '900m' or '2g'; got 'much'"),
        (1024, "written '900m' or '2g'; got 1024"),
        ("99999g", "more than this machine has"),
    ],
)
def test_memory_that_cannot_be(memory, words):
    with pytest.raises(SparkError, match=words) as info:
        cluster.session("local[1]", memory=memory)
    assert is_one_sentence(info.value)


@needs_spark
def test_a_port_that_is_taken():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SparkError, match=rf"port {port} .* is taken") as info:
            cluster.LocalCluster(port=port)
    assert is_one_sentence(info.value)


def fake_java(folder: Path, says: str) -> None:
    script = folder / "java"
    script.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    script.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="the false java is a shell script")
@pytest.mark.parametrize(
    ("says", "words"),
    [
        (None, "needs Java 17 or newer, and there is none"),
        ('openjdk version "11.0.2" 2019-01-15', "is Java 11.0.2"),
        ('java version "1.8.0_202"', "is Java 1.8.0_202"),
        ("who knows", "does not say its version"),
    ],
)
def test_without_a_java_that_is_new_enough(says, words, tmp_path, monkeypatch):
    if says:
        fake_java(tmp_path, says)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin" if says else str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(SparkError, match=words) as info:
        cluster.java()
    assert is_one_sentence(info.value)
    found = doctor.check_java()
    assert found.state == "note"
    for system in ("Debian", "Fedora", "macOS", "Windows", "conda"):
        assert f"{system}" in str(info.value)
        assert f"{system}" in found.cure


@pytest.mark.skipif(os.name != "posix", reason="the false java is a shell script")
def test_java_home_goes_before_the_path(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    fake_java(tmp_path / "bin", 'openjdk version "21.0.1" 2023-10-17')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert cluster.java() == (str(tmp_path / "bin" / "java"), "21.0.1")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    with pytest.raises(SparkError, match="none in JAVA_HOME="):
        cluster.java()


def test_in_a_notebook_the_sentence_stands_alone(capsys):
    shell = InteractiveShell()
    shell.run_cell("from mfcourse.cluster import SparkError\nraise SparkError('no.')")
    assert capsys.readouterr().out.strip() == "SparkError: no."


@needs_spark
def test_ctrl_c_while_java_starts_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(cluster, "LOG", tmp_path / "java.log")

    def stop(_):  # where Java has been started, and is waited for
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pyspark.java_gateway.os.path.isfile", stop)
        with pytest.raises(KeyboardInterrupt):
            cluster.session("local[1]", memory="600m")
    assert not java_children()
    assert os.listdir(tmp_path) == ["java.log"]
    (tmp_path / "java.log").unlink()
    (tmp_path / "java.log").mkdir()  # a log that cannot be written
    with pytest.raises(SparkError, match="could not do it") as info:
        cluster.session("local[1]", memory="600m")
    assert is_one_sentence(info.value)
    assert os.listdir(tmp_path) == ["java.log"]


@pytest.mark.skipif(os.name != "posix", reason="it is a shell that ends them")
@needs_spark
def test_a_cluster_ends_with_a_python_that_is_killed():
    program = (
        "import os, psutil; from mfcourse.cluster import LocalCluster\n"
        "here = LocalCluster(workers=0)\n"
        "print(*(p.pid for p in psutil.Process().children(recursive=True)))\n"
        "os.sys.stdout.flush(); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100
    )
    numbers = [int(number) for number in done.stdout.split()]
    assert len(numbers) >= 2

    def ended(number):
        try:
            return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    assert cluster._until(lambda: all(map(ended, numbers)), 30)


def test_a_cluster_of_nothing_is_refused():
    with pytest.raises(ValueError, match="cores must be at least 1; got 0"):
        cluster.LocalCluster(cores=0)


def test_without_pyspark_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(SparkError, match="needs the extra spark"):
        cluster.session()
    with pytest.raises(SparkError, match="needs the extra spark"):
        mf.SparkALSModel().fit(random_ratings())


def test_a_path_needs_an_open_session(tmp_path):
    with pytest.raises(SparkError, match="a session must be open"):
        mf.SparkALSModel().fit(tmp_path / "ratings.parquet")
    with pytest.raises(TypeError, match="path of a Parquet file"):
        mf.SparkALSModel().fit([1, 2, 3])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("java.lang.OutOfMemoryError: Java heap space", "ran out of memory at"),
        ("All masters are unresponsive! Giving up.", "is no Spark master"),
        ("IOException: No space left on device", "disk that Spark writes to is full"),
        ("java.io.IOException: odd\n\tat a.b.C(D.java)", "could not do it: odd"),
    ],
)
def test_what_spark_throws_becomes_a_sentence(text, words, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "LOG", tmp_path / "none.log")
    said = cluster._cause(RuntimeError(text), "700m")
    assert words in said
    assert "\n" not in said
    assert "\tat" not in said


def test_what_java_survived_earlier_is_not_the_cause_of_a_later_error(
    tmp_path, monkeypatch
):
    pytest.importorskip("pyspark")
    monkeypatch.setattr(cluster, "LOG", tmp_path / "java.log")
    lines = "INFO: on we go\njava.lang.OutOfMemoryError: Java heap space\n"
    cluster.LOG.write_text(lines)

    def fail(says=""):
        with cluster._in_one_sentence("700m"), cluster.LOG.open("a") as log:
            log.write(says)
            log.flush()
            raise ConnectionResetError("reset")

    with pytest.raises(SparkError, match="could not do it: reset"):
        fail()
    with pytest.raises(SparkError, match="ran out of memory at memory='700m'"):
        fail(lines)


# ---- On this machine -----------------------------------------------------------------


@needs_spark
def test_a_fit_on_this_machine(tmp_path, capfd, monkeypatch):
    """A frame and a path give the same model; strangers, lists, refusals."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ratings = random_ratings(40, 30, 600).sort_values(["user", "item"])
    train, test = ratings.iloc[:500], ratings.iloc[480:]  # the last users are strangers
    train.to_parquet(tmp_path / "train.parquet", index=False)
    test.to_parquet(tmp_path / "test.parquet", index=False)
    settings = {"n_factors": 3, "reg": 0.05, "n_epochs": 4, "seed": 1}
    with cluster.session("local[2]", memory="600m") as spark:
        assert cluster.session("local[2]") is spark
        here = mf.SparkALSModel(**settings).fit(train, progress=True)
        there = mf.SparkALSModel(**settings).fit(tmp_path / "train.parquet")
        check_protocol(here, train, test)
        check_objective(here, train)

        # What stays in Spark gives the same answers there.
        cold = there.cold_start(tmp_path / "test.parquet")
        pd.testing.assert_frame_equal(cold, here.cold_start(test), rtol=1e-5)
        pd.testing.assert_frame_equal(cold, there.cold_start(test))
        check_cold_start(cold, here, spark, test)
        users = np.unique(train["user"])
        for seen in (True, False):
            path = there.recommend_all(tmp_path / f"lists{seen}", 5, exclude_seen=seen)
            lists = pd.read_parquet(path).sort_values(["user", "rank"])
            wanted = here.recommend(users, 5, exclude_seen=seen)
            pd.testing.assert_frame_equal(
                lists.reset_index(drop=True), wanted, check_dtype=False, rtol=1e-5
            )
        with pytest.raises(FileExistsError, match="is there already"):
            there.recommend_all(path)
        with pytest.raises(ValueError, match="n must be a whole number"):
            there.recommend_all(tmp_path / "none", n=0)
        check_a_file_written_anew(tmp_path, monkeypatch)
        check_test_ratings(there, here, test, tmp_path)
        check_interrupt(there, spark, tmp_path)
        with pytest.raises(mf.NotSupported, match="still in Spark"):
            there.predict(test)
        with pytest.raises(mf.NotSupported, match="not in Spark but here"):
            here.recommend_all(tmp_path / "more")
        check_refusals(spark, train, tmp_path)
        with pytest.MonkeyPatch.context() as patch:
            few = type("Memory", (), {"available": 10, "total": 2**40})
            patch.setattr(psutil, "virtual_memory", few)
            with pytest.raises(MemoryError, match="Leave them in Spark"):
                there.collect()
        assert there.collect() is there
        np.testing.assert_array_equal(there.predict(test), here.predict(test))
        pd.testing.assert_frame_equal(
            there.recommend(users), here.recommend(users), check_dtype=False
        )
        again = mf.SparkALSModel.load(there.save(tmp_path / "model"))
        np.testing.assert_array_equal(again.predict(test), here.predict(test))
        check_implicit(train)
        lost = mf.SparkALSModel(**settings).fit(spark.createDataFrame(train))

        # Memory that is not enough ends in a sentence, and Java may have died of it.
        with pytest.raises(SparkError, match="ran out of memory at") as info:  # noqa: SIM117
            with cluster.using("", "600m"):
                spark.range(10**8).selectExpr("collect_list(id)").collect()
        assert is_one_sentence(info.value)
    cluster.close()
    assert cluster.active() is None
    with pytest.raises(mf.NotFittedError, match="session that was closed"):
        lost.cold_start(test)
    lost.in_spark_.release()  # as a fit in the next session does: nothing to do
    assert not java_children()
    assert not list(tmp_path.glob("mfcourse-spark-*/"))
    assert not list(tmp_path.glob(".*.part"))
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("\rSpark ALS:")  # the bar, and nothing of Java's
    assert "WARN" not in said.err
    assert "Exception" not in said.err


def java_children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "java" in child.name() and child.status() != psutil.STATUS_ZOMBIE
    ]


def check_protocol(model, train, test):
    """What tests/test_contract.py asks of every model, as far as one fit shows it."""
    assert isinstance(model.history_, pd.DataFrame)
    told = model.predict(test)
    assert np.isfinite(told).all()
    strangers = ~test["user"].isin(train["user"]).to_numpy()
    assert strangers.any()
    np.testing.assert_array_equal(told[strangers], model.global_mean_)
    one = [model.predict(test.iloc[[p]])[0] for p in range(len(test))]
    np.testing.assert_allclose(one, told, rtol=0, atol=1e-12)
    user = train["user"].iloc[0]
    lists = model.recommend(user)
    assert not set(lists["item"]) & set(train.loc[train["user"] == user, "item"])
    assert lists["score"].is_monotonic_decreasing
    with pytest.raises(KeyError, match="fold_in"):
        model.recommend("nobody")
    # A row is the solution of its system: folding the user in again finds it.
    rated = train.loc[train["user"] == user, ["item", "rating"]]
    bias, row = model.fold_in_user(rated)
    assert bias == 0
    np.testing.assert_allclose(
        row, model.user_factors_[model.train_.users.code(user, "", "")], atol=1e-4
    )


def check_objective(model, train):
    """Spark's λ is ours: both reach the same objective, from different starts."""
    ours = mf.ALSModel(n_factors=3, reg=0.05, n_epochs=200, center="none").fit(train)
    more = mf.SparkALSModel(n_factors=3, reg=0.05, n_epochs=7).fit(train)
    best = ours.history_["objective"].iloc[-1]
    assert more.history_["objective"].iloc[-1] == pytest.approx(best, rel=0.02)
    assert model.history_["objective"].iloc[-1] > 0.98 * best


def check_cold_start(cold, model, spark, test):
    """Rows and RMSE as Spark itself has them under its two strategies."""
    from pyspark.ml.evaluation import RegressionEvaluator
    from pyspark.ml.recommendation import ALS

    assert cold["cold_start"].tolist() == ["nan", "drop", "mean"]
    strangers = (~test["user"].isin(model.train_.users.ids)).sum()
    assert cold["n_dropped"].tolist() == [0, strangers, 0]
    assert np.isnan(cold["rmse"][0])
    assert cold["rmse"][2] == pytest.approx(rmse(model, test))
    train = model.train_
    frame = pd.DataFrame(
        {
            "user": train.users.ids[train.user_code],
            "item": train.items.ids[train.item_code],
            "rating": train.rating,
        }
    )
    als = ALS(
        userCol="user", itemCol="item", coldStartStrategy="drop", rank=1, maxIter=1
    )
    told = als.fit(spark.createDataFrame(frame)).transform(spark.createDataFrame(test))
    assert told.count() == cold["n_scored"][1]
    score = RegressionEvaluator(labelCol="rating").evaluate(told)
    assert np.isfinite(score)


def check_refusals(spark, train, folder):
    model = mf.SparkALSModel(n_factors=2, n_epochs=1)
    with pytest.raises(FileNotFoundError, match="expected Parquet"):
        model.fit(folder / "nowhere.parquet")
    with pytest.raises(ValueError, match=r"must be numbers; .* 'rating' is string"):
        model.fit(spark.createDataFrame(train.astype({"rating": str})))
    with pytest.raises(ValueError, match="there are no ratings"):
        model.fit(spark.createDataFrame(train).where("false"))
    odd = train.astype({"user": float})
    odd.loc[odd.index[0], "user"] = np.nan
    with pytest.raises(ValueError, match="1 of 500 rows have a value that is missing"):
        model.fit(spark.createDataFrame(odd))
    with pytest.raises(ValueError, match="no column 'rating'"):
        model.fit(spark.createDataFrame(train[["user", "item"]]))
    with pytest.raises(ValueError, match=r"1 row\(s\) repeat a pair"):
        model.fit(spark.createDataFrame(pd.concat([train, train[:1]])))
    gap = train.assign(rating=train["rating"].where(train.index != train.index[3]))
    with pytest.raises(ValueError, match="1 of 500 rows have a value that is missing"):
        model.fit(spark.createDataFrame(gap))
    with pytest.raises(ValueError, match="counts must be above 0; the least is -1"):
        mf.SparkALSModel(implicit=True).fit(
            spark.createDataFrame(train.assign(rating=train["rating"] - 1.5))
        )
    (folder / "text.parquet").write_text("no Parquet at all")
    with pytest.raises(SparkError, match="could not do it") as info:
        model.fit(folder / "text.parquet")
    assert is_one_sentence(info.value)
    assert not hasattr(model, "train_")


def check_a_file_written_anew(folder, monkeypatch):
    """Spark's cache knows a file by its path: it must not answer for the old one."""
    monkeypatch.chdir(folder)  # Java was started elsewhere
    path, before, after = "again.parquet", random_ratings(20), random_ratings(35)
    found = []
    for ratings in (before, after):
        ratings.to_parquet(path, index=False)
        found.append(mf.SparkALSModel(n_factors=2, n_epochs=1).fit(path))
        assert found[-1].in_spark_.ratings.count() == len(ratings)
    assert found[0].in_spark_.ratings.count() == len(before)
    lists = found[1].recommend_all("again_lists")
    users = pd.read_parquet(lists)["user"].unique()
    assert set(users) == set(after["user"])
    for model in found:
        model.in_spark_.release()


def check_test_ratings(there, here, test, folder):
    """A path is held to the rules of a frame."""
    gap = test.assign(rating=test["rating"].where(test.index != test.index[3]))
    gap.to_parquet(folder / "gap.parquet")
    other = test.assign(user="u" + test["user"].astype(str))
    other.to_parquet(folder / "other.parquet")
    for model, source in ((here, gap), (there, gap), (there, folder / "gap.parquet")):
        with pytest.raises(ValueError, match=r"missing|NaN"):
            model.cold_start(source)
    with pytest.raises(ValueError, match="user is string, and was bigint"):
        there.cold_start(folder / "other.parquet")
    with pytest.raises(mf.NotSupported, match=r"evaluate\.ranking"):
        mf.SparkALSModel(implicit=True).cold_start(test)


def check_interrupt(there, spark, folder):
    """Ctrl-C ends what Spark is at, too, and leaves no half of a folder."""
    tracker = spark.sparkContext.statusTracker()

    def press():
        if cluster._until(tracker.getActiveJobsIds, 60):
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # as IPython has
    pressing = threading.Thread(target=press)
    try:
        pressing.start()
        with pytest.raises(KeyboardInterrupt):
            there.recommend_all(folder / "stopped", 25)
    finally:
        signal.signal(signal.SIGINT, before)
    pressing.join()
    assert cluster._until(lambda: not tracker.getActiveJobsIds(), 30)
    assert not (folder / "stopped").exists()
    assert len(pd.read_parquet(there.recommend_all(folder / "stopped", 25)))


def check_implicit(train):
    """As good by the objective of ours with reg_scaling="count" as ours; each row."""
    settings = {"n_factors": 3, "reg": 0.1, "alpha": 2.0, "n_epochs": 12}
    spark = mf.SparkALSModel(implicit=True, **settings).fit(train)
    ours = mf.ImplicitALSModel(reg_scaling="count", **settings).fit(train)
    best = ours.history_["objective"].iloc[-1]
    ours.user_factors_, ours.item_factors_ = spark.user_factors_, spark.item_factors_
    assert ours._objective(ours.train_) == pytest.approx(best, rel=0.02)
    for code, (_, rated) in enumerate(train.groupby("user", sort=False)):
        _, row = spark.fold_in_user(rated[["item", "rating"]])
        np.testing.assert_allclose(row, spark.user_factors_[code], atol=1e-4)


# ---- On a cluster, with the cells of lesson 08 ---------------------------------------

LESSON = ROOT / "notebooks" / "08_production.ipynb"
CHECKS = """
import socket
import pytest
from tests.test_spark import java_children

class LocalCluster(cluster.LocalCluster):  # the lesson's, with checks before its use
    def __init__(self, **how):
        with socket.socket() as other:  # the port of Spark's REST server is taken
            try:
                other.bind(("127.0.0.1", 6066))
                other.listen()
            except OSError:
                pass  # by another
            super().__init__(**how)

    def __enter__(self):
        assert self.alive() == 2
        with pytest.raises(cluster.SparkError, match="no free worker with 3g") as info:
            cluster.session(self.url, memory="3g", wait=5)
        assert "\\n" not in str(info.value)
        spark = cluster.session(self.url)
        assert spark.sparkContext.master == self.url
        mf.SparkALSModel(n_factors=2, n_epochs=1).fit(train)
        assert cluster.active() is spark, "open before, it stays open"
        return self

    def __exit__(self, *error):
        super().__exit__(*error)
        assert not java_children()

cluster.LocalCluster = LocalCluster
"""


def spark_cells() -> list[str]:
    """The cells of the lesson that nbval skips, and those that they need, in order."""
    found = nbformat.read(LESSON, 4).cells
    tagged = [set(cell.metadata.get("tags", [])) for cell in found]
    for tags in tagged:
        assert ("spark" in tags) == ("nbval-skip" in tags)
    wanted = {"spark", "spark-setup"}
    return [c.source for c, tags in zip(found, tagged, strict=True) if wanted & tags]


@needs_spark
def test_the_spark_cells_of_lesson_08_run_as_they_stand(tmp_path, request):
    """On this machine, on two workers, with one killed: the same RMSE; and quietly.

    On fold u1 of ml-100k, so that it may be compared; on the lesson's own ratings with
    --soak, or where that is missing.
    """
    script, cells = tmp_path / "cells.py", spark_cells()
    first = next(n for n, cell in enumerate(cells) if "def by_spark" in cell)
    cells.insert(first, CHECKS)
    fold = None
    if not request.config.getoption("--soak"):
        with contextlib.suppress(pytest.skip.Exception):
            fold = u1(request.getfixturevalue("shared_datasets"))
            for name, part in zip(("train", "held_out"), fold, strict=True):
                part.to_parquet(tmp_path / name)
                read = f"{name} = pd.read_parquet({str(tmp_path / name)!r})"
                cells.insert(first, read)
    script.write_text("\n\n".join(cells))
    done = subprocess.run(
        [sys.executable, script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    found = re.findall(r"RMSE ([\d.]+) on ([\d,]+) of ([\d,]+) rows", done.stdout)
    print(found)
    assert len(found) == 3
    errors = [float(rmse) for rmse, _, _ in found]
    assert max(errors) - min(errors) < 0.001
    assert len({(scored, of) for _, scored, of in found}) == 1
    assert "workers left: 1" in done.stdout
    assert done.stdout.count("Recorded on ") == 3
    if fold is not None:
        ours, n_scored = ours_on(*fold)
        assert f"{n_scored:,}" == found[0][1]
        assert ours == pytest.approx(errors[0], abs=0.01)


def u1(datasets: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = ["user", "item", "rating", "timestamp"]
    base, test = (
        pd.read_csv(datasets / "ml-100k" / f"u1.{part}", sep="\t", names=names)
        for part in ("base", "test")
    )
    return base, test


def ours_on(train: pd.DataFrame, test: pd.DataFrame) -> tuple[float, int]:
    """RMSE of ours at the settings of the lesson, on the rows that "drop" scores."""
    known = test["item"].isin(train["item"]) & test["user"].isin(train["user"])
    model = mf.ALSModel(n_factors=50, reg=0.1, n_epochs=10, center="none").fit(train)
    return rmse(model, test[known]), int(known.sum())


def test_what_lesson_08_shows_of_spark_says_that_it_is_recorded():
    for cell in nbformat.read(LESSON, 4).cells:
        if "spark" in cell.metadata.get("tags", []):
            first = cell.outputs[0]["text"]
            assert re.match(r"Recorded on \d{4}-\d\d-\d\d, \d+ cores, pyspark ", first)
