"""Ratings: embedded, downloaded, your own, or planted.

Every function gives the same frame: ``user, item, rating, timestamp`` with ids as int64
(or text), ratings as float64, and Unix seconds as int64. Where a source has no times,
the column ``timestamp`` is absent, and splits in time say so.

``load()`` needs no network. Every other data set is looked for as a folder or zip of
its name in the cache folder, then downloaded; the hash of each zip is pinned here.
"""

from __future__ import annotations

import csv
import errno
import gzip
import hashlib
import io
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import pandas as pd

GROUPLENS = "https://files.grouplens.org/datasets/"
EMBEDDED = "ml-latest-small-2016"

# Of the embedded files and of each zip; ml-32m is published with its MD5 alone.
_HASHES = """
ratings.csv.gz  sha256:9e9350645bc18338f11be635a0b33b78a4b73409d6e6f0df3ff751ce4156087b
items.csv       sha256:23860ed1aec6914b49b11dcca26c46bf0fb48b7532f9ed3829ae6ebd092719cf
ml-latest-small sha256:696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436
ml-100k         sha256:50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229
ml-1m           sha256:a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20
ml-10m          sha256:813c411ccb6122564edfe752e7f80c4dcc5aa25fa94c93622f6877a7ba252862
ml-20m          sha256:96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3
ml-25m          sha256:8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa
ml-32m          md5:d472be332d4daa821edc399621853b57
lastfm-2k       sha256:6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c
"""
_HASH = dict(line.split() for line in _HASHES.strip().splitlines())


class DatasetError(Exception):
    """A data set could not be had; the message says why, and what to do."""


@dataclass(frozen=True)
class Source:
    """Where a data set comes from, and how its files look.

    Parameters
    ----------
    name, size : str
        What people call it; how much they download.
    ratings, items : str
        Names of the two files.
    sep, item_sep : str
        Between the fields of each.
    item_columns : str
        Of the items, in order; ``_`` before those left out.
    header : bool
        The first line of both files names the columns.
    encoding : str
        Of the items.
    columns : str
        Of the ratings, in order.
    folder : str
        Inside the zip, where it is not the name.
    server_folder : str
        Below `GROUPLENS`, up to the name of the zip.
    """

    name: str
    size: str
    ratings: str = "ratings.csv"
    items: str = "movies.csv"
    sep: str = ","
    item_sep: str = ","
    item_columns: str = "item title genres"
    header: bool = True
    encoding: str = "utf8"
    columns: str = "user item rating timestamp"
    folder: str = ""
    server_folder: str = "movielens/"

    @property
    def url(self) -> str:
        """Address of the zip."""
        return f"{GROUPLENS}{self.server_folder}{self.name}.zip"

    @property
    def hash(self) -> str:
        """Hash of the zip: ``sha256:…`` or ``md5:…``."""
        return _HASH[self.name]


_GENRES_100K = (
    "unknown Action Adventure Animation Children Comedy Crime Documentary Drama "
    "Fantasy Film-Noir Horror Musical Mystery Romance Sci-Fi Thriller War Western"
)
_COLUMNS_100K = "item title _date _video _url " + _GENRES_100K
_100K = ("u.data", "u.item", "\t", "|", _COLUMNS_100K, False, "latin-1")
_DAT = ("ratings.dat", "movies.dat", "::", "::", "item title genres", False)
_LASTFM = ("user_artists.dat", "artists.dat", "\t", "\t", "item title _url _picture")
_SOURCES = [
    Source("ml-latest-small", "1 MB"),
    Source("ml-100k", "5 MB", *_100K),
    Source("ml-1m", "6 MB", *_DAT, encoding="latin-1"),
    Source("ml-10m", "66 MB", *_DAT, folder="ml-10M100K"),
    Source("ml-20m", "199 MB"),
    Source("ml-25m", "262 MB"),
    Source("ml-32m", "239 MB"),
    Source("lastfm-2k", "3 MB", *_LASTFM, columns="user item rating",
           server_folder="hetrec2011/hetrec2011-"),
]  # fmt: skip
SOURCES = {source.name: source for source in _SOURCES}


