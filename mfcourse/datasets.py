"""Ratings: embedded, downloaded, your own, or planted.

Every function gives the same frame: ``user, item, rating, timestamp`` with ids as int64
(or text), ratings as float64, and Unix seconds as int64. Where a source has no times,
the column ``timestamp`` is absent, and splits in time say so.

``load()`` needs no network. Every other data set is looked for as a folder or zip of
its name in the cache folder, then downloaded; the SHA-256 of each zip is pinned here.
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

GROUPLENS = "https://files.grouplens.org/datasets/"
EMBEDDED = "ml-latest-small-2016"
EMBEDDED_SHA256 = {
    "ratings.csv.gz": "9e9350645bc18338f11be635a0b33b78a4b73409d6e6f0df3ff751ce4156087b",
    "items.csv": "23860ed1aec6914b49b11dcca26c46bf0fb48b7532f9ed3829ae6ebd092719cf",
}


class DatasetError(Exception):
    """A data set could not be had; the message says why, and what to do."""


@dataclass(frozen=True)
class Source:
    """Where a data set comes from, and how its files look.

    Parameters
    ----------
    url : str
        Below the server's folder of data sets.
    hash : str
        Of the zip: ``sha256:…`` or ``md5:…``.
    folder : str
        Inside the zip.
    ratings, items : str
        Names of the two files.
    sep : str
        Between their fields; csv files have a header.
    encoding : str
        Of the items.
    size : str
        For people.
    """

    url: str
    hash: str
    folder: str
    ratings: str = "ratings.csv"
    items: str = "movies.csv"
    sep: str = ","
    encoding: str = "utf-8"
    size: str = ""


_ML, SHA = "movielens/", "sha256:"
SOURCES = {
    "ml-latest-small": Source(
        _ML + "ml-latest-small.zip",
        SHA + "696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
        "ml-latest-small/",
        size="1 MB",
    ),
    "ml-100k": Source(
        _ML + "ml-100k.zip",
        SHA + "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        "ml-100k/",
        "u.data",
        "u.item",
        "\t",
        "latin-1",
        "5 MB",
    ),
    "ml-1m": Source(
        _ML + "ml-1m.zip",
        SHA + "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        "ml-1m/",
        "ratings.dat",
        "movies.dat",
        "::",
        "latin-1",
        "6 MB",
    ),
    "ml-10m": Source(
        _ML + "ml-10m.zip",
        SHA + "813c411ccb6122564edfe752e7f80c4dcc5aa25fa94c93622f6877a7ba252862",
        "ml-10M100K/",
        "ratings.dat",
        "movies.dat",
        "::",
        size="66 MB",
    ),
    "ml-20m": Source(
        _ML + "ml-20m.zip",
        SHA + "96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3",
        "ml-20m/",
        size="199 MB",
    ),
    "ml-25m": Source(
        _ML + "ml-25m.zip",
        SHA + "8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa",
        "ml-25m/",
        size="262 MB",
    ),
    "ml-32m": Source(
        _ML + "ml-32m.zip",
        "md5:d472be332d4daa821edc399621853b57",
        "ml-32m/",
        size="239 MB",
    ),
    "lastfm-2k": Source(
        "hetrec2011/hetrec2011-lastfm-2k.zip",
        SHA + "6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c",
        "",
        "user_artists.dat",
        "artists.dat",
        "\t",
        size="3 MB",
    ),
}


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
    if name == EMBEDDED:
        with _embedded("ratings.csv.gz") as file:
            return _frame(
                _parse(gzip.GzipFile(fileobj=file), "ratings.csv.gz", ",", _FOUR, 1)
            )
    source = _source(name)
    columns = dict(_FOUR)
    if name == "lastfm-2k":
        del columns["timestamp"]
    header = 1 if source.sep == "," or name == "lastfm-2k" else 0
    with _member(name, source.ratings, path) as file:
        return _frame(_parse(file, source.ratings, source.sep, columns, header))


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
    if name == EMBEDDED:
        with _embedded("items.csv") as file:
            items = pd.read_csv(file, dtype={"year": "Int64"}, encoding="utf-8")
        return items.fillna({"genres": ""})
    source = _source(name)
    with _member(name, source.items, path) as file:
        rows = list(_item_rows(file, name, source))
    items = pd.DataFrame(rows, columns=["item", "title", "year", "genres"])
    return items.astype({"item": "int64", "year": "Int64"})


def read(
    path: str | Path,
    user: str = "user",
    item: str = "item",
    rating: str = "rating",
    timestamp: str | None = None,
    sep: str | None = None,
) -> pd.DataFrame:
    """Your own ratings, from CSV (also ``.gz``) or Parquet.

    Parameters
    ----------
    path : path
        A CSV file with a header line, or a ``.parquet`` file.
    user, item, rating : str
        Names of the columns in your file.
    timestamp : str, optional
        Column of Unix seconds, or of dates as text like 2015-03-09 18:30:00.
    sep : str, optional
        Between fields, such as ``","`` or ``"::"``; guessed from the header.

    Returns
    -------
    DataFrame with columns ``user, item, rating`` and perhaps ``timestamp``

    Raises
    ------
    DatasetError
        The file is missing, a column is not there, or a row cannot be read; the message
        names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(
            f"there is no file {path}. Check the path: {path.absolute()}"
        )
    want = {"user": user, "item": item, "rating": rating}
    want |= {"timestamp": timestamp} if timestamp else {}
    if path.suffix in (".parquet", ".pq"):
        import pyarrow.parquet as parquet

        _need_columns(path, want, parquet.read_schema(path).names)
        table = parquet.read_table(path, columns=list(want.values()))
        first_line = 1
    else:
        with _open_text(path) as file:
            header = file.readline().decode("utf-8-sig", "replace").rstrip("\r\n")
        sep = sep or next((s for s in ("::", "\t", ";", "|", ",") if s in header), ",")
        fields = [field.strip('" ') for field in header.split(sep)]
        _need_columns(path, want, fields)
        columns = {f: "float64" if f == rating else None for f in fields}
        with _open_text(path) as file:
            table = _parse(file, path.name, sep, columns, 1, list(want.values()))
        first_line = 2
    frame = table.rename_columns(list(want)).to_pandas()
    return _own_frame(frame, path, first_line)


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
    import requests

    source = _source(name)
    url, file = GROUPLENS + source.url, f"{name}.zip"
    by_hand = f"Download {url} in a browser and put it at {cache_folder() / file}"
    try:
        return Path(
            pooch.retrieve(
                url,
                known_hash=source.hash,
                fname=file,
                path=cache_folder(),
                downloader=pooch.HTTPDownloader(progressbar=progress, timeout=60),
            )
        )
    except requests.exceptions.SSLError as error:
        raise DatasetError(
            f"the certificate of the server of {name} is not valid (this has happened "
            f"before). {by_hand}; its hash is checked all the same"
        ) from error
    except requests.exceptions.HTTPError as error:
        code = error.response.status_code if error.response is not None else error
        raise DatasetError(
            f"the server of {name} answered {code}. Try again later. {by_hand}"
        ) from error
    except requests.exceptions.RequestException as error:
        raise DatasetError(
            f"no connection to the server of {name}, or it broke off. Check the "
            f"network and run this again. {by_hand}. load() alone needs none"
        ) from error
    except ValueError as error:
        raise DatasetError(
            f"what came for {name} is not the file expected ({error}). Perhaps a proxy "
            f"answered, or the file changed. Nothing was kept. {by_hand}"
        ) from error
    except OSError as error:
        full = error.errno == errno.ENOSPC
        why = "the disk is full" if full else f"it cannot be written: {error.strerror}"
        raise DatasetError(
            f"{name} was not kept in {cache_folder()}: {why}. Set MFCOURSE_DATA to a "
            "folder with room"
        ) from error


