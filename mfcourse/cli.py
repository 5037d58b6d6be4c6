"""The command ``mfcourse``: one function a command, listed in ``_parser``."""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mfcourse import doctor

_COLOURS = {"ok": 32, "note": 33, "problem": 31}
_CONDITIONS = {  # the README of each data set is what binds
    "ml-latest-small-2016": "research; pass on under the same conditions",
    "ml-latest-small": "research; pass on under the same conditions",
    "lastfm-2k": "non-commercial use",
}
_MOVIELENS = "research; do not pass on"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Words after ``mfcourse``; those of the shell by default.

    Returns
    -------
    int
        Exit code: 0; 1 for a problem; 130 after Ctrl-C. A wrong word exits with 2.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a path may hold what it cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print("\nmfcourse: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # such as `mfcourse progress | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes once more
        return 141
    except ImportError as error:
        return _fail(f"{error}. Run: mfcourse doctor")
    except OSError as error:
        return _fail(f"{error}. Check the folder and its rights")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mfcourse",
        description="The tools of the course on matrix factorization.",
        epilog="mfcourse COMMAND --help shows examples.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    doctor_ = _command(
        commands,
        "doctor",
        _doctor,
        "look at Python, packages, kernel, memory, disk and data",
        "mfcourse doctor           a row a check, with a cure for each problem\n"
        "mfcourse doctor --json    the same for a program\n"
        "The exit code is 1 where there is a problem.",
    )
    doctor_.add_argument("--json", action="store_true", help="print JSON")
    data = _command(
        commands,
        "data",
        _list_data,
        "list the data sets, or fetch one",
        "mfcourse data                  which there are, and which are here\n"
        "mfcourse data fetch ml-100k    download one into the cache folder\n"
        "MFCOURSE_DATA=FOLDER mfcourse data    with another cache folder",
    )
    fetch = _command(
        data.add_subparsers(metavar="fetch"),
        "fetch",
        _fetch,
        "download a data set",
        "mfcourse data fetch ml-100k\n"
        "What is there already is checked, and not fetched again.",
    )
    fetch.add_argument("name", metavar="NAME", help="one that `mfcourse data` lists")
    _progress_commands(commands)
    _experiment_commands(commands)
    _grading_commands(commands)
    return parser


def _experiment_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    run = _command(
        commands,
        "run",
        _run,
        "run an experiment; what is done already is not done again",
        "mfcourse run --list                       which there are\n"
        "mfcourse run accuracy_ladder --quick      a small part of it, in seconds\n"
        "mfcourse run accuracy_ladder              all of it, on the embedded films\n"
        "mfcourse run accuracy_ladder --dataset ml-1m\n"
        "mfcourse run accuracy_ladder --dataset mine.csv \\\n"
        "    --columns user=who,item=what,rating=stars\n"
        "mfcourse run accuracy_ladder --models default --models 'tuned S*'\n"
        "mfcourse run accuracy_ladder --models SGD --set n_factors=16,32,64\n"
        "mfcourse run accuracy_ladder --show > mine.toml   to edit, then:\n"
        "mfcourse run mine.toml\n"
        "Ctrl-C stops it; the same command goes on.",
    )
    run.add_argument("name", metavar="NAME", nargs="?", help="or a .toml file")
    run.add_argument("--list", action="store_true", help="list the experiments")
    run.add_argument("--show", action="store_true", help="print the declaration")
    run.add_argument(
        "--jobs", metavar="N", type=int, help="trials at a time; else cores, to 4"
    )
    results = _command(
        commands,
        "results",
        _results,
        "show what an experiment brought",
        "mfcourse results accuracy_ladder               tables with intervals\n"
        "mfcourse results accuracy_ladder --recorded    of the run in the course\n"
        "mfcourse results accuracy_ladder --csv all.csv    every trial, a row each\n"
        "mfcourse results accuracy_ladder --models SGD --set n_factors=16,32,64\n"
        "Words that chose or changed models for run do the same here.",
    )
    results.add_argument("name", metavar="NAME", help="or a .toml file")
    results.add_argument("--csv", metavar="FILE", help="write every trial; - prints")
    results.add_argument("--recorded", action="store_true", help="the course's own run")
    data = "a name that `mfcourse data` lists, or a file of yours (CSV, Parquet)"
    columns = "of your file: user=…,item=…,rating=…,timestamp=…,sep=…"
    only = "a model, a pattern ('tuned*'), or default: all without a search"
    settings = "in all models that have it; several values are a grid"
    ledger = "file of results; else results/NAME.jsonl"
    for parser in (run, results):
        parser.add_argument("--dataset", metavar="NAME|PATH", help=data)
        parser.add_argument("--columns", metavar="ROLE=COLUMN,…", help=columns)
        parser.add_argument("--models", metavar="PATTERN", action="append", help=only)
        parser.add_argument(
            "--set", metavar="NAME=VALUE,…", action="append", default=[], help=settings
        )
        parser.add_argument("--quick", action="store_true", help="a fold, to try it")
        against = "whom the others are compared with, as the table names them"
        parser.add_argument("--reference", metavar="NAME", help=against)
        parser.add_argument("--ledger", metavar="FILE", help=ledger)


