"""Look at everything the course stands on, and name a cure for what is wrong.

Only the standard library is imported at the top: the doctor must run where the rest of
the course does not. Each check returns one `Finding`; `examine` runs them all.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module, metadata, util
from pathlib import Path
from time import perf_counter
from typing import IO

GB = 1e9
CGROUP = Path("/sys/fs/cgroup")  # what a container may use stands here


@dataclass(frozen=True)
class Finding:
    """One row of the doctor's report.

    Parameters
    ----------
    name : str
        What was looked at.
    state : {"ok", "note", "problem"}
        A problem keeps lessons from running; a note is worth knowing.
    found : str
        What is there.
    cure : str
        What to do, one line; a problem always has one.
    """

    name: str
    state: str
    found: str
    cure: str = ""


def examine() -> Iterator[Finding]:
    """Run every check.

    Yields
    ------
    Finding
        In the order of ``CHECKS``, each as soon as it is known. A check that breaks is
        a finding too.
    """
    with ThreadPoolExecutor(1) as pool:  # the kernel starts while the rest is looked at
        kernel = pool.submit(_guard, "kernel", check_kernel)
        for name, check in CHECKS.items():
            yield kernel.result() if name == "kernel" else _guard(name, check)


def _guard(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except ImportError as error:
        package = (error.name or "mfcourse").split(".")[0]
        return Finding(name, "problem", f"{error}", install(package))
    except Exception as error:  # a check must not take the others down
        found = f"could not be checked: {type(error).__name__}: {error}"
        return Finding(name, "problem", found, "report this line as an issue")


def install(*requirements: str) -> str:
    """The command that installs packages into this Python.

    Parameters
    ----------
    *requirements : str
        As pip understands them; ``mfcourse`` is the folder of this course.

    Returns
    -------
    str
        With uv where the environment was made by uv and has no pip.
    """
    tool = f'"{sys.executable}" -m pip install'
    if util.find_spec("pip") is None:
        tool = f'uv pip install --python "{sys.executable}"'
    course = f'-e "{course_folder()}"'
    return " ".join(
        [tool, *(course if r == "mfcourse" else f'"{r}"' for r in requirements)]
    )


def course_folder() -> Path:
    """Where the course lies: the checkout, or the working folder.

    Returns
    -------
    Path
    """
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "notebooks").is_dir() else Path.cwd()


def check_python() -> Finding:
    """Is this Python one that the course supports?

    Returns
    -------
    Finding
    """
    from packaging.specifiers import SpecifierSet

    version = sys.version.split()[0]
    found = f"{version} at {sys.executable}"
    needs = metadata.metadata("mfcourse")["Requires-Python"] or ""
    if SpecifierSet(needs).contains(version, prereleases=True):
        return Finding("python", "ok", found)
    cure = f"install a Python {needs} and set the course up with it"
    return Finding("python", "problem", f"{found}, but {needs} is needed", cure)


def check_packages() -> Finding:
    """Are the packages that the course asks for there, and new enough?

    Returns
    -------
    Finding
    """
    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in metadata.requires("mfcourse") or []]
    wanted = [r for r in wanted if not r.marker or r.marker.evaluate({"extra": ""})]
    wrong, cure = [], []
    for need in wanted:
        try:
            version = metadata.version(need.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
        else:
            if need.specifier.contains(version, prereleases=True):
                continue
            wrong.append(f"{need.name} is {version}, needed is {need.specifier}")
        cure.append(f"{need.name}{need.specifier}")
    if wrong:
        return Finding("packages", "problem", "; ".join(wrong), install(*cure))
    return Finding("packages", "ok", f"{len(wanted)} asked for, all there")


def check_kernel() -> Finding:
    """Start the kernel of the notebooks and let it add 1 + 1.

    Returns
    -------
    Finding
    """
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    cure = install("ipykernel").replace("install", "install --force-reinstall")
    start = perf_counter()
    with tempfile.TemporaryFile() as log:
        try:
            folder = KernelSpecManager().get_kernel_spec("python3").resource_dir
            total, prefix = _ask_kernel(log)
        except NoSuchKernel:
            return Finding("kernel", "problem", "there is no kernel python3", cure)
        except (RuntimeError, OSError) as error:  # it died, or took too long
            log.seek(0)
            last = log.read().decode("utf-8", "replace").strip().splitlines()[-1:]
            found = " ".join([f"python3 does not answer: {error}", *last])
            return Finding("kernel", "problem", found, cure)
    if total != "2":
        found = f"python3 says that 1 + 1 is {total!r}"
        return Finding("kernel", "problem", found, cure)
    if prefix != repr(sys.prefix):
        found = f"python3 starts the Python of {prefix}, not of {sys.prefix!r}"
        cure = f'delete the folder "{folder}", made for another Python'
        return Finding("kernel", "problem", found, cure)
    seconds = perf_counter() - start
    return Finding("kernel", "ok", f"python3 starts this Python, in {seconds:.1f} s")


def _ask_kernel(log: IO[bytes]) -> list[str]:
    """What a fresh kernel says of 1 + 1 and of its ``sys.prefix``."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(20, "python3", stdout=log, stderr=log)
    try:
        ask = {"sum": "1 + 1", "prefix": "sys.prefix"}
        reply = client.execute(
            "import sys", user_expressions=ask, reply=True, timeout=20
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    answers = reply["content"].get("user_expressions", {})
    return [answers.get(a, {}).get("data", {}).get("text/plain", "") for a in ask]


def usable_cores() -> int:
    """Cores this process may use: not more than a container was given.

    Returns
    -------
    int
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        cores = len(os.sched_getaffinity(0))
    try:
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return max(1, min(cores, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no container, or "max"
        return cores


def check_cores() -> Finding:
    """How many cores are there for us?

    Returns
    -------
    Finding
    """
    return Finding("cores", "ok", f"{usable_cores()} of {os.cpu_count()} usable")


def check_blas() -> Finding:
    """Which BLAS do numpy and scipy call, with how many threads?

    Returns
    -------
    Finding
        A note where threads outnumber cores: they take turns, up to 5 times slower.
    """
    for name in ("numpy", "scipy.linalg"):  # they load their BLAS
        import_module(name)
    pools = [
        pool
        for pool in import_module("threadpoolctl").threadpool_info()
        if pool["user_api"] == "blas"
    ]
    if not pools:
        return Finding("blas", "ok", "one whose threads cannot be seen")
    texts = {
        f"{p['internal_api']} {p['version']} on {p.get('architecture', 'this core')}, "
        f"{p['num_threads']} thread(s)"
        for p in pools
    }
    found, cores = "; ".join(sorted(texts)), usable_cores()
    if max(p["num_threads"] for p in pools) > cores:
        names = sorted({f"{p['internal_api'].upper()}_NUM_THREADS" for p in pools})
        cure = " and ".join(f"{n}={cores}" for n in names)
        found += f", more than the {cores} usable core(s)"
        return Finding("blas", "note", found, f"set {cure} before you start the course")
    return Finding("blas", "ok", found)


def check_numba() -> Finding:
    """Does numba compile, in parallel, and keep what it compiled?

    Returns
    -------
    Finding
    """
    import numpy as np

    numba = import_module("numba")
    if numba.config.DISABLE_JIT:
        cure = "unset NUMBA_DISABLE_JIT to have the fast engines"
        return Finding("numba", "note", "compiling is switched off", cure)
    try:

        @numba.njit(cache=True, parallel=True)
        def double(x):  # type: ignore[no-untyped-def]
            for i in numba.prange(len(x)):
                x[i] *= 2

        double(np.ones(2))
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        cure = "set NUMBA_CACHE_DIR to a folder that you may write to"
        return Finding("numba", "problem", "its cache cannot be written", cure)
    layer, threads = numba.threading_layer(), numba.get_num_threads()
    found = f"{numba.__version__}, {layer} layer, {threads} thread(s), cache writable"
    return Finding("numba", "ok", found)


def check_memory() -> Finding:
    """Is there memory for the lessons, and for the large data sets?

    Returns
    -------
    Finding
    """
    memory = import_module("psutil").virtual_memory()
    free, total = memory.available, memory.total
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        free, total = min(free, limit - used), min(total, limit)
    except (OSError, ValueError):  # no container, or "max"
        pass
    found = f"{free / GB:.1f} of {total / GB:.1f} GB free"
    if free < GB:
        cure = "close other programs and notebooks; lessons need 1 GB"
        return Finding("memory", "problem", found, cure)
    if free < 4 * GB:
        cure = "enough for the lessons; data sets from ml-20m on want 4 GB"
        return Finding("memory", "note", found, cure)
    return Finding("memory", "ok", found)


def check_cache() -> Finding:
    """Can data sets be kept in the cache folder?

    Returns
    -------
    Finding
    """
    from mfcourse import datasets

    cure = "set MFCOURSE_DATA to a folder with room that you may write to"
    return _room("cache folder", datasets.cache_folder(), cure)


def check_course() -> Finding:
    """Can notebooks be saved where the course lies?

    Returns
    -------
    Finding
    """
    cure = "free some disk space, or move the course to a folder of your own"
    return _room("course folder", course_folder(), cure)


def _room(name: str, folder: Path, cure: str) -> Finding:
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not there.is_dir():
        return Finding(name, "problem", f"{there} is no folder", cure)
    free = shutil.disk_usage(there).free
    found = f"{free / GB:.1f} GB free in {folder}"
    if not os.access(there, os.W_OK):
        return Finding(name, "problem", f"{there} cannot be written to", cure)
    if free < 0.1 * GB:
        return Finding(name, "problem", found, cure)
    return Finding(name, "note" if free < GB else "ok", found, cure * (free < GB))


def check_data() -> Finding:
    """Are the embedded ratings whole, and which further sets are there?

    Returns
    -------
    Finding
    """
    from mfcourse import datasets

    try:
        n_ratings, n_items = len(datasets.load()), len(datasets.load_items())
    except datasets.DatasetError as error:
        return Finding(
            "data", "problem", str(error), "git checkout data/, or reinstall"
        )
    further = [name for name in datasets.SOURCES if datasets.on_disk(name)]
    found = f"{n_ratings:,} ratings of {n_items:,} items embedded, hashes right; "
    return Finding(
        "data", "ok", f"{found}in the cache folder: {', '.join(further) or 'none'}"
    )


def check_java() -> Finding:
    """Is there a Java for Spark? Nothing else needs it.

    Returns
    -------
    Finding
        Never a problem.
    """
    from mfcourse import cluster

    try:
        path, version = cluster.java()
    except cluster.SparkError as error:
        found = str(error).removesuffix(cluster.CURE).rstrip(" .")
        return Finding("java", "note", f"{found}; all else works", cluster.CURE)
    if util.find_spec("pyspark") is None:
        found = f"{version} at {path}; pyspark is not there, and only Spark needs it"
        return Finding("java", "note", found, install("pyspark>=4.2"))
    return Finding("java", "ok", f"{version} at {path}")


CHECKS: dict[str, Callable[[], Finding]] = {
    "python": check_python,
    "packages": check_packages,
    "cores": check_cores,
    "blas": check_blas,
    "numba": check_numba,
    "memory": check_memory,
    "cache folder": check_cache,
    "course folder": check_course,
    "data": check_data,
    "java": check_java,
    "kernel": check_kernel,
}