def cache_folder() -> Path:
    """Folder of downloaded data: ``MFCOURSE_DATA``, or the user's cache folder.

    Returns
    -------
    Path
    """
    if folder := os.environ.get("MFCOURSE_DATA"):
        return Path(folder)
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
    if n_ratings * 4 > m * n:  # dense: weighted draw without replacement, exactly
        key = rng.exponential(size=m * n) / np.tile(weight, m)
        key[pair] = -1.0
        return rng.permutation(np.argpartition(key, n_ratings - 1)[:n_ratings])
    edge = np.cumsum(weight / weight.sum())
    while len(pair) < n_ratings:  # sparse: draw, drop what is there already, repeat
        more = int(1.2 * (n_ratings - len(pair))) + 10
        i = np.minimum(np.searchsorted(edge, rng.random(more)), n - 1)
        drawn = rng.integers(0, m, more) * n + i
        new = np.setdiff1d(drawn, pair)
        pair = np.concatenate([pair, rng.permutation(new)[: n_ratings - len(pair)]])
    return rng.permutation(pair)


# ---- Files ---------------------------------------------------------------------------

_FOUR: dict[str, str | None] = {
    "user": "int64",
    "item": "int64",
    "rating": "float64",
    "timestamp": "int64",
}


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise DatasetError(f"there is no data set {name!r}; there are {names()}")
    return SOURCES[name]


