"""What pyproject.toml cannot say: the wheel carries data/ as mfcourse/data."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

DATA = ("ratings.csv.gz", "items.csv", "README.md", "LICENSE.md")


class BuildWithData(build_py):
    """Copies the embedded ratings, which live beside the package, into the wheel."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # an editable install reads ../data
            target = Path(self.build_lib, "mfcourse", "data")
            self.mkpath(str(target))
            for name in DATA:
                self.copy_file(str(Path("data", name)), str(target / name))


setup(cmdclass={"build_py": BuildWithData})
