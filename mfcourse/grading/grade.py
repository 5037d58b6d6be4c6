"""A folder of submissions → results, one task at a time; nothing is ever graded twice.

The right answers are computed here, the student's in the sandbox, and they are compared
here. What is known is written at once, so a run that was stopped goes on.
"""

from __future__ import annotations

import builtins
import datetime
import itertools
import platform
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mfcourse.exercises.compare import difference
from mfcourse.exercises.exercise import Arguments
from mfcourse.grading import intake
from mfcourse.grading.collector import Collector, Found, Notebook
from mfcourse.grading.intake import Submission
from mfcourse.grading.key import GradingError, Key, Task
from mfcourse.grading.report import Report, write
from mfcourse.grading.results import FILE, Group, Ledger, Result
from mfcourse.grading.sandbox import Reply, Sandbox, Session

CALL, LOAD, ALL = 10.0, 10.0, 60.0  # seconds: a call, the source, a submission
ALIKE, FEW, COMMON = 0.8, 20, 1 / 3  # how much is much alike, and too little to say
GONE = {  # with the process
    "timeout": "time_limit",
    "memory": "memory_limit",
    "flood": "output_limit",
    "died": "crashed",
}
OTHER = "It gave back other numbers."
UNFIT = "It gave back no number, no array, and no list of these."

Verdict = tuple[str, str]  # status and reason


class _KeyFails(Exception):  # noqa: N818 - it is told to a person
    """The key's own solution does not answer."""


class _Stopped(Exception):  # noqa: N818 - no error
    """Ctrl-C, in another thread."""


