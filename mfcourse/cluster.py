"""Spark on this machine or on a cluster: one address decides.

    session()                              all cores of this machine: local[*]
    session("spark://host:7077")           a cluster; the same code runs there
    with LocalCluster() as cluster:        a cluster on this machine, to practise on:
        session(cluster.url)               one master, two workers, on 127.0.0.1

There is one session a process, as Spark has it; `close` ends it, and its Java process.
Java's own words go to a log file and never into a notebook: what goes wrong is told in
one sentence, a `SparkError`.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self
from urllib.request import ProxyHandler, build_opener

CURES = {
    "Debian, Ubuntu": "apt install openjdk-17-jre-headless",
    "Fedora": "dnf install java-21-openjdk-headless",
    "macOS": "brew install --cask temurin@17",
    "Windows": "winget install EclipseAdoptium.Temurin.17.JRE",
    "conda": "conda install openjdk=17",
}
CURE = "; ".join(f"{system}: {line}" for system, line in CURES.items())
# A name that nobody else on this machine can take first.
LOG = Path(tempfile.gettempdir()) / f"mfcourse-spark-{secrets.token_hex(8)}.log"
LOOPBACK = "127.0.0.1"
LEAST = 472  # MB; Spark refuses to start with less
GROUP = "spark.jobGroup.id"


class SparkError(RuntimeError):
    """What kept Spark from its work, in one sentence, with the cure."""

    def _render_traceback_(self) -> list[str]:
        """In a notebook the sentence alone."""
        return [f"SparkError: {self}"]


def java() -> tuple[str, str]:
    """The Java that Spark will use: that of ``JAVA_HOME``, or the first on the path.

    Returns
    -------
    path, version : str

    Raises
    ------
    SparkError
        There is none, or it is older than 17.
    """
    home = os.environ.get("JAVA_HOME")
    path = shutil.which("java", path=os.path.join(home, "bin") if home else None)
    where = f" in JAVA_HOME={home}" if home else ""
    if path is None:
        raise SparkError(
            f"Spark needs Java 17 or newer, and there is none{where}. {CURE}"
        )
    try:
        done = subprocess.run(
            [path, "-version"], capture_output=True, text=True, timeout=30, check=True
        )
        version = re.findall(r'version "([^"]+)"', done.stderr + done.stdout)[0]
        old = int(re.split(r"[.\-+]", version)[0]) < 17
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        raise SparkError(
            f"{path} does not say its version; Spark needs Java 17 or newer. {CURE}"
        ) from None
    if old:
        raise SparkError(f"{path} is Java {version}; Spark needs 17 or newer. {CURE}")
    return path, version


# ---- A session -----------------------------------------------------------------------


def session(master: str | None = None, *, memory: str = "1g", wait: float = 120) -> Any:
    """Open a Spark session, quietly; one that is open on the same master is kept.

    Parameters
    ----------
    master : str, optional
        ``local[*]`` (all cores of this machine), ``local[2]``, ``spark://host:port``,
        or another URL that Spark knows. Without it ``MFCOURSE_SPARK_MASTER`` decides,
        else ``local[*]``. A session on another master is closed first.
    memory : str
        For the driver and for each executor, as "900m" or "2g". A session that is open
        keeps what it has: `close` it first.
    wait : float
        Seconds until a cluster must have given us a first executor.

    Returns
    -------
    pyspark.sql.SparkSession
        ``with session() as spark:`` closes it at the end; so does `close`.

    Raises
    ------
    SparkError
        No Java, no pyspark, nothing at that address, too little memory.
    """
    master = master or os.environ.get("MFCOURSE_SPARK_MASTER") or "local[*]"
    kept = active()
    if kept is not None and kept.sparkContext.master == master:
        return kept
    home()
    java()
    _check_master(master)
    _check_memory(memory, master)
    close()
    try:
        with _in_one_sentence(memory, OSError):
            spark = _start(master, memory)
            if not master.startswith("local"):
                _wait_for_executor(spark, memory, wait)
    except BaseException:  # Ctrl-C too
        close()
        raise
    return spark


def active() -> Any:
    """The session that is open, or None.

    Returns
    -------
    pyspark.sql.SparkSession or None
    """
    if sys.modules.get("pyspark") is None:
        return None
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    context = SparkContext._active_spark_context
    if context is None or context._jsc is None:
        return None
    from py4j.protocol import Py4JError

    try:
        stopped = context._jsc.sc().isStopped()
    except (OSError, Py4JError):  # Java has died
        stopped = True
    return None if stopped else SparkSession.builder.getOrCreate()


@contextmanager
def using(master: str | None, memory: str) -> Iterator[Any]:
    """The open session, or one that is closed again afterwards.

    Parameters
    ----------
    master : str or None
        None or "": the open one, wherever it is.
    memory : str

    Yields
    ------
    pyspark.sql.SparkSession
    """
    before = active()
    spark = before if before and not master else session(master, memory=memory)
    context, group = spark.sparkContext, secrets.token_hex(8)
    memory = context.getConf().get("spark.driver.memory", memory)
    context.setJobGroup(group, "mfcourse", interruptOnCancel=True)
    try:
        with _in_one_sentence(memory):
            yield spark
    except KeyboardInterrupt:  # which ends our waiting, but not what Spark is at
        with suppress(Exception):
            context._jsc.sc().cancelJobGroupAndFutureJobs(group)
        raise
    finally:
        with suppress(Exception):  # Java may have died
            context.setLocalProperty(GROUP, None)
        if spark is not before:
            close()


def close() -> None:
    """Close the session, if one is open, and end its Java process."""
    if sys.modules.get("pyspark") is None:
        return
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    with suppress(Exception):  # it may have died
        if (spark := active()) is not None:
            type(spark).stop(spark)
    gateway = SparkContext._gateway
    SparkContext._gateway = SparkContext._jvm = None
    # Where Java died, these could not be told.
    SparkContext._active_spark_context = SparkSession._instantiatedSession = None
    if gateway is None:
        return
    with suppress(Exception):
        gateway.shutdown()
    if (process := gateway.proc) is not None:  # else spark-submit began it, and ends it
        process.stdin.close()  # Java ends with its input
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()
    shutil.rmtree(gateway.scratch, ignore_errors=True)


@contextmanager
def bar(spark: Any, name: str, show: bool) -> Iterator[None]:
    """Show how many stages Spark has finished of those it knows so far.

    Parameters
    ----------
    spark : SparkSession
    name : str
        Stands before the bar.
    show : bool
        False: no bar.

    Yields
    ------
    None
    """
    from tqdm import tqdm  # tqdm.auto warns where ipywidgets is missing

    tracker, over = spark.sparkContext.statusTracker(), threading.Event()
    group = spark.sparkContext.getLocalProperty(GROUP)  # that `using` gave
    earlier = set(tracker.getJobIdsForGroup(group))

    def look() -> None:
        while not over.wait(0.3):
            jobs = set(tracker.getJobIdsForGroup(group)) - earlier
            told = map(tracker.getJobInfo, jobs)
            stages = [stage for job in told if job for stage in job.stageIds]
            known = [info for info in map(tracker.getStageInfo, stages) if info]
            done = sum(i.numCompletedTasks == i.numTasks for i in known)
            if (progress.n, progress.total) != (done, len(stages)):
                progress.n, progress.total = done, len(stages)
                progress.refresh()

    def watched() -> None:
        with suppress(Exception):  # Java may die meanwhile; the fit says so
            look()

    with tqdm(desc=name, unit=" stages", disable=not show) as progress:
        watch = threading.Thread(target=watched, daemon=True)
        if show:
            watch.start()
        try:
            yield
            progress.n = progress.total or 0
        finally:
            over.set()
            if show:
                watch.join()


def home() -> Path:
    """Where pyspark lies.

    Returns
    -------
    Path

    Raises
    ------
    SparkError
        It is not installed.
    """
    try:
        import pyspark
    except ModuleNotFoundError:
        raise SparkError(
            "Spark needs the extra spark: python3 course.py add spark, or pip install "
            "'pyspark>=4.2'"
        ) from None
    return Path(pyspark.__file__).parent


def _start(master: str, memory: str) -> Any:
    import psutil
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    scratch = tempfile.mkdtemp(prefix="mfcourse-spark-")  # what Java leaves lying about
    java_options = "-Xss16m"  # ALS hangs each epoch on the last: a deep stack
    settings = {
        "spark.app.name": "mfcourse",
        "spark.driver.extraJavaOptions": f"{java_options} -Djava.io.tmpdir={scratch}",
        "spark.driver.memory": memory,
        "spark.executor.extraJavaOptions": java_options,
        "spark.local.dir": scratch,
        "spark.executor.memory": memory,
        "spark.master": master,
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    here = r"local|spark://(127\.0\.0\.1|localhost|\[::1\]):"
    if re.match(here, master):  # nobody else shall listen
        settings["spark.driver.host"] = LOOPBACK
        settings["spark.driver.bindAddress"] = LOOPBACK
        # Spark's own 200 parts are for a real cluster.
        settings["spark.sql.shuffle.partitions"] = str(2 * (os.cpu_count() or 1))
    conf = SparkConf(loadDefaults=False).setAll(list(settings.items()))
    os.environ["SPARK_HOME"] = str(home())  # the Java part of this very pyspark
    try:
        with LOG.open("ab") as log:  # after what an earlier session said: see _cause
            gateway = launch_gateway(conf, {"stdout": log, "stderr": log})
    except BaseException:  # Ctrl-C too, when Java would wait for ever
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if any(scratch in part for part in child.cmdline()):
                    child.kill()
                    child.wait()
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    gateway.scratch = scratch
    atexit.register(LOG.unlink, missing_ok=True)
    atexit.register(close)  # as often as it likes: a second one does nothing
    logging.getLogger().addFilter(_is_not_py4j)
    for name in ("py4j", "SQLQueryContextLogger"):  # a page of Java for each error
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # Of the newest pandas; what we use of it is tested.
    warnings.filterwarnings("ignore", module=r"pyspark\.")
    SparkContext(conf=conf, gateway=gateway)
    spark = SparkSession.builder.getOrCreate()
    vars(spark)["stop"] = close  # also where Java has died, when its own would raise
    return spark


def _is_not_py4j(record: logging.LogRecord) -> bool:
    """Where Java has died, py4j logs each thing that it could not tell it."""
    return record.module not in ("clientserver", "java_gateway")


def _wait_for_executor(spark: Any, memory: str, wait: float) -> None:
    """Without one, the first job would wait for ever, and not say for what."""
    context = spark.sparkContext._jsc.sc()
    # The driver is one of those that have memory.
    if not _until(lambda: context.getExecutorMemoryStatus().size() > 1, wait):
        raise SparkError(
            f"{spark.sparkContext.master} has no free worker with {memory} of memory "
            f"after {wait:g} s. Ask for less, memory='{LEAST}m' at least, or start "
            "larger workers"
        )


def _check_memory(memory: str, master: str) -> None:
    import psutil

    form = re.fullmatch(r"(\d+)([mg])b?", str(memory).lower())
    if form is None:
        raise SparkError(f"memory is written '900m' or '2g'; got {memory!r}")
    size = int(form[1]) * (1 if form[2] == "m" else 1024)
    there = psutil.virtual_memory().total // 2**20
    if size < LEAST:
        raise SparkError(
            f"Spark does not start with memory={memory!r}; give it '{LEAST}m' or more"
        )
    if size > there and master.startswith("local"):
        raise SparkError(
            f"memory={memory!r} is more than this machine has, {there} MB; ask for less"
        )


def _check_master(master: str) -> None:
    """A wrong address is known at once; Spark itself would take a minute to give up."""
    form = r"local($|\[(\*|\d+)(, ?\d+)?\]$)|(spark|k8s)://.|yarn$"
    if not re.match(form, str(master)):
        raise SparkError(
            f"{master!r} is no address of a Spark master; expected local[*], local[2], "
            "spark://host:7077, yarn or k8s://…"
        )
    if not master.startswith("spark://"):
        return
    addresses = master.removeprefix("spark://").split(",")
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not re.fullmatch(r"[0-9]{1,5}", port):
            raise SparkError(f"{master!r} lacks a port; expected spark://host:7077")
        if _answers(host.strip("[]"), int(port)):
            return
    raise SparkError(
        f"nothing answers at {master}. Is the master running, and is that its port? "
        "LocalCluster() starts one on this machine"
    )


@contextmanager
def _in_one_sentence(memory: str, *more: type[Exception]) -> Iterator[None]:
    """What Spark throws, as a sentence instead of a page of Java."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    since = LOG.stat().st_size if LOG.exists() else 0
    try:
        yield
    except (Py4JError, PySparkException, ConnectionError, *more) as error:
        raise SparkError(_cause(error, memory, since)) from None