def names() -> list[str]:
    """Names that `load` knows; the first is embedded.

    Returns
    -------
    list of str
    """
    return [EMBEDDED, *SOURCES]


def load(name: str = EMBEDDED, path: str | Path | None = None) -> pd.DataFrame:
    """Ratings of a data set.

    Parameters
    ----------
    name : str
        One of `names`.
    path : path, optional
        A zip or an unpacked folder of yours, used instead of the cache.

    Returns
    -------
    DataFrame with columns ``user, item, rating``; ``timestamp`` where there are times
        lastfm-2k: ``rating`` is a number of plays, ``item`` an artist.

    Raises
    ------
    DatasetError
        The name is unknown, or the files could not be had or read.
    """
    if name == EMBEDDED and path is None:
        with gzip.open(_embedded("ratings.csv.gz")) as file:
            table = _Table(file, "ratings.csv.gz", _TYPES)
            return _frame(table.read(), table.fail)
    source = _source(name)
    columns = {column: _TYPES[column] for column in source.columns.split()}
    with _member(source, source.ratings, path) as file:
        table = _Table(file, source.ratings, columns, source.sep, source.header)
        return _frame(table.read(), table.fail)


def load_items(name: str = EMBEDDED, path: str | Path | None = None) -> pd.DataFrame:
    """Titles, years and genres of a data set's items.

    Parameters
    ----------
    name : str
        One of `names`.
    path : path, optional
        As for `load`.

    Returns
    -------
    DataFrame with columns ``item, title, year, genres``
        ``year`` is a nullable integer and not part of the title; genres are joined by
        ``|``. Artists have neither.

    Raises
    ------
    DatasetError
        As for `load`.
    """
    if name == EMBEDDED and path is None:
        items = pd.read_csv(_embedded("items.csv"), dtype={"year": "Int64"})
        return items.fillna({"genres": ""})
    source = _source(name)
    names = source.item_columns.split()
    columns = {name: "skip" if name[0] == "_" else "string" for name in names}
    columns["item"] = "int64"
    layout = (columns, source.item_sep, source.header, source.item_sep == ",")
    with _member(source, source.items, path) as file:
        table = _Table(file, source.items, *layout, source.encoding)
        items = table.read().to_pandas().assign(year=pd.NA)
    if name == "lastfm-2k":
        items["genres"] = ""
    else:  # "Toy Story (1995)"; "(V)" marks a film made for video
        pattern = r"^(.*?)\s*(?:\((\d{4})(?:[-–]\d{0,4})?\)(?: \(V\))?)?\s*$"
        items[["title", "year"]] = items["title"].str.extract(pattern).to_numpy()
    if name == "ml-100k":
        genres = np.array(_GENRES_100K.split())
        flags = items[genres].to_numpy() == "1"
        items["genres"] = ["|".join(genres[row]) for row in flags]
    items["year"] = pd.to_numeric(items["year"]).astype("Int64")
    items["genres"] = items["genres"].replace("(no genres listed)", "")
    return items[["item", "title", "year", "genres"]]


def read(
    path: str | Path,
    user: str = "user",
    item: str = "item",
    rating: str | None = "rating",
    timestamp: str | None = None,
    sep: str | None = None,
) -> pd.DataFrame:
    """Your own ratings, from CSV (also ``.gz``) or Parquet.

    Parameters
    ----------
    path : path
        A CSV file in UTF-8 with a header line, or a ``.parquet`` file.
    user, item, rating : str
        Names of the columns in your file; others are left out. Without ratings, of
        purchases or clicks, ``rating=None`` makes each row a 1.
    timestamp : str, optional
        Column of Unix seconds, or of dates as text like 2015-03-09 18:30:00 (ISO 8601;
        UTC unless they name a zone).
    sep : str, optional
        Between fields, such as ``","`` or ``"::"``; guessed from the header.

    Returns
    -------
    DataFrame with columns ``user, item, rating`` and perhaps ``timestamp``
        Ids are int64 where each is a whole number, has no leading zero and fits; they
        are text otherwise, as written but for spaces around them: 007 is not 7.

    Raises
    ------
    DatasetError
        The file is missing, a column is not there, a row cannot be read, a value is
        missing, or a (user, item) pair occurs twice; the message names the line.
    """
    import pyarrow as pa

    path = Path(path)
    if not path.is_file():
        raise DatasetError(
            f"there is no file {path}. Check the path: {path.absolute()}"
        )
    roles = {user: "user", item: "item"} | ({rating: "rating"} if rating else {})
    roles |= {timestamp: "timestamp"} if timestamp else {}
    try:
        if path.suffix in (".parquet", ".pq"):
            return _own_parquet(path, roles)
        opener: Any = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rb") as file:
            return _own_csv(file, path.name, roles, sep)
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise DatasetError(
            f"{path} cannot be read: {error}. Is it whole, and what its name says?"
        ) from error