@contextmanager
def _embedded(file: str) -> Iterator[IO[bytes]]:
    """A file of the embedded edition, checked by its hash."""
    here = Path(__file__).resolve().parent
    path = next((f / file for f in (here / "data", here.parent / "data")
                 if (f / file).is_file()), None)  # fmt: skip
    if path is None:
        raise DatasetError(
            f"the embedded file {file} is missing from this installation. Install the "
            "course again, or git checkout data/"
        )
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != EMBEDDED_SHA256[file]:
        raise DatasetError(
            f"{path} is not the file that belongs there (SHA-256 differs): changed or "
            f"damaged. Restore it: git checkout data/{file}, or install again"
        )
    yield io.BytesIO(content)


@contextmanager
def _member(name: str, file: str, path: str | Path | None) -> Iterator[IO[bytes]]:
    """One file of a data set, from a folder or a checked zip."""
    source = _source(name)
    if path is not None:
        place = Path(path)
        if not place.exists():
            raise DatasetError(f"there is nothing at {place}. Check the path")
    else:
        folder = cache_folder() / name
        place = folder if folder.is_dir() else folder.with_name(name + ".zip")
        if not place.exists():
            place = fetch(name)
    if place.is_dir():
        inner = place / file
        if not inner.is_file():
            found = sorted(p.name for p in place.iterdir())[:12]
            raise DatasetError(
                f"{place} has no {file}, which {name} needs; found {found}. Unpack the "
                "zip again"
            )
        with inner.open("rb") as opened:
            yield opened
        return
    _check_zip(name, place, source.hash)
    with zipfile.ZipFile(place) as archive:
        try:
            member = archive.open(source.folder + file)
        except KeyError:
            raise DatasetError(
                f"{place} has no {source.folder + file}; found "
                f"{archive.namelist()[:12]}. "
                "It is not the zip of this data set"
            ) from None
        with member:
            yield member


def _check_zip(name: str, place: Path, known: str) -> None:
    kind, expected = known.split(":")
    with place.open("rb") as file:
        got = hashlib.file_digest(file, kind).hexdigest()
    if got != expected:
        whole = zipfile.is_zipfile(place)
        cause = "another edition" if whole else "broken off, so no whole zip"
        raise DatasetError(
            f"{place} is not the {name} expected ({kind} {got[:12]}…, expected "
            f"{expected[:12]}…): probably {cause}. Delete it and try again; to use "
            "it all the same, unpack it and pass the folder: load(name, path=folder)"
        )


def _parse(
    file: Any,
    where: str,
    sep: str,
    columns: dict[str, str | None],
    header: int,
    include: list[str] | None = None,
) -> Any:
    """CSV → pyarrow table; an unreadable row is named by its line."""
    import pyarrow as pa
    from pyarrow import csv as pacsv

    types: dict[str, Any] = {c: pa.type_for_alias(t) for c, t in columns.items() if t}
    convert: dict[str, Any] = {
        "include_columns": include or list(columns),
        "null_values": [""],
    }
    reader: dict[str, Any] = {
        "column_names": list(columns),
        "skip_rows": header,
        "block_size": 1 << 24,
    }
    if sep == "::":  # pyarrow splits at one byte
        file, sep = io.BytesIO(file.read().replace(b"::", b"\t")), "\t"
    content = None
    if not file.seekable():
        content = file = io.BytesIO(file.read())
    try:
        table = pacsv.read_csv(
            file,
            read_options=pacsv.ReadOptions(**reader),
            parse_options=pacsv.ParseOptions(delimiter=sep),
            convert_options=pacsv.ConvertOptions(column_types=types, **convert),
        )
        if all(table[c].null_count == 0 for c in types if c in table.column_names):
            return table
        error: Exception | None = None
    except pa.ArrowInvalid as caught:
        error = caught
    (content or file).seek(0)
    line, why = _bad_line(content or file, sep, columns, header)
    raise DatasetError(
        f"{where}, line {line}: {why}. Mend or delete the line"
    ) from error