def _progress_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    progress = _command(
        commands,
        "progress",
        _progress,
        "show how far you are, and what to do next",
        "mfcourse progress                   XP, level, streak, a row a lesson\n"
        "mfcourse progress export me.json    all of it, for an instructor\n"
        "MFCOURSE_HOME=FOLDER mfcourse progress    kept in another folder",
    )
    more = progress.add_subparsers(metavar="export | import | reset")
    export = _command(
        more,
        "export",
        _export,
        "write your progress to one JSON file",
        "mfcourse progress export me.json\n"
        "mfcourse progress export me.json --force    replace a file that is there\n"
        "It is your own word: nobody has verified it, and the file says so.",
    )
    export.add_argument("file", metavar="FILE", help="such as me.json")
    export.add_argument("--force", action="store_true", help="replace the file")
    import_ = _command(
        more,
        "import",
        _import,
        "add the progress of another machine to that of this one",
        "mfcourse progress import me.json\nWhat is here already is not counted twice.",
    )
    import_.add_argument("file", metavar="FILE", help="an export")
    reset = _command(
        more,
        "reset",
        _reset,
        "begin anew, after writing an export",
        "mfcourse progress reset          asks first\n"
        "mfcourse progress reset --yes    does not ask, for scripts",
    )
    reset.add_argument("--yes", action="store_true", help="do not ask")