def _cause(error: Exception, memory: str, since: int = 0) -> str:
    """From the error and what Java wrote since then, not what it survived earlier."""
    text = str(error)
    with suppress(OSError):
        text += LOG.read_bytes()[since:][-20_000:].decode(errors="replace")
    if re.search("OutOfMemoryError|GC overhead|exit code 52", text):
        return (
            f"Spark ran out of memory at memory={memory!r}. Take fewer factors, or "
            "close() the session and open one with more, as in memory='4g'"
        )
    if "All masters are unresponsive" in text:
        return "what answers at that address is no Spark master of this version"
    if "StackOverflowError" in text:
        return (
            "the chain of epochs got too long for Spark; fewer of them, or a folder "
            "that all workers reach: spark.sparkContext.setCheckpointDir(…)"
        )
    if "No space left on device" in text:
        return "the disk that Spark writes to is full; set SPARK_LOCAL_DIRS to another"
    java_line = getattr(error, "java_exception", None)
    first = java_line.toString() if java_line is not None else str(error)
    first = (first.strip().splitlines() or [type(error).__name__])[0]
    first = re.sub(r"^[\w.$]+(Exception|Error): ", "", first)
    return f"Spark could not do it: {first[:300]} (all that it said: {LOG})"


def _answers(host: str, port: int) -> bool:
    # What is asked for may be no name, and no port, at all.
    wrong = OSError, ValueError, OverflowError
    with suppress(*wrong), socket.create_connection((host, port), timeout=5):
        return True
    return False