def _bad_line(
    file: IO[bytes], sep: str, columns: dict[str, str | None], header: int
) -> tuple[int, str]:
    """The first line that is no row of these columns, and what is wrong with it."""
    text = io.TextIOWrapper(
        file, encoding="utf-8", errors="surrogateescape", newline=""
    )
    for number, fields in enumerate(csv.reader(text, delimiter=sep), 1):
        if number <= header or not fields:
            continue
        if len(fields) != len(columns):
            return number, f"expected {len(columns)} fields, found {len(fields)}"
        for field, (name, kind) in zip(fields, columns.items(), strict=True):
            try:
                field.encode()
                if kind:
                    int(field) if kind == "int64" else float(field)
            except UnicodeEncodeError:
                return number, f"{name} is not UTF-8 text"
            except ValueError:
                return number, f"{name} should be a number, found {field!r}"
    return 1, "the file is no table with these columns"


def _frame(table: Any) -> pd.DataFrame:
    return table.to_pandas(split_blocks=True, self_destruct=True)


def _item_rows(file: IO[bytes], name: str, source: Source) -> Iterator[tuple]:
    """(item, title, year, genres) of each line of an items file."""
    text = io.TextIOWrapper(file, encoding=source.encoding, newline="")
    genre_names = []
    if name == "ml-100k":
        genre_names = _GENRES_100K.split("|")
    if source.sep == ",":
        rows: Iterator[list[str]] = csv.reader(text)
        next(rows, None)
    else:
        sep = "|" if name == "ml-100k" else source.sep
        lines = (line.rstrip("\r\n") for line in text)
        if name == "lastfm-2k":
            next(lines, None)
        rows = (line.split(sep) for line in lines if line)
    for number, fields in enumerate(rows, 1):
        try:
            item, title = int(fields[0]), fields[1]
            if name == "lastfm-2k":
                yield item, title, None, ""
                continue
            genres = fields[2]
            if genre_names:
                flags = fields[5:]
                pairs = zip(genre_names, flags, strict=True)
                genres = "|".join(g for g, flag in pairs if flag == "1")
        except (IndexError, ValueError) as error:
            raise DatasetError(
                f"{source.items}, row {number}: not an item of {name}: {fields[:3]}. "
                "Unpack or download the zip again"
            ) from error
        match = re.search(r"\s*\((\d{4})(?:[-–]\d{0,4})?\)\s*$", title)
        year = int(match[1]) if match else None
        title = title[: match.start()] if match else title.strip()
        yield item, title, year, "" if "no genres" in genres else genres


_GENRES_100K = (
    "unknown|Action|Adventure|Animation|Children|Comedy|Crime|Documentary|Drama|Fantasy|"
    "Film-Noir|Horror|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
)


def _open_text(path: Path) -> Any:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _need_columns(path: Path, want: dict[str, str], found: list[str]) -> None:
    for role, column in want.items():
        if column not in found:
            raise DatasetError(
                f"{path.name} has no column {column!r}; found {found}. Say which "
                f'column holds it: read(path, {role}="…"), or pass sep='
            )


def _own_frame(frame: pd.DataFrame, path: Path, first_line: int) -> pd.DataFrame:
    """Check a person's own rows; bring ids and times to the dtypes of all data sets."""
    rating = pd.to_numeric(frame["rating"], errors="coerce").astype("float64")
    bad = {c: frame[c].isna().to_numpy() for c in frame.columns}
    bad["rating"] = ~np.isfinite(rating.to_numpy())
    bad["the pair (user, item)"] = frame.duplicated(["user", "item"]).to_numpy()
    for what, rows in bad.items():
        if rows.any():
            at = int(rows.argmax())
            row = frame.iloc[at].to_dict()
            twice = "pair" in what
            raise DatasetError(
                f"{path.name}, line {at + first_line}: {what} "
                + (f"occurs a second time: {row}. Keep one of the rows" if twice else
                   f"is missing or no finite number: {row}. Fill or delete the row")
            )  # fmt: skip
    for name in ("user", "item"):
        whole = pd.api.types.is_integer_dtype(frame[name])
        frame[name] = frame[name].astype("int64" if whole else "str")
    frame["rating"] = rating
    if "timestamp" in frame:
        time = frame["timestamp"]
        if not pd.api.types.is_numeric_dtype(time):
            try:
                time = pd.to_datetime(time, utc=True)
            except (ValueError, TypeError) as error:
                raise DatasetError(
                    f"{path.name}: {error}. Times must be Unix seconds or dates like "
                    "2015-03-09 18:30:00; leave timestamp= out to do without"
                ) from error
            time = time.astype("datetime64[s, UTC]").astype("int64")
        frame["timestamp"] = time.astype("int64")
    return frame