def fetch(name: str, progress: bool = True) -> Path:
    """Download a data set into the cache folder, checked by its hash.

    Parameters
    ----------
    name : str
        One of `names`, not the embedded one.
    progress : bool
        Show a bar.

    Returns
    -------
    Path
        The zip. It is there whole or not at all.

    Raises
    ------
    DatasetError
        No network, an expired certificate, a wrong hash, a full disk …
    """
    import pooch

    source, cache = _source(name), cache_folder()
    pooch.get_logger().setLevel("WARNING")  # our own words are enough
    try:
        zip_path = pooch.retrieve(
            source.url,
            known_hash=source.hash,
            fname=f"{name}.zip",
            path=cache,
            downloader=pooch.HTTPDownloader(progressbar=progress, timeout=60),
        )
    except (ValueError, OSError) as error:  # those of requests are OSErrors
        raise DatasetError(
            f"{name} could not be fetched: {_why(error)}. Or download {source.url} in "
            f"a browser and put it at {cache / name}.zip (its hash is checked all the "
            "same). load() alone needs no network"
        ) from error
    return Path(zip_path)


def _why(error: Exception) -> str:
    """Cause and cure of a failed download."""
    import requests.exceptions as failed

    if isinstance(error, failed.SSLError):
        return "its server's certificate is not valid, perhaps expired (seen before)"
    if isinstance(error, failed.HTTPError):
        return f"its server answered {error}. Try again later"
    if isinstance(error, failed.RequestException):
        kind = type(error).__name__
        return f"no connection, or it broke off ({kind}). Check the network, try again"
    if isinstance(error, ValueError):  # pooch's, of the hash
        return (
            "what came is not the file expected, as its hash tells, and was not kept: "
            "cut short, changed, or the answer of a proxy. Try again"
        )
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    what = "the disk is full" if full else f"it cannot be written ({error})"
    return f"{what}. Make room, or set MFCOURSE_DATA to a folder that has it"


def on_disk(name: str) -> Path | None:
    """Where a further data set lies in the cache folder.

    Parameters
    ----------
    name : str
        One of `names`, not the embedded one.

    Returns
    -------
    Path or None
        The unpacked folder, else the zip, else nothing.
    """
    folder = cache_folder() / name
    archive = cache_folder() / f"{name}.zip"
    return folder if folder.is_dir() else archive if archive.exists() else None


def cache_folder() -> Path:
    """Folder of downloaded data: ``MFCOURSE_DATA``, or the user's cache folder.

    Returns
    -------
    Path
    """
    if folder := os.environ.get("MFCOURSE_DATA"):
        return Path(folder).expanduser()
    import pooch

    return Path(pooch.os_cache("mfcourse"))


# ---- Made data -----------------------------------------------------------------------

_TOY = """
          Star Rust  Moon Heist  Iron Tide  Paper Hearts  Quiet Garden
Ana               5           4          .             2             3
Ben               4           1          4             1             1
Chloe             4           3          2             4             4
Dan               5           .          4             1             .
Eve               1           .          2             5             .
Finn              .           2          .             5             4
"""


