"""What an installed mfcourse carries, and that every list of packages says the same."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
CONDA_NAMES = {"matplotlib-base": "matplotlib"}  # without its Qt


# ---- The wheel -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built without network from a copy that has folders to leave out."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("mfcourse", "data"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("tests", "instructor", "notebooks", "benchmarks", "my"):
        (source / name).mkdir()
        (source / name / "__init__.py").touch()
    target = tmp_path_factory.mktemp("wheel")
    build = "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])"
    run(source, "-c", build, str(target))
    return next(target.glob("*.whl"))


def run(folder: Path, *args: str) -> str:
    """Output of a Python that sees nothing of this checkout."""
    done = subprocess.run(
        [sys.executable, "-P", *args], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_package_and_data_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"mfcourse"}
    data = {name for name in names if name.startswith("mfcourse/data/")}
    files = ("ratings.csv.gz", "items.csv", "README.md", "LICENSE.md")
    assert data == {f"mfcourse/data/{name}" for name in files}
    files = (p for p in ROOT.glob("mfcourse/**/*") if "__pycache__" not in p.parts)
    ours = {p.relative_to(ROOT).as_posix() for p in files if p.is_file()}
    assert ours <= set(names)


def test_an_installed_mfcourse_loads_its_data_from_anywhere(wheel, tmp_path):
    place = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(place)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import mfcourse; "
        "from mfcourse import datasets as d; "
        "print(mfcourse.__file__, len(d.load()), len(d.load_items()))"
    )
    path = place / "mfcourse" / "__init__.py"
    assert run(tmp_path, "-c", code, str(place)).split() == [
        str(path), "100004", "9066"
    ]  # fmt: skip


# ---- Lists of packages ---------------------------------------------------------------


def wanted() -> list[Requirement]:
    """Each dependency of the package and of its tests."""
    groups = PROJECT["dependency-groups"]["test"]
    return [Requirement(text) for text in PROJECT["project"]["dependencies"] + groups]


def locked() -> dict[str, list[str]]:
    """Name → versions in the lock: several where they depend on the Python."""
    versions: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", LOCK, re.M):
        versions.setdefault(name, []).append(version)
    return versions


@pytest.mark.parametrize("need", wanted(), ids=str)
def test_the_lock_satisfies_each_dependency(need):
    versions = locked()[canonicalize_name(need.name)]
    assert all(need.specifier.contains(version) for version in versions)


def test_every_locked_package_is_exact_and_hashed_and_has_no_address():
    entries = re.split(r"\n(?=\w)", LOCK.strip())
    assert len(entries) > 100
    for entry in entries:
        assert re.match(r"[\w.-]+==[\w.!+]+( ; [^\\]+)? \\\n    --hash=sha256:", entry)
    assert "://" not in LOCK
    assert " @ " not in LOCK


def test_the_lock_covers_every_supported_python():
    """Markers of one name leave none of 3.11 to 3.14 without a version."""
    lines = re.findall(r"^([\w.-]+)==\S+(?: ; ([^\\\n]+?))? \\$", LOCK, re.M)
    several = {name for name, _ in lines if len(locked()[name]) > 1}
    assert "numpy" in several
    for python in ("3.11", "3.12", "3.13", "3.14"):
        env = {"python_version": python, "python_full_version": python + ".9"}
        for name in several:
            markers = [Requirement(f"{n} ; {m}").marker for n, m in lines if n == name]
            assert [m.evaluate(env) for m in markers].count(True) == 1, (name, python)


def test_environment_yml_equals_pyproject():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    lines = re.findall(r"^ +- ([^:\n#]+?)(?:  #.*)?$", text, re.M)
    assert lines.pop() == "-e ."
    listed = [Requirement(line) for line in lines]
    found = {CONDA_NAMES.get(r.name, r.name): r.specifier for r in listed}
    assert found.pop("conda-forge") == found.pop("nodefaults") == SpecifierSet()
    assert found.pop("pip") == SpecifierSet()
    assert found.pop("openjdk") == SpecifierSet(">=17"), "Java is no Python package"
    python = PROJECT["project"]["requires-python"]
    assert found.pop("python") == SpecifierSet(f"{python},<3.15")
    needs = map(Requirement, PROJECT["project"]["dependencies"])
    assert found == {need.name: need.specifier for need in needs}