@dataclass
class Grader:
    """All that one run stands on.

    Parameters
    ----------
    key : Key
    sandbox : Sandbox
    """

    key: Key
    sandbox: Sandbox
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)

    def grade(
        self,
        submissions: Path,
        out: Path,
        *,
        jobs: int = 1,
        resume: bool = False,
        regrade: Iterable[str] = (),
        tell: Callable[[int, int], None] = lambda done, of: None,
    ) -> Report:
        """Grade what was handed in, and write results and reports.

        Parameters
        ----------
        submissions : Path
            A folder, a zip, or one notebook.
        out : Path
            Folder of the results; made if it is not there.
        jobs : int
            Submissions at once.
        resume : bool
            Go on with the results in ``out``.
        regrade : iterable of str
            Tasks to grade again.
        tell : callable
            Hears how many tasks of how many are done.

        Returns
        -------
        Report

        Raises
        ------
        GradingError
            Something to mend, in a sentence.
        """
        again = set(regrade)
        if unknown := again - self.key.tasks.keys():
            raise GradingError(
                f"{self.key.name} has no task {', '.join(sorted(unknown))}. There are: "
                f"{', '.join(self.key.tasks)}"
            )
        if out.resolve().is_relative_to(submissions.resolve()):
            raise GradingError(f"{out} lies within {submissions}. Choose another --out")
        taken, flags = intake.read(submissions)
        jobs = max(1, min(jobs, len(taken)))
        out.mkdir(parents=True, exist_ok=True)
        header = {"assignment": self.key.name, "key": self.key.digest}
        ledger = Ledger(out / FILE, {**header, "sandbox": self.sandbox.kind})
        before = ledger.open(resume, again)
        try:
            results, notebooks = self._all(taken, before, ledger, jobs, tell)
        finally:
            ledger.close()
        report = Report(
            self.key, results, flags,
            {student: n.written for student, n in notebooks.items() if n.written},
            much_alike({student: n.prints for student, n in notebooks.items()}),
            f"Marked {self.sandbox}, Python {platform.python_version()}, NumPy "
            f"{np.__version__}.",
            datetime.date.today().isoformat(),
            self._strange(notebooks),
        )  # fmt: skip
        write(out, report)
        return report

    def _all(
        self,
        taken: list[Submission],
        before: list[Result],
        ledger: Ledger,
        jobs: int,
        tell: Callable[[int, int], None],
    ) -> tuple[list[Result], dict[str, Notebook]]:
        now = {(one.student, one.sha256) for one in taken}
        done: dict[str, dict[str, Result]] = {one.student: {} for one in taken}
        for r in before:
            task = self.key.tasks.get(r.task)
            is_known = task and task.points == r.of and r.status != "grader_error"
            if (r.student, r.sha256) in now and is_known:
                done[r.student][r.task] = r
        known = {(r.student, t): r for of in done.values() for t, r in of.items()}
        notebooks: dict[str, Notebook] = {}
        writing = threading.Lock()
        total = len(taken) * len(self.key.tasks)
        collectors: queue.SimpleQueue[Collector] = queue.SimpleQueue()

        def one(submission: Submission) -> None:
            collector = collectors.get()
            try:
                mine = done[submission.student]
                notebook, fresh = self._one(submission, mine, collector)
                kept = replace(notebook, functions={})  # the sources may be large
                notebooks[submission.student] = kept
                for result in fresh:
                    with writing:
                        ledger.append(result)
                        known[result.student, result.task] = result
                        tell(len(known), total)
            finally:
                collectors.put(collector)

        hosts = [Collector() for _ in range(jobs)]
        list(map(collectors.put, hosts))
        tell(len(known), total)
        try:
            with ThreadPoolExecutor(jobs) as pool:
                try:
                    _finish([pool.submit(one, submission) for submission in taken])
                except BaseException:
                    self._stopped.set()
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise
        finally:
            for host in hosts:
                host.close()
        return [known[pair] for pair in sorted(known)], notebooks

    def _strange(self, notebooks: dict[str, Notebook]) -> dict[str, str]:
        """Notebooks of another class: their marks stay, and a person should know."""
        says = "the notebook is of another edition ({}, not {}): another class's?"
        return {
            student: says.format(notebook.edition, self.key.edition)
            for student, notebook in notebooks.items()
            if notebook.edition not in ("", self.key.edition)
        }

    def _one(
        self, submission: Submission, done: dict[str, Result], collector: Collector
    ) -> tuple[Notebook, Iterator[Result]]:
        notebook = Notebook(submission.unreadable)
        if not submission.unreadable:
            try:
                content = submission.content()
            except (GradingError, OSError) as error:  # the disk's doing, not theirs
                return notebook, self._failed(submission, done, str(error))
            notebook = collector.read(content, self.key.tasks, self.key.written)
        return notebook, self._tasks(submission, notebook, done)

    def _failed(
        self, submission: Submission, done: dict[str, Result], why: str
    ) -> Iterator[Result]:
        who = submission.student, submission.file, submission.sha256
        for name, task in self.key.tasks.items():
            if name not in done:
                yield Result(*who, name, "grader_error", None, task.points, why)

    def _tasks(
        self, submission: Submission, notebook: Notebook, done: dict[str, Result]
    ) -> Iterator[Result]:
        left = ALL - sum(result.seconds for result in done.values())
        who = submission.student, submission.file, submission.sha256
        for name, task in self.key.tasks.items():
            if name in done:
                continue
            if notebook.unreadable:
                said = f"{notebook.unreadable[:1].upper()}{notebook.unreadable[1:]}."
                yield Result(*who, name, "unreadable", 0, task.points, said)
                continue
            found = notebook.functions[name]
            if found.status != "ok":
                yield Result(*who, name, found.status, 0, task.points)
                continue
            seed = self.key.seed(submission.student, name, submission.sha256)
            try:
                groups, spent = self._mark(task, found, seed, left)
            except (GradingError, _KeyFails, OSError) as error:
                said = f"{str(error)[:1].upper()}{str(error)[1:]}."
                yield Result(*who, name, "grader_error", None, task.points, said)
                continue
            left -= spent
            points = sum(group.points for group in groups)
            status, reason = next(
                ((g.status, g.reason) for g in groups if g.status != "ok"), ("ok", "")
            )
            yield Result(
                *who, name, status, points, task.points, reason, groups, round(spent, 2)
            )

    def _mark(
        self, task: Task, found: Found, seed: int, left: float
    ) -> tuple[tuple[Group, ...], float]:
        """Run all cases of a task; the groups, and the seconds it took."""
        cases = _cases(task, seed)
        told: dict[str, list[Verdict]] = {name: [] for name in task.groups}
        order = list(task.function.__code__.co_varnames)
        places = tuple(order.index(name) for name in task.in_place)
        with _Runs(self.sandbox, found, task.name, places, left) as runs:
            for name, case, right in cases:
                if self._stopped.is_set():
                    raise _Stopped
                told[name].append(runs.verdict(case, right))
        groups = []
        for name, verdicts in told.items():
            bad = [verdict for verdict in verdicts if verdict[0] != "ok"]
            of, n = task.groups[name][0], len(verdicts)
            status, reason = bad[0] if bad else ("ok", "")
            points = 0 if bad else of
            groups.append(Group(name, status, points, of, n - len(bad), n, reason))
        return tuple(groups), runs.spent