def toy() -> pd.DataFrame:
    """Six people, five films, 23 of 30 cells rated: small enough to check by eye.

    Ana, Ben and Dan like machines and space, Eve and Finn do not; Ana is generous and
    Ben harsh; Ana has not seen Iron Tide.

    Returns
    -------
    DataFrame with columns ``user, item, rating, timestamp``
        Ids are first names and titles; one rating a day from 2024-01-01.
    """
    films, *lines = _TOY.strip().splitlines()
    titles = re.split(r"\s{2,}", films.strip())
    rows = [
        (line.split()[0], title, float(cell))
        for line in lines
        for title, cell in zip(titles, line.split()[1:], strict=True)
        if cell != "."
    ]
    frame = pd.DataFrame(rows, columns=["user", "item", "rating"])
    day = np.random.default_rng(0).permutation(len(frame))
    return frame.assign(timestamp=1_704_067_200 + 86_400 * day)


def toy_items() -> pd.DataFrame:
    """The toy's films.

    Returns
    -------
    DataFrame with columns ``item, title, year, genres``
    """
    titles = ["Star Rust", "Moon Heist", "Iron Tide", "Paper Hearts", "Quiet Garden"]
    genres = ["Sci-Fi", "Crime|Sci-Fi", "Action|Sci-Fi", "Romance", "Drama|Romance"]
    frame = pd.DataFrame({"item": titles, "title": titles, "year": 2020 + np.arange(5)})
    return frame.assign(genres=genres).astype({"year": "Int64"})


@dataclass(frozen=True)
class Truth:
    """What planted ratings were made from; row u or i belongs to id u or i.

    Parameters
    ----------
    user_factors, item_factors : arrays of shape (n_users, k), (n_items, k)
    user_bias, item_bias : arrays of shape (n_users,), (n_items,)
    global_mean : float
    """

    user_factors: np.ndarray
    item_factors: np.ndarray
    user_bias: np.ndarray
    item_bias: np.ndarray
    global_mean: float

    def predict(self, pairs: pd.DataFrame) -> np.ndarray:
        """The rating without noise.

        Parameters
        ----------
        pairs : DataFrame with columns ``user, item``

        Returns
        -------
        array of shape (len(pairs),)
        """
        u, i = pairs["user"].to_numpy(), pairs["item"].to_numpy()
        product = np.empty(len(u))
        for s in range(0, len(u), 1 << 20):  # blocks: 20 million rows stay small
            at = slice(s, s + (1 << 20))
            U, V = self.user_factors[u[at]], self.item_factors[i[at]]
            product[at] = np.einsum("rk,rk->r", U, V)
        return self.global_mean + self.user_bias[u] + self.item_bias[i] + product