def _until(there: Callable[[], bool], seconds: float) -> bool:
    """Ask until the answer is yes; whether it was, within so many seconds."""
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


# ---- A cluster on this machine -------------------------------------------------------

# Runs a command until its input ends, which it does when this process does, however.
WATCHED: tuple[str, ...] = (
    "sh",
    "-c",
    'exec 3<&0; "$@" </dev/null 3<&- & java=$!; (read _ <&3; kill -9 0) & wait $java',
    "sh",
)
if os.name != "posix":
    WATCHED = ()


class LocalCluster:
    """A Spark cluster of one master and some workers, all on 127.0.0.1.

    Each is a Java process of its own, as on a real cluster, and ends with this one. It
    asks for no password: whoever works on this machine may send it jobs.

    Parameters
    ----------
    workers : int
    cores : int
        Of each worker.
    memory : str
        Of each worker, as "1g"; a session may ask for as much.
    port : int
        Of the master; 0 picks a free one.

    Attributes
    ----------
    url : str
        The address for `session`.

    Raises
    ------
    SparkError
        No Java, no pyspark, the port is taken, or a process ended at once.
    ValueError
        ``workers`` or ``cores`` is no number of them.
    """

    def __init__(
        self, workers: int = 2, cores: int = 1, memory: str = "1g", port: int = 0
    ) -> None:
        for name, value, least in (("workers", workers, 0), ("cores", cores, 1)):
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be at least {least}; got {value!r}")
        java()
        _check_memory(memory, "local")
        self._script = home() / "bin" / ("spark-class" + ".cmd" * (os.name == "nt"))
        port, self._page = _free_port(port), _free_port(0)
        self.url = f"spark://{LOOPBACK}:{port}"
        self._folder = Path(tempfile.mkdtemp(prefix="mfcourse-cluster-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._end = weakref.finalize(self, _end, self._processes, self._folder)
        try:
            self._run("master.Master", "--port", port, "--webui-port", self._page)
            self._wait(lambda: self.alive() is not None)
            for w in range(workers):
                self._run(
                    "worker.Worker", "--port", 0, "--webui-port", 0, "--cores", cores,
                    "--memory", memory, "-d", self._folder / str(w), self.url,
                )  # fmt: skip
            self._wait(lambda: self.alive() == workers)
        except BaseException:  # Ctrl-C too
            self.close()
            raise

    def alive(self) -> int | None:
        """How many workers the master counts as alive.

        Returns
        -------
        int or None
            None where the master does not answer.
        """
        page = f"http://{LOOPBACK}:{self._page}/json/"
        try:
            with build_opener(ProxyHandler({})).open(page, timeout=5) as reply:
                return int(json.load(reply)["aliveworkers"])
        except (OSError, ValueError, KeyError, HTTPException):
            return None

    def kill_worker(self, number: int = 0) -> None:
        """End a worker, and what runs on it, as a power cut would.

        Parameters
        ----------
        number : int
            From 0.

        Raises
        ------
        IndexError
            There is no such worker.
        """
        process = self._processes[1:][number]
        _kill(process)
        process.wait()

    def close(self) -> None:
        """End the session on this cluster, if it is open, and all processes."""
        open_one = active()
        if open_one is not None and open_one.sparkContext.master == self.url:
            close()
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, kind: str, *options: object) -> None:
        command = [self._script, f"org.apache.spark.deploy.{kind}", "--host", LOOPBACK]
        # A port that is taken is an error, not the next one; and none that is fixed,
        # so that clusters may stand side by side (the REST server's is 6066).
        spark = "-Dspark.port.maxRetries=0 -Dspark.master.rest.enabled=false"
        light = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
        settings = {
            "SPARK_HOME": str(home()),
            "SPARK_LOCAL_DIRS": str(self._folder),
            "SPARK_LOCAL_IP": LOOPBACK,
            "SPARK_DAEMON_JAVA_OPTS": f"{spark} {light}",
        }
        log = self._folder / f"{len(self._processes)}.log"
        with log.open("wb") as file:
            self._processes.append(
                subprocess.Popen(
                    [*WATCHED, *map(str, command), *map(str, options)],
                    stdin=subprocess.PIPE,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,  # Ctrl-C is for the notebook
                    env=os.environ | settings,
                )
            )

    def _wait(self, there: Callable[[], bool]) -> None:
        def ended() -> list[int]:
            running = [p.poll() is None for p in self._processes]
            return [number for number, runs in enumerate(running) if not runs]

        if not _until(lambda: there() or bool(ended()), 90) or ended():
            number, *_ = [*ended(), len(self._processes) - 1]
            log = self._folder / f"{number}.log"
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            what = "a process of it ended" if ended() else "not within 90 s"
            raise SparkError(" ".join([f"the cluster did not come up, {what}:", *last]))


def _free_port(port: int) -> int:
    """This port, if it is free; for 0, one that is."""
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError):
            raise SparkError(
                f"port {port} of {LOOPBACK} is taken or not allowed; take another, or "
                "port=0 for any that is free"
            ) from None
        return int(probe.getsockname()[1])


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()  # for what outlived it, see WATCHED
    if process.returncode is not None:  # its number may be another's by now
        return
    if sys.platform == "win32":
        process.kill()
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # with its executors


def _end(processes: list[subprocess.Popen[bytes]], folder: Path) -> None:
    """Nothing on them is worth a farewell: what a worker wrote lies in the folder."""
    for process in reversed(processes):
        _kill(process)
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)