def _grading_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    assignment = _command(
        commands,
        "assignment",
        _assignments,
        "list the assignments, or make one for a class",
        "mfcourse assignment                     which there are\n"
        "mfcourse assignment new PS1 --out autumn    a folder for students, and a key",
    )
    new = _command(
        assignment.add_subparsers(metavar="new"),
        "new",
        _new_assignment,
        "make an assignment for a class",
        "mfcourse assignment new PS1 --out autumn\n"
        "    autumn/PS1 is for the students; autumn/PS1-key is yours alone\n"
        'mfcourse assignment new PS1 --secret "words of mine" --out autumn\n'
        "    the same secret draws the same variants\n"
        "mfcourse assignment new my/exam.py --out autumn    a key of your own",
    )
    new.add_argument("name", metavar="NAME", help="such as PS1, or a key's .py file")
    new.add_argument("--out", metavar="DIR", required=True, help="for both folders")
    new.add_argument("--secret", metavar="TEXT", help="else DIR's, or drawn")
    new.add_argument("--force", action="store_true", help="replace what is there")
    precheck = _command(
        commands,
        "precheck",
        _precheck,
        "show what the grader will collect from a notebook",
        "mfcourse precheck PS1.ipynb                 before you hand it in\n"
        "mfcourse precheck PS1.ipynb --show rmse     the code that will be taken\n"
        "mfcourse precheck 01_neighborhood_baseline.ipynb --key practice\n"
        "Nothing of the notebook is run. The exit code is 1 where there is a problem.",
    )
    precheck.add_argument("notebook", metavar="NB", help="a notebook")
    checks = "a file of checks, or practice; by default the one beside the notebook"
    precheck.add_argument("--key", metavar="FILE", help=checks)
    precheck.add_argument("--show", metavar="TASK", help="print what will be taken")
    grade = _command(
        commands,
        "grade",
        _grade,
        "grade a folder of submissions, in a sandbox",
        "mfcourse grade handed-in --key autumn/PS1-key --out marks\n"
        "mfcourse grade handed-in.zip --key autumn/PS1-key --out marks --jobs 4\n"
        "mfcourse grade handed-in --key autumn/PS1-key --out marks --resume\n"
        "    after Ctrl-C, after new files, or after marks in written.csv\n"
        "mfcourse grade handed-in --key autumn/PS1-key --out marks --regrade rmse\n"
        "    after the key was mended\n"
        'mfcourse grade handed-in --key practice --secret "words" --out marks\n'
        "    the exercises of the lessons\n"
        "A notebook is STUDENT__anything.ipynb. docs/grading.md says the rest.",
    )
    grade.add_argument("submissions", metavar="SUBMISSIONS", help="a folder or a zip")
    key = "folder that `assignment new` wrote; or practice, or PS1, with --secret"
    grade.add_argument("--key", metavar="KEY", required=True, help=key)
    grade.add_argument("--out", metavar="OUT", required=True, help="folder of results")
    grade.add_argument("--secret", metavar="TEXT", help="where the key has none")
    grade.add_argument("--jobs", metavar="N", type=int, help="at once; else cores")
    grade.add_argument("--resume", action="store_true", help="go on with OUT")
    again = "grade this task again, of everybody; may be given several times"
    grade.add_argument(
        "--regrade", metavar="TASK", action="append", default=[], help=again
    )
    unsafe = "run strangers' code as yourself; every report will say so"
    grade.add_argument("--unsafe-no-sandbox", action="store_true", help=unsafe)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    does: str,
    examples: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=does,
        description=f"{does[0].upper()}{does[1:]}.",
        epilog=f"examples:\n{examples}".replace("\n", "\n  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _fail(message: object) -> int:
    print(f"mfcourse: {message}", file=sys.stderr)
    return 1


def _doctor(args: argparse.Namespace) -> int:
    width = max(map(len, doctor.CHECKS))
    findings = []
    for finding in doctor.examine():
        findings.append(finding)
        if not args.json:
            state = _coloured(f"{finding.state:7}", finding.state)
            print(f"{state}  {finding.name:{width}}  {finding.found}", flush=True)
            if finding.cure:
                print(f"{'':{7 + 2 + width}}  -> {finding.cure}", flush=True)
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    return int(any(finding.state == "problem" for finding in findings))


def _coloured(text: str, state: str) -> str:
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{_COLOURS[state]}m{text}\033[0m"


def _list_data(args: argparse.Namespace) -> int:
    from mfcourse import datasets

    rows = [("NAME", "SIZE", "STATE", "CONDITIONS", "WHERE")]
    for name in datasets.names():
        size, state, where = "1 MB", "embedded", "in the package"
        if name in datasets.SOURCES:
            source, place = datasets.SOURCES[name], datasets.on_disk(name)
            size, state = source.size, "here" if place else "to fetch"
            where = str(place or source.url)
        rows.append((name, size, state, _CONDITIONS.get(name, _MOVIELENS), where))
    _print_table(rows)
    print(f"\nCache folder: {datasets.cache_folder()} (MFCOURSE_DATA names another)")
    return 0


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())


def _fetch(args: argparse.Namespace) -> int:
    from mfcourse import datasets

    if args.name == datasets.EMBEDDED:
        print(f"{args.name} is embedded: datasets.load() reads it, nothing to fetch")
        return 0
    try:
        print(datasets.fetch(args.name, progress=True))
    except datasets.DatasetError as error:
        return _fail(error)
    return 0


def _ledger(args: argparse.Namespace) -> Path:
    """Where results lie: as asked, else ``results/NAME.jsonl``, or ``NAME-quick``."""
    quick = "-quick" if args.quick else ""
    return Path(args.ledger or f"results/{Path(args.name).stem}{quick}.jsonl")


def _pairs(text: str, option: str) -> dict[str, list[str]]:
    """``a=1,2`` → a: 1, 2; ``a=x,b=y`` → a: x, b: y."""
    pairs: dict[str, list[str]] = {}
    name = ""
    for part in text.split(","):
        head, equals, tail = part.partition("=")
        name = head.strip() if equals else name
        if not name:
            raise ValueError(f"{option} expects NAME=VALUE, got {text!r}")
        pairs.setdefault(name, []).append((tail if equals else part).strip())
    return pairs


def _value(text: str) -> Any:
    """A word of the shell as TOML has it: 16, 0.5, true, else text."""
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text


def _experiment(args: argparse.Namespace) -> Any:
    """What `run` runs and `results` shows, from the same words."""
    from mfcourse import experiments

    experiment = experiments.read(args.name)
    if args.columns and not args.dataset:
        raise ValueError("--columns are those of a file: add --dataset FILE")
    if args.dataset:
        columns = _pairs(args.columns, "--columns") if args.columns else {}
        named = {role: values[-1] for role, values in columns.items()}
        experiment = experiment.on(args.dataset, named)
    if args.models:
        experiment = experiment.only(args.models)
    if args.quick:
        experiment = experiment.quickly()
    for text in args.set:
        values = _pairs(text.replace("[", "").replace("]", ""), "--set")
        experiment = experiment.with_settings(
            {name: [_value(word) for word in words] for name, words in values.items()}
        )
    return experiment


def _run(args: argparse.Namespace) -> int:
    from mfcourse import experiments
    from mfcourse.experiments import declare

    try:
        if args.list:
            told = [experiments.read(name) for name in experiments.names()]
            _print_table([("NAME", "TITLE"), *((one.name, one.title) for one in told)])
            return 0
        if not args.name:
            return _fail("run which? mfcourse run --list shows them")
        if args.show:
            print(declare.source(args.name).read_text(encoding="utf-8"), end="")
            return 0
        experiment, ledger = _experiment(args), _ledger(args)
        jobs = args.jobs if args.jobs is not None else min(os.cpu_count() or 1, 4)
        book = experiments.run(experiment, ledger, jobs=jobs, progress=True)
    except (*experiments.ERRORS, ValueError) as error:
        return _fail(error)
    except KeyboardInterrupt:
        print("\nWhat is done is kept; the same command goes on", file=sys.stderr)
        raise
    names = [declare.dataset_name(data) for data in experiment.data]
    rows = [row for row in experiments.rows(book) if row["dataset"] in names]
    new = len(book.rows) - book.opened_with
    print(f"\n{new} new of {len(book.rows)} trials in {ledger}\n")
    _print_results(experiment, rows, args.reference)
    if others := experiments.foreign(rows):
        print(
            f"\n{others} trials were made by other versions or other code than is here "
            "now. A new --ledger runs all afresh"
        )
    return 0


def _results(args: argparse.Namespace) -> int:
    from mfcourse import experiments

    try:
        name = experiments.read(args.name).name
        ledger = experiments.recorded(name) if args.recorded else _ledger(args)
        if not ledger.exists():
            command = f"mfcourse run {args.name}" + " --quick" * args.quick
            also = ""
            if experiments.recorded(name).exists():
                also = "; --recorded shows the run that comes with the course"
            return _fail(f"there is no ledger {ledger} yet. {command} makes it{also}")
        rows = experiments.rows(ledger)
        if args.dataset:
            known = sorted({row["dataset"] for row in rows})
            wanted = (args.dataset, Path(args.dataset).name)
            rows = [row for row in rows if row["dataset"] in wanted]
            if not rows:
                return _fail(f"{ledger} has only {', '.join(known)}")
            args.dataset = args.columns = None  # the rows say which it was
        experiment = _experiment(args)
    except (*experiments.ERRORS, ValueError, EOFError) as error:
        return _fail(error)
    if not args.csv:
        return _print_results(experiment, rows, args.reference)
    frame = experiments.frame(rows)
    frame.to_csv(sys.stdout if args.csv == "-" else args.csv, index=False)
    if args.csv != "-":
        print(f"{len(frame)} rows in {args.csv}")
    return 0


def _print_results(
    experiment: Any, rows: list[dict[str, Any]], reference: str | None
) -> int:
    from mfcourse import experiments

    width = shutil.get_terminal_size((200, 24)).columns
    try:
        tables = experiments.tables(experiment, rows, reference=reference)
    except ValueError as error:
        return _fail(error)
    if not tables:
        known = sorted({experiments.name_of(row) for row in rows})
        return _fail(
            f"nothing of this, as declared, has met its test yet. In the file: "
            f"{'; '.join(known) or 'nothing'}. Give the same --set and --models"
        )
    for (dataset, split), table in tables.items():
        print(f"{dataset}, {split}")
        failed = table.filter(["failed"]).dropna().to_dict().get("failed", {})
        table = table.drop(columns="failed", errors="ignore")
        print(table.round(4).to_string(na_rep="", line_width=width), end="\n\n")
        for name, reason in failed.items():
            print(f"{name} failed: {reason}\n")
    chosen = experiments.chosen(experiment, rows)
    if len(chosen):
        print("What the searches chose\n" + chosen.to_string(line_width=width) + "\n")
    print(f"{experiments.provenance(rows)}.\n{experiments.READING}")
    return 0


def _progress(args: argparse.Namespace) -> int:
    from mfcourse.learn import progress

    here = progress.summary()
    head = ("", "LESSON", "EXERCISES", "CHECK", "PREDICTED", "PLAYED", "DONE")
    rows = [
        (
            lesson.number,
            lesson.title.partition(":")[0],
            f"{lesson.exercises} of {lesson.asked}",
            f"{lesson.questions} of {progress.QUESTIONS}",
            "yes" if lesson.predicted else "-",
            "yes" if lesson.played else "-",
            "yes" if lesson.done else "-",
        )
        for lesson in here.lessons
    ]
    _print_table([head, *rows])
    gained, step = here.xp % progress.XP_LEVEL, progress.XP_LEVEL
    bar = "#" * (20 * gained // step)
    print(f"\nLevel {here.level}   [{bar:.<20}]  {here.xp} XP, ", end="")
    print(f"{step - gained} more to level {here.level + 1}")
    print(f"Streak    {here.streak} day{'' if here.streak == 1 else 's'} in a row")
    print(f"Next      {here.next}")
    print(f"Kept in   {progress.folder()} (MFCOURSE_HOME names another)")
    if not progress.recording():
        print("Nothing is recorded now: MFCOURSE_RECORD is 0")
    return _fail(said) if (said := progress.notice()) else 0


def _export(args: argparse.Namespace) -> int:
    from mfcourse.learn import progress

    if os.path.lexists(args.file) and not args.force:
        return _fail(f"{args.file} is there already. Choose another name, or --force")
    try:
        print(f"{progress.export(args.file)} events in {args.file}. {progress.WORD}")
    except progress.ProgressError as error:
        return _fail(error)
    return 0


def _import(args: argparse.Namespace) -> int:
    from mfcourse.learn import progress

    try:
        print(f"{progress.import_(args.file)} new events from {args.file}")
    except progress.ProgressError as error:
        return _fail(error)
    return 0


def _reset(args: argparse.Namespace) -> int:
    from mfcourse.learn import progress

    if not args.yes:
        if not (sys.stdin and sys.stdin.isatty()):
            return _fail("reset asks first, and nobody can answer here. Add --yes")
        print('This begins at 0 XP. Type "reset" to go on: ', end="", flush=True)
        if sys.stdin.readline().strip() != "reset":
            return _fail("nothing was changed")
    try:
        print(f"Progress is empty. What there was: {progress.reset()}")
    except progress.ProgressError as error:
        return _fail(error)
    return 0


def _assignments(args: argparse.Namespace) -> int:
    from mfcourse.grading import assignment
    from mfcourse.grading.key import GradingError

    rows = [("NAME", "POINTS", "TASKS")]
    try:
        for name in assignment.names():
            key = assignment.load(name, "any secret")
            rows.append((name, str(key.points), " ".join([*key.tasks, *key.written])))
    except GradingError as error:
        return _fail(error)
    _print_table(rows)
    return 0


def _new_assignment(args: argparse.Namespace) -> int:
    from mfcourse.grading import assignment
    from mfcourse.grading.key import GradingError

    try:
        student, own = assignment.make(
            args.name, args.secret, Path(args.out), args.force
        )
    except GradingError as error:
        return _fail(error)
    print(f"For the students: {student}")
    print(f"For you alone:    {own}   (key and secret: back it up)")
    return 0


def _precheck(args: argparse.Namespace) -> int:
    from mfcourse.grading import assignment
    from mfcourse.grading.key import GradingError

    try:
        looked = assignment.precheck(Path(args.notebook), args.key)
    except GradingError as error:
        return _fail(error)
    if args.show:
        source = {one.name: one.source for one in looked}.get(args.show)
        if not source:
            return _fail(f"nothing would be collected as {args.show}")
        print(source, end="")
        return 0
    width = max(len(one.name) for one in looked)
    for one in looked:
        state = _coloured(f"{one.state:7}", one.state)
        said = ": ".join(filter(None, [one.where, one.says]))
        print(f"{state}  {one.name:{width}}  {said}")
    return int(any(one.state == "problem" for one in looked))


def _grade(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from mfcourse.grading import assignment, sandbox
    from mfcourse.grading.grade import Grader
    from mfcourse.grading.key import GradingError

    bar = tqdm(desc="Grading", unit=" task", disable=None, dynamic_ncols=True)

    def tell(done: int, of: int) -> None:
        bar.total = of
        bar.update(done - bar.n)

    try:
        if args.jobs is not None and args.jobs < 1:
            raise GradingError(f"--jobs is {args.jobs}; expected 1 or more")
        key = assignment.load(args.key, args.secret)
        grader = Grader(key, sandbox.find(unsafe=args.unsafe_no_sandbox))
        with bar:
            report = grader.grade(
                Path(args.submissions),
                Path(args.out),
                jobs=args.jobs or os.cpu_count() or 1,
                resume=args.resume,
                regrade=args.regrade,
                tell=tell,
            )
    except GradingError as error:
        return _fail(error)
    except KeyboardInterrupt:
        print("\nThe same command with --resume goes on from here", file=sys.stderr)
        raise
    statuses = Counter(result.status for result in report.results)
    for status, count in statuses.most_common():
        print(f"{status:14} {count} task{'' if count == 1 else 's'}")
    for name, said in report.flags.items():
        print(f"{'not scored':14} {name}: {said}")
    print(f"\n{report.note}")
    print(f"{Path(args.out) / 'class.html'} shows all; grades.csv is for your platform")
    return 0