def planted(
    n_users: int,
    n_items: int,
    n_factors: int,
    density: float,
    noise: float = 0.0,
    seed: int = 0,
    popularity_skew: float = 0.0,
    biases: bool = False,
) -> tuple[pd.DataFrame, Truth]:
    """Ratings made from known factors: μ + b_u + b_i + U_u · V_i + noise.

    Parameters
    ----------
    n_users, n_items, n_factors : int
        m, n, k. U · V has variance about 1 whatever k.
    density : float
        Share of the m × n cells that is rated; enough for one rating per user and item.
    noise : float
        Standard deviation.
    seed : int
    popularity_skew : float
        Item of rank p is drawn with weight p^−skew; 0 is uniform, 1 is like films.
    biases : bool
        μ = 3.5 and biases of standard deviation 0.4; all 0 otherwise.

    Returns
    -------
    ratings : DataFrame with columns ``user, item, rating, timestamp``
        Ids 0 … m − 1 and 0 … n − 1, in random order; no pair twice.
    truth : Truth

    Raises
    ------
    ValueError
        A size or a share that cannot be.
    """
    for name, size in (("n_users", n_users), ("n_items", n_items)):
        if size < 1:
            raise ValueError(f"{name} must be at least 1; got {size}")
    if n_factors < 0 or noise < 0 or popularity_skew < 0:
        raise ValueError("n_factors, noise and popularity_skew must be 0 or more")
    n_ratings, least = round(density * n_users * n_items), max(n_users, n_items)
    if not least <= n_ratings <= n_users * n_items:
        raise ValueError(
            f"density must lie between {least / (n_users * n_items):.3g} (a rating for "
            f"each user and item) and 1; got {density}"
        )
    rng = np.random.default_rng(seed)
    scale = n_factors**-0.25 if n_factors else 0.0
    spread = 0.4 if biases else 0.0
    truth = Truth(
        rng.normal(0, scale, (n_users, n_factors)),
        rng.normal(0, scale, (n_items, n_factors)),
        rng.normal(0, 1, n_users) * spread,
        rng.normal(0, 1, n_items) * spread,
        3.5 if biases else 0.0,
    )
    weight = rng.permutation(np.arange(1, n_items + 1) ** -float(popularity_skew))
    pair = _draw_pairs(rng, n_users, n_items, n_ratings, weight)
    frame = pd.DataFrame({"user": pair // n_items, "item": pair % n_items})
    rating = truth.predict(frame)
    if noise:
        rating += noise * rng.normal(size=n_ratings)
    frame["rating"] = rating
    frame["timestamp"] = 1_704_067_200 + 60 * np.arange(n_ratings)
    return frame, truth


def _draw_pairs(
    rng: np.random.Generator, m: int, n: int, n_ratings: int, weight: np.ndarray
) -> np.ndarray:
    """Distinct cells u·n + i, every user and item among them, in random order."""
    size = max(m, n)
    pair = np.arange(size) % m * n + rng.permutation(size) % n
    if m * n < max(4 * n_ratings, 1 << 22):
        # small or dense: weighted draw without replacement, exactly
        key = rng.exponential(size=(m, n))
        key /= weight
        key.flat[pair] = -1.0  # the lowest keys win
        return rng.permutation(np.argpartition(key, n_ratings - 1, None)[:n_ratings])
    while len(pair) < n_ratings:  # draw, drop what is there already, repeat
        more = int(1.2 * (n_ratings - len(pair))) + 10
        free = m - np.bincount(pair % n, minlength=n)
        edge = np.cumsum(weight * free)  # a full item is drawn no more
        i = np.searchsorted(edge, rng.random(more) * edge[-1], side="right")
        drawn = rng.integers(0, m, more) * n + np.minimum(i, n - 1)
        pair = pd.unique(np.concatenate([pair, drawn]))[:n_ratings]
    return rng.permutation(pair)


# ---- Files ---------------------------------------------------------------------------

_TYPES = {
    "user": "int64",
    "item": "int64",
    "rating": "float64",
    "timestamp": "int64",
}


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise DatasetError(
            f"there is no data set {name!r} to download or to read from a path; there "
            f"are {list(SOURCES)}. load() alone has {EMBEDDED}, read(path) your own"
        )
    return SOURCES[name]


def _embedded(file: str) -> io.BytesIO:
    """A file of the embedded edition, checked by its hash."""
    here = Path(__file__).resolve().parent  # in a wheel, or in a checkout
    paths = [folder / "data" / file for folder in (here, here.parent)]
    content = next((path.read_bytes() for path in paths if path.is_file()), b"")
    if _digest(io.BytesIO(content), _HASH[file]) != _HASH[file]:
        raise DatasetError(
            f"the embedded file {file} is missing or changed (SHA-256 differs). "
            f"Restore it: git checkout data/{file}, or install the course again"
        )
    return io.BytesIO(content)


def _digest(file: Any, like: str) -> str:
    """Hash of a file, written as ``like`` is: ``sha256:…`` or ``md5:…``."""
    kind = like.split(":")[0]
    return f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}"


def _member(source: Source, file: str, path: str | Path | None) -> IO[bytes]:
    """One file of a data set, from a folder or a checked zip."""
    place = on_disk(source.name) or fetch(source.name) if path is None else Path(path)
    if not place.exists():
        raise DatasetError(f"there is nothing at {place}. Check the path")
    root: Any = place
    if not place.is_dir():
        with place.open("rb") as whole:
            got = _digest(whole, source.hash)
        if got != source.hash:
            cause = "another edition" if zipfile.is_zipfile(place) else "no whole zip"
            raise DatasetError(
                f"{place} is not the {source.name} expected ({got[:19]}…, expected "
                f"{source.hash[:19]}…): probably {cause}. Delete it and try again; to "
                "use it all the same, unpack it: load(name, path=folder)"
            )
        root = zipfile.Path(place)
    paths = [root / file, root / (source.folder or source.name) / file]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise DatasetError(
            f"{place} has no {file}, which {source.name} needs; found "
            f"{sorted(path.name for path in root.iterdir())[:12]}. Is it another data "
            "set? Download or unpack the zip again"
        )
    return found.open("rb")


# What a field of each type looks like, to find the first that does not.
_FIELDS = {
    "int64": (r"\s*-?[0-9]{1,18}\s*", "a whole number"),
    "float64": (r"\s*[-+]?([0-9]+\.?|[0-9]*\.[0-9]+)([eE][-+]?[0-9]+)?\s*", "a number"),
    "string": ("[^\udc80-\udcff]*", "UTF-8 text"),
}


@dataclass
class _Table:
    """A text table: pyarrow reads it, and where a row is bad, csv finds its line.

    ``columns`` maps names to pyarrow's types; "infer" asks it, "skip" leaves one out.
    """

    file: Any
    where: str
    columns: dict[str, str]
    sep: str = ","
    header: bool = True
    quoted: bool = False
    encoding: str = "utf8"

    def read(self) -> Any:
        """The pyarrow table."""
        import pyarrow as pa
        from pyarrow import csv as pacsv

        if len(self.sep.encode()) > 1:  # pyarrow splits at one byte: take a rare one
            content = self.file.read().replace(self.sep.encode(), b"\x1f")
            self.file, self.sep = io.BytesIO(content), "\x1f"
        kinds = {name: kind for name, kind in self.columns.items() if kind in _FIELDS}
        reading = pacsv.ReadOptions(
            column_names=[*self.columns], skip_rows=self.header, encoding=self.encoding
        )
        parsing = pacsv.ParseOptions(
            delimiter=self.sep,
            quote_char='"' if self.quoted else False,
            newlines_in_values=self.quoted,
        )
        converting = pacsv.ConvertOptions(
            column_types={n: pa.type_for_alias(kind) for n, kind in kinds.items()},
            include_columns=[n for n, kind in self.columns.items() if kind != "skip"],
            null_values=[""],
        )
        try:
            table = pacsv.read_csv(self.file, reading, parsing, converting)
        except pa.ArrowInvalid as error:
            for line, fields in self._rows():
                if why := self._wrong(fields):
                    raise self._error(line, why) from error
            raise DatasetError(f"{self.where} cannot be read: {error}") from error
        if not table.num_rows:
            raise DatasetError(f"{self.where} has no rows. Is it the whole file?")
        return table

    def fail(self, row: int, why: str) -> NoReturn:
        """Raise the error that names the line of this row."""
        line, fields = next(islice(self._rows(), row, None))
        raise self._error(line, f"{why}: {fields}")

    def _error(self, line: int, why: str) -> DatasetError:
        return DatasetError(
            f"{self.where}, line {line}: {why}. Mend or delete the line"
        )

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line and fields of each row; a blank line is none, a quoted one may go on."""
        self.file.seek(0)
        text = io.TextIOWrapper(self.file, self.encoding, "surrogateescape", newline="")
        quoting: Any = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        rows, line = csv.reader(text, delimiter=self.sep, quoting=quoting), 1
        try:
            for fields in rows:
                if fields and line > self.header:
                    yield line, fields
                line = rows.line_num + 1
        except csv.Error as error:
            raise self._error(line, f"{error}: is a quote left open?") from error
        finally:
            text.detach()  # the file is its opener's to close

    def _wrong(self, fields: list[str]) -> str:
        """What makes these fields no row of the table, or nothing."""
        if len(fields) != len(self.columns):
            return f"expected {len(self.columns)} fields, found {len(fields)}"
        for field, (name, kind) in zip(fields, self.columns.items(), strict=True):
            pattern, what = _FIELDS.get(kind, ("(?s:.*)", ""))
            if not re.fullmatch(pattern, field):
                return f"{name} should be {what}, found {field!r}"
        return ""


def _frame(table: Any, fail: Callable[[int, str], NoReturn]) -> pd.DataFrame:
    """pyarrow table → frame of our own; the first row with a gap fails."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in table.column_names:
        floats = pa.types.is_floating(table[name].type)
        there = pc.is_finite(table[name]) if floats else pc.is_valid(table[name])
        if not pc.all(there.fill_null(False)).as_py():
            row = int(np.argmin(there.fill_null(False)))
            fail(row, f"{name} is missing or no finite number")
    whole = any(column.num_chunks == 1 for column in table.columns)
    frame = table.to_pandas(split_blocks=True, self_destruct=True)
    return frame.copy() if whole else frame  # what is not copied yet is read-only


def _own_csv(file: Any, where: str, roles: dict[str, str], sep: str | None) -> Any:
    head = file.readline().decode("utf-8-sig", "replace")
    splits = {
        s: _split(head, s) for s in ([sep] if sep else [",", "\t", ";", "|", "::"])
    }
    sep = max(splits, key=lambda s: (len(roles.keys() & splits[s]), len(splits[s])))
    _need_columns(where, roles, splits[sep])
    kinds = {"user": "string", "item": "string", "rating": "float64"}
    kinds["timestamp"] = "infer"
    names = [roles.get(field, f"column {n}") for n, field in enumerate(splits[sep], 1)]
    file.seek(0)
    columns = {name: kinds.get(name, "skip") for name in names}
    table = _Table(file, where, columns, sep, quoted=True)
    return _own_frame(table.read(), table.fail)


def _own_parquet(path: Path, roles: dict[str, str]) -> pd.DataFrame:
    import pyarrow.parquet as parquet

    _need_columns(path.name, roles, parquet.read_schema(path).names)
    table = parquet.read_table(path, columns=list(roles))

    def fail(row: int, why: str) -> NoReturn:
        found = table.slice(row, 1).to_pylist()
        raise DatasetError(
            f"{path.name}, row {row + 1}: {why}: {found}. Mend or drop it"
        )

    return _own_frame(table.rename_columns(list(roles.values())), fail)


def _split(head: str, sep: str) -> list[str]:
    if len(sep) > 1:
        head, sep = head.replace(sep, "\x1f"), "\x1f"
    return [field.strip() for field in next(csv.reader([head], delimiter=sep), [])]


def _need_columns(where: str, roles: dict[str, str], found: list[str]) -> None:
    for column, role in roles.items():
        if found.count(column) != 1:
            many = "no" if column not in found else "more than one"
            raise DatasetError(
                f"{where} has {many} column {column!r}; found {found} in its first "
                f'line. Say which column holds it: read(path, {role}="…"), or pass sep='
            )


def _own_frame(table: Any, fail: Callable[[int, str], NoReturn]) -> pd.DataFrame:
    """Bring a person's own columns to the types of all data sets, and check them."""
    columns = {"user": _ids(table["user"]), "item": _ids(table["item"])}
    columns["rating"] = np.ones(len(table))
    if "rating" in table.column_names:
        columns["rating"] = table["rating"].cast("float64")
    if "timestamp" in table.column_names:
        columns["timestamp"] = _seconds(table["timestamp"])
    frame = _frame(type(table).from_pydict(columns), fail)
    again = frame.duplicated(["user", "item"]).to_numpy()
    if again.any():
        fail(int(again.argmax()), "this pair of user and item occurs a second time")
    return frame


def _ids(column: Any) -> Any:
    """int64 where every id is written as int64 writes it, text otherwise."""
    import pyarrow as pa
    import pyarrow.compute as pc

    codes = column.dictionary_encode().unify_dictionaries().combine_chunks()
    text = pc.utf8_trim_whitespace(codes.dictionary.cast(pa.string()))
    text = pc.if_else(pc.equal(text, ""), None, text)
    if pc.all(pc.match_substring_regex(text, "^(0|-?[1-9][0-9]*)$")).as_py():
        with suppress(pa.ArrowInvalid):  # beyond 2^63
            text = text.cast(pa.int64())
    return text.take(codes.indices)


def _seconds(column: Any) -> Any:
    """Unix seconds as int64; null where there is no time."""
    import pyarrow as pa

    time = column.to_pandas(date_as_object=False)
    if pd.api.types.is_numeric_dtype(time):
        time = np.floor(time.where(np.isfinite(time)))
        return pa.array(time, from_pandas=True).cast(pa.int64())
    time = pd.to_datetime(time, utc=True, format="ISO8601", errors="coerce")
    return pa.array(time.dt.as_unit("s"), from_pandas=True).cast(pa.int64())