class _Runs:
    """The calls of one task: a process, and another after one that was lost."""

    def __init__(
        self,
        sandbox: Sandbox,
        found: Found,
        name: str,
        in_place: tuple[int, ...],
        left: float,
    ) -> None:
        self._start = lambda: sandbox.start(found.source, name, in_place)
        self._found, self._left, self.spent = found, left, 0.0
        self._session: Session | None = None
        self._lost: Verdict | None = None  # the source itself does not load

    def verdict(self, case: Arguments, right: Any) -> Verdict:
        """Call the function, and compare."""
        if self._lost:
            return self._lost
        if self.spent >= self._left:
            return "time_limit", "The time of the whole submission was used up."
        since = time.monotonic()
        try:
            if self._session is None:
                reply = self._load()
                if reply.kind != "value":
                    self._lost = self._judge(reply)
                    return self._lost
            assert self._session
            reply = self._session.call(case, min(CALL, self._left - self.spent))
            if reply.kind in GONE:
                self.__exit__()
            if reply.kind != "value":
                return self._judge(reply)
            if _same(right, reply.value):
                return "ok", ""
            return "wrong", _coarse(right, reply.value)
        finally:
            self.spent += time.monotonic() - since

    def _load(self) -> Reply:
        for attempt in range(2):
            self.__exit__()
            self._session = self._start()
            try:
                return self._session.load(min(LOAD, self._left - self.spent))
            except GradingError:  # a crowded machine may fail once
                if attempt:
                    raise
        raise AssertionError

    def _judge(self, reply: Reply) -> Verdict:
        if reply.kind in GONE:
            return GONE[reply.kind], ""
        if reply.kind == "unfit":
            return "wrong", UNFIT
        if reply.error == "MemoryError":
            return "memory_limit", ""
        name = reply.error if reply.error in _EXCEPTIONS else "an exception"
        where = ""
        if 0 < reply.line <= len(self._found.places):
            cell, line = self._found.places[reply.line - 1]
            where = f" in code cell {cell}, line {line}"
        return "crashed", f"It stopped with {name}{where}."

    def __enter__(self) -> _Runs:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._session:
            self._session.close()
        self._session = None


_EXCEPTIONS = {
    name
    for place in (builtins, np.linalg)
    for name, kind in vars(place).items()
    if isinstance(kind, type) and issubclass(kind, BaseException)
}


def much_alike(prints: dict[str, frozenset[int]]) -> list[tuple[str, str, float]]:
    """Pairs of students whose code is nearly the same, whatever the names in it.

    Runs of tokens are compared, as in S. Schleimer, D. S. Wilkerson and A. Aiken,
    "Winnowing: Local Algorithms for Document Fingerprinting", *SIGMOD* 2003, pages
    76–85, without those that a third of the class has.

    Parameters
    ----------
    prints : dict
        Student → hashes of runs of tokens.

    Returns
    -------
    list of (str, str, float)
        The share that two have in common, of all that either has; most alike first.
    """
    count = Counter(gram for grams in prints.values() for gram in grams)
    often = max(4, COMMON * len(prints))
    common = {gram for gram, n in count.items() if n > often}
    own = {student: grams - common for student, grams in prints.items()}
    own = {student: grams for student, grams in own.items() if len(grams) >= FEW}
    pairs = []
    for (a, first), (b, second) in itertools.combinations(sorted(own.items()), 2):
        share = len(first & second) / len(first | second)
        if share >= ALIKE:
            pairs.append((a, b, share))
    return sorted(pairs, key=lambda pair: (-pair[2], pair))


def _finish(futures: list[Future[None]]) -> None:
    """Wait for all; the first failure is raised at once."""
    waiting = set(futures)
    while waiting:
        ended, waiting = wait(waiting, timeout=0.5, return_when="FIRST_EXCEPTION")
        for future in ended:
            future.result()


def _cases(task: Task, seed: int) -> list[tuple[str, Arguments, Any]]:
    """Group, arguments and right answer of each case."""
    found = []
    try:
        with np.errstate(all="ignore"):
            for name, drawn in task.grouped(seed).items():
                for case in drawn:
                    outcome = task.run(task.function, case)
                    if outcome.error is not None or outcome.changed:
                        raise _KeyFails("its solution fails on a case")
                    found.append((name, case, outcome.value))
    except Exception as error:  # the key is somebody's code, too
        raise _KeyFails(f"the key of {task.name} fails: {error}") from error
    return found


def _same(expected: Any, got: Any) -> bool:
    try:
        with np.errstate(all="ignore"):
            return not difference(expected, got)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return False


def _coarse(expected: Any, got: Any) -> str:
    """What is wrong with a wrong answer, without a number of it."""
    if got is None:
        return "It gave back None (is there a return?)."
    if isinstance(expected, tuple) and isinstance(got, tuple | list):
        if len(expected) != len(got):
            return "It gave back another number of parts."
        pairs = zip(expected, got, strict=True)
        return next((_coarse(a, b) for a, b in pairs if not _same(a, b)), OTHER)
    try:
        with np.errstate(all="ignore"):
            wanted, own = np.asarray(expected, float), np.asarray(got, float)
    except (ValueError, TypeError, OverflowError):
        return "It gave back another kind of answer."
    if wanted.shape != own.shape:
        return "It gave back another shape."
    if (np.isnan(own) & ~np.isnan(wanted)).any():
        return "It gave back NaN where a number is expected."
    return OTHER
