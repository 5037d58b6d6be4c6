"""Data sets: what they give, and what goes wrong on the way. Loopback only."""

import errno
import gzip
import hashlib
import io
import os
import signal
import ssl
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfcourse import datasets
from mfcourse.datasets import DatasetError

FOUR = {"user": "int64", "item": "int64", "rating": "float64", "timestamp": "int64"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache folder, and a server that nobody has."""
    monkeypatch.setenv("MFCOURSE_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets, "GROUPLENS", "http://127.0.0.1:9/")
    for proxy in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
        monkeypatch.delenv(proxy.upper(), raising=False)
    return tmp_path / "cache"


def make_zip(files: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def put(monkeypatch, name: str, files: dict[str, str | bytes]) -> Path:
    """A made-up zip of the right shape in the cache, its hash pinned."""
    content = make_zip(files)
    pin(monkeypatch, name, content)
    path = datasets.cache_folder() / f"{name}.zip"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def pin(monkeypatch, name: str, content: bytes) -> None:
    monkeypatch.setitem(
        datasets._HASH, name, "sha256:" + hashlib.sha256(content).hexdigest()
    )


def assert_same_shape(frame: pd.DataFrame, dtypes: dict[str, str] = FOUR) -> None:
    assert {c: str(t) for c, t in frame.dtypes.items()} == dtypes
    assert isinstance(frame.index, pd.RangeIndex)
    frame.loc[0, "rating"] = 0.5  # not a read-only view of somebody's memory


# ---- What each data set gives --------------------------------------------------------


def test_the_embedded_edition_needs_neither_network_nor_cache(cache):
    ratings, items = datasets.load(), datasets.load_items()
    assert len(ratings) == 100_004
    assert (ratings["user"].nunique(), ratings["item"].nunique()) == (671, 9066)
    assert not ratings.duplicated(["user", "item"]).any()
    assert sorted(ratings["rating"].unique()) == [x / 2 for x in range(1, 11)]
    assert ratings.iloc[0].tolist() == [1, 31, 2.5, 1_260_759_144]
    assert_same_shape(ratings)
    assert set(items["item"]) == set(ratings["item"])
    assert items.iloc[0].tolist() == [
        *(1, "Toy Story", 1995),
        "Adventure|Animation|Children|Comedy|Fantasy",
    ]
    assert items["year"].isna().sum() == 5
    assert not items[["title", "genres"]].isna().any(axis=None)
    assert str(items["year"].dtype) == "Int64"
    assert not cache.exists()
    assert datasets.names()[0] == datasets.EMBEDDED == "ml-latest-small-2016"
    assert datasets.names()[1:] == list(datasets.SOURCES)


@pytest.mark.parametrize("load", [datasets.load, datasets.load_items])
def test_a_changed_or_missing_embedded_file_is_no_data(tmp_path, monkeypatch, load):
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(datasets, "__file__", str(tmp_path / "datasets.py"))
    with pytest.raises(DatasetError, match=r"missing or changed.*git checkout data/"):
        load()
    for name in ("items.csv", "ratings.csv.gz"):
        (tmp_path / "data" / name).write_bytes(b"user,item,rating,timestamp\n")
    with pytest.raises(DatasetError, match=r"missing or changed.*SHA-256"):
        load()


def test_ml_100k_from_its_folder(shared_datasets):
    ratings = datasets.load("ml-100k", shared_datasets / "ml-100k")
    items = datasets.load_items("ml-100k", str(shared_datasets / "ml-100k"))
    assert len(ratings) == 100_000
    assert (ratings["user"].nunique(), ratings["item"].nunique()) == (943, 1682)
    assert ratings.iloc[0].tolist() == [196, 242, 3, 881_250_949]
    assert_same_shape(ratings)
    assert len(items) == 1682
    assert items.iloc[0].tolist() == [1, "Toy Story", 1995, "Animation|Children|Comedy"]
    by_item = items.set_index("item")
    assert by_item.loc[1682 - 229, "title"] == "Angel on My Shoulder"
    assert by_item.loc[543, "title"] == "Misérables, Les"  # latin-1
    assert by_item.loc[1412, "year"] == 1995  # "(1995) (V)"
    assert list(items.loc[items["year"].isna(), "title"]) == ["unknown"]


def test_ml_latest_small_from_its_zip(shared_datasets):
    path = shared_datasets / "ml-latest-small.zip"
    ratings = datasets.load("ml-latest-small", path)
    items = datasets.load_items("ml-latest-small", path)
    assert len(ratings) == 100_836
    assert (ratings["user"].nunique(), len(items)) == (610, 9742)
    assert_same_shape(ratings)
    assert not items["title"].str.contains(r"\(\d{4}\)$").any()
    assert "no genres" not in " ".join(items["genres"])
    assert (
        items.set_index("item").loc[11, "title"] == "American President, The"
    )  # a comma


def test_lastfm_from_its_folder(shared_datasets):
    folder = shared_datasets / "hetrec2011-lastfm-2k"
    plays = datasets.load("lastfm-2k", folder)
    artists = datasets.load_items("lastfm-2k", folder)
    assert len(plays) == 92_834
    assert (plays["user"].nunique(), plays["item"].nunique()) == (1892, 17_632)
    assert plays["rating"].sum() == 69_183_975
    assert_same_shape(plays, {c: t for c, t in FOUR.items() if c != "timestamp"})
    assert len(artists) == 17_632
    assert artists["year"].isna().all()
    assert (artists["genres"] == "").all()
    assert str(artists["year"].dtype) == "Int64"


@pytest.mark.parametrize("name", ["ml-20m", "ml-25m", "ml-32m"])
def test_big_csv_editions(monkeypatch, name):
    movies = (
        "movieId,title,genres\r\n"
        '11,"President, The ""Big"" One (1995)",Comedy|Drama\r\n'
        "7,Série (2006–2007),(no genres listed)\r\n"
        "5,2001 A Title,Sci-Fi\r\n"
    )
    ratings = "userId,movieId,rating,timestamp\r\n1,11,3.5,1112\r\n"
    files = {f"{name}/ratings.csv": ratings, f"{name}/movies.csv": movies}
    put(monkeypatch, name, files)
    ratings, items = datasets.load(name), datasets.load_items(name)
    assert ratings.to_numpy().tolist() == [[1, 11, 3.5, 1112]]
    assert_same_shape(ratings)
    assert items.fillna(0).to_numpy().tolist() == [
        [11, 'President, The "Big" One', 1995, "Comedy|Drama"],
        [7, "Série", 2006, ""],
        [5, "2001 A Title", 0, "Sci-Fi"],
    ]


@pytest.mark.parametrize(
    ("name", "folder", "encoding"),
    [("ml-1m", "ml-1m", "latin-1"), ("ml-10m", "ml-10M100K", "utf-8")],
)
def test_editions_with_double_colons(monkeypatch, name, folder, encoding):
    movies = '73::Misérables: "Les", a\tfilm (1995)::Drama|Musical\n'
    put(
        monkeypatch,
        name,
        {
            f"{folder}/ratings.dat": "1::73::5::978300760\n2::73::3.5::978300761\n",
            f"{folder}/movies.dat": movies.encode(encoding),
        },
    )
    ratings = datasets.load(name)
    assert ratings["rating"].tolist() == [5, 3.5]
    assert_same_shape(ratings)
    assert datasets.load_items(name).to_numpy().tolist() == [
        [73, 'Misérables: "Les", a\tfilm', 1995, "Drama|Musical"]
    ]


def test_a_folder_in_the_cache_goes_before_the_zip(monkeypatch, cache):
    put(monkeypatch, "ml-100k", {"ml-100k/u.data": "1\t2\t3\t4\n"})
    assert datasets.load("ml-100k").to_numpy().tolist() == [[1, 2, 3, 4]]
    inner = cache / "ml-100k" / "ml-100k"  # as some tools unpack
    inner.mkdir(parents=True)
    (inner / "u.data").write_text("5\t6\t1\t8\n")
    assert datasets.load("ml-100k").to_numpy().tolist() == [[5, 6, 1, 8]]


def test_every_pinned_hash_is_one():
    for source in datasets.SOURCES.values():
        kind, digits = source.hash.split(":")
        assert len(digits) == {"sha256": 64, "md5": 32}[kind]
        assert source.url.endswith(f"{source.name}.zip")


def test_cache_folder(monkeypatch):
    monkeypatch.setenv("MFCOURSE_DATA", "~/ratings")
    assert datasets.cache_folder() == Path.home() / "ratings"
    monkeypatch.delenv("MFCOURSE_DATA")
    assert datasets.cache_folder().name == "mfcourse"


# ---- What is wrong with files --------------------------------------------------------


@pytest.mark.parametrize("load", [datasets.load, datasets.load_items, datasets.fetch])
def test_an_unknown_name_lists_the_known(load):
    with pytest.raises(DatasetError, match=r"no data set 'ml-2m'.*ml-100k.*read\(path"):
        load("ml-2m")


def test_the_embedded_name_takes_no_path_and_no_download(tmp_path):
    for call in (
        lambda: datasets.load(path=tmp_path / "mine.csv"),
        lambda: datasets.load_items(path=tmp_path),
        lambda: datasets.fetch(datasets.EMBEDDED),
    ):
        with pytest.raises(DatasetError, match=r"load\(\) alone has"):
            call()


def test_nothing_at_the_path(tmp_path):
    with pytest.raises(DatasetError, match=r"there is nothing at .*nowhere"):
        datasets.load("ml-100k", tmp_path / "nowhere")


def test_a_member_is_missing(monkeypatch, tmp_path):
    put(monkeypatch, "ml-1m", {"ml-1m/users.dat": ""})
    with pytest.raises(DatasetError, match=r"has no ratings\.dat.*found \['ml-1m'\]"):
        datasets.load("ml-1m")
    (tmp_path / "u.item").touch()
    with pytest.raises(DatasetError, match=r"has no u\.data.*found .*'u\.item'.*again"):
        datasets.load("ml-100k", tmp_path)


def test_a_zip_put_by_hand_is_checked(monkeypatch, cache, tmp_path):
    path = put(monkeypatch, "ml-1m", {"ml-1m/ratings.dat": "1::2::3::4\n"})
    assert len(datasets.load("ml-1m")) == 1
    pin(monkeypatch, "ml-1m", b"another")
    with pytest.raises(DatasetError, match=r"another edition.*Delete it.*path=folder"):
        datasets.load("ml-1m")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DatasetError, match="no whole zip"):
        datasets.load("ml-1m", path)


@pytest.mark.parametrize(
    ("lines", "line", "why"),
    [
        ("1,2,3,4\n\n1,x,3,4\n", 4, "item should be a whole number, found 'x'"),
        ("1,2,3,4\n1,3,3\n", 3, "expected 4 fields, found 3"),
        ("1,2,3,4\n\n\n1,,3,4\n", 5, "item is missing"),
        ("1,2,nan,4\n", 2, "rating is missing or no finite number"),
        ("1,2,3,4\n1,3,inf,4\n", 3, "rating is missing or no finite number"),
        ("1,2,1_0,4\n", 2, "rating should be a number, found '1_0'"),
        ("1,2,3,4.5\n", 2, "timestamp should be a whole number"),
        ("1,99999999999999999999,3,4\n", 2, "item should be a whole number"),
        ("1,2,3,4\r\n1,2,3,4,5\r\n", 3, "expected 4 fields, found 5"),
    ],
)
def test_a_bad_row_is_named_by_its_line(monkeypatch, lines, line, why):
    head = "userId,movieId,rating,timestamp\n"
    put(monkeypatch, "ml-20m", {"ml-20m/ratings.csv": head + lines})
    with pytest.raises(DatasetError, match=f"ratings.csv, line {line}: {why}.*Mend"):
        datasets.load("ml-20m")


def test_bad_rows_elsewhere(monkeypatch):
    ratings = "1::2::3::4\n" * 3 + "1::2::3:4\n"
    put(monkeypatch, "ml-1m", {"ml-1m/ratings.dat": ratings, "ml-1m/movies.dat": ""})
    with pytest.raises(DatasetError, match="line 4: expected 4 fields, found 3"):
        datasets.load("ml-1m")
    with pytest.raises(DatasetError, match=r"movies\.dat.*Empty CSV"):
        datasets.load_items("ml-1m")
    movies = b"movieId,title,genres\n1,A (1999),War\n2,\xe9 (1999),War\n"
    head = "userId,movieId,rating,timestamp\n"
    put(
        monkeypatch,
        "ml-20m",
        {"ml-20m/movies.csv": movies, "ml-20m/ratings.csv": head},
    )
    with pytest.raises(DatasetError, match="line 3: title should be UTF-8 text"):
        datasets.load_items("ml-20m")
    with pytest.raises(DatasetError, match=r"ratings\.csv has no rows"):
        datasets.load("ml-20m")


# ---- Downloads -----------------------------------------------------------------------

GOOD = make_zip({"ml-100k/u.data": "1\t2\t3\t4\n" * 50_000})


class Handler(BaseHTTPRequestHandler):
    """Answers as the server's ``answer`` says; ``hold`` delays the second half."""

    def do_GET(self):
        status, body, length = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body[:1000])
        self.wfile.flush()
        self.server.started.set()
        self.server.go_on.wait(30)
        self.wfile.write(body[1000:])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.started, server.go_on = threading.Event(), threading.Event()
    server.go_on.set()
    server.answer = (200, GOOD, len(GOOD))
    server.handle_error = lambda *args: None  # clients that hang up are the point
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setattr(datasets, "GROUPLENS", url)
    pin(monkeypatch, "ml-100k", GOOD)
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


def assert_nothing_kept(cache: Path) -> None:
    assert not cache.exists() or list(cache.iterdir()) == []


def assert_by_hand(error: pytest.ExceptionInfo) -> None:
    """The message says how to do without the download."""
    text = str(error.value)
    assert "ml-100k could not be fetched" in text
    assert "ml-100k.zip in a browser and put it at" in text
    assert "load() alone needs no network" in text


def test_fetch_keeps_the_zip_and_shows_a_bar(server, cache, capsys):
    assert datasets.fetch("ml-100k") == cache / "ml-100k.zip"
    assert "100%" in capsys.readouterr().err
    assert [path.name for path in cache.iterdir()] == ["ml-100k.zip"]
    server.answer = (500, b"", 0)  # not asked again
    assert len(datasets.load("ml-100k")) == 50_000


def test_load_fetches_what_is_not_there(server, cache, capsys):
    assert len(datasets.load("ml-100k")) == 50_000
    assert (cache / "ml-100k.zip").read_bytes() == GOOD


def test_fetch_without_a_bar(server, capsys):
    datasets.fetch("ml-100k", progress=False)
    assert "%" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((200, b"<html>Log in</html>", 19), "not the file expected.*was not kept"),
        ((200, GOOD[:-9], len(GOOD)), "no connection, or it broke off"),
        ((200, GOOD[:-9], len(GOOD) - 9), "cut short, changed"),
        ((404, b"", 0), "answered 404.*later"),
        ((500, b"", 0), "answered 500.*later"),
    ],
    ids=["wrong", "truncated", "short", "404", "500"],
)
def test_a_bad_answer_leaves_nothing(server, cache, answer, why):
    server.answer = answer
    with pytest.raises(DatasetError, match=why) as error:
        datasets.fetch("ml-100k")
    assert_by_hand(error)
    assert_nothing_kept(cache)


def test_no_server(cache):
    with pytest.raises(
        DatasetError, match=r"no connection.*Check the network"
    ) as error:
        datasets.load("ml-100k")
    assert_by_hand(error)
    assert_nothing_kept(cache)


def test_a_certificate_that_nobody_signed(server, cache, monkeypatch, tmp_path):
    files = [str(tmp_path / name) for name in ("key.pem", "cert.pem")]
    try:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
             "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", files[0], "-out", files[1]],
            check=True, capture_output=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    url = f"https://127.0.0.1:{server.server_port}/"
    monkeypatch.setattr(datasets, "GROUPLENS", url)
    with pytest.raises(DatasetError, match="certificate is not valid") as error:
        datasets.fetch("ml-100k")
    assert_by_hand(error)
    assert_nothing_kept(cache)


def test_a_full_disk(server, cache, monkeypatch):
    real = open

    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        "builtins.open",
        lambda file, mode="r", *args, **kwargs: (
            Full(file, "w") if mode == "w+b" else real(file, mode, *args, **kwargs)
        ),
    )
    with pytest.raises(DatasetError, match=r"disk is full.*MFCOURSE_DATA") as error:
        datasets.fetch("ml-100k")
    assert_by_hand(error)
    assert_nothing_kept(cache)


def test_a_cache_that_cannot_be_written(server, cache, monkeypatch):
    cache.write_text("a file where the folder should be")  # stops even root
    with pytest.raises(DatasetError, match=r"cannot be written.*MFCOURSE_DATA"):
        datasets.fetch("ml-100k")
    cache.unlink()
    cache.mkdir()

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    with pytest.raises(DatasetError, match=r"cannot be written.*Permission denied"):
        datasets.fetch("ml-100k")
    assert_nothing_kept(cache)


CHILD = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
from mfcourse import datasets
datasets.GROUPLENS, datasets._HASH["ml-100k"] = sys.argv[1:]
print(datasets.fetch("ml-100k", progress=False))
"""


def start_fetch() -> subprocess.Popen:
    args = [datasets.GROUPLENS, datasets._HASH["ml-100k"]]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_in_the_middle_leaves_nothing(server, cache):
    server.go_on.clear()
    child = start_fetch()
    assert server.started.wait(60)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode != 0
    assert "KeyboardInterrupt" in err
    assert_nothing_kept(cache)


def test_two_at_once(server, cache):
    server.go_on.clear()
    children = [start_fetch(), start_fetch()]
    assert server.started.wait(60)
    server.go_on.set()
    for child in children:
        out, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
        assert out.strip() == str(cache / "ml-100k.zip")
    assert [path.name for path in cache.iterdir()] == ["ml-100k.zip"]
    assert (cache / "ml-100k.zip").read_bytes() == GOOD


def test_loading_the_package_loads_no_reader():
    heavy = "{'pooch', 'requests', 'pyarrow', 'tqdm'}"
    code = f"import sys, mfcourse; print({heavy} & set(sys.modules))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "set()"


# ---- Your own ------------------------------------------------------------------------

MINE = pd.DataFrame(
    {
        "user": ["ann", "bob", "ann"],
        "item": [3, 3, 9],
        "rating": [4.0, 2.5, 1.0],
        "timestamp": [1_425_926_100, 1_425_926_101, 1_425_926_102],
    }
)
TIMED = {"timestamp": "timestamp"}


def mine(tmp_path, content: str | bytes, name: str = "mine.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("sep", [",", "\t", ";", "|", "::"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_read_guesses_the_separator(tmp_path, sep, end, bom):
    lines = ["user,item,rating,timestamp"]
    lines += [",".join(map(str, row)) for row in MINE.itertuples(index=False)]
    text = bom + end.join(lines).replace(",", sep)
    for path in (
        mine(tmp_path, text),
        mine(tmp_path, gzip.compress(text.encode()), "mine.csv.gz"),
    ):
        for given_sep in (None, sep):
            got = datasets.read(path, **TIMED, sep=given_sep)
            pd.testing.assert_frame_equal(got, MINE)


def test_read_parquet(tmp_path):
    path = tmp_path / "mine.parquet"
    MINE.rename(columns={"user": "who"}).assign(more=1).to_parquet(path)
    got = datasets.read(path, user="who", **TIMED)
    pd.testing.assert_frame_equal(got, MINE)
    MINE.assign(item=["3", "3", "9"]).astype({"item": "category"}).to_parquet(path)
    pd.testing.assert_frame_equal(datasets.read(path, **TIMED), MINE)
    MINE.assign(rating=[4, None, 1]).to_parquet(path)
    with pytest.raises(DatasetError, match=r"mine\.parquet, row 2: rating is missing"):
        datasets.read(path)
    MINE.assign(user="ann").to_parquet(path)
    with pytest.raises(DatasetError, match=r"row 2: .*second time: .*'item': 3"):
        datasets.read(path)
    MINE.to_parquet(path)
    with pytest.raises(DatasetError, match=r"no column 'film'; found .*'item'"):
        datasets.read(path, item="film")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"cannot be read.*Is it whole"):
        datasets.read(path)


def test_read_picks_columns_by_name_and_passes_others_over(tmp_path):
    text = 'note;"film";who;note;stars\n"a; ""b""\nnew line";x y;1;;4\n\né;"z;w";2;;3\n'
    got = datasets.read(mine(tmp_path, text), user="who", item="film", rating="stars")
    assert got.to_numpy().tolist() == [[1, "x y", 4.0], [2, "z;w", 3.0]]
    assert list(got) == ["user", "item", "rating"]


def test_a_line_break_in_quotes_may_fall_between_two_blocks(tmp_path):
    n = 30_000  # 3 MB; pyarrow reads 1 MB at a time
    review = "long,\n" * 15
    rows = [f'{row},"{review}",7,3.5\n' for row in range(n)]
    text = "user,review,item,rating\n" + "".join(rows)
    got = datasets.read(mine(tmp_path, text))
    assert got["user"].tolist() == list(range(n))
    bad = f"{text}{n},,7,\n"
    with pytest.raises(DatasetError, match=f"line {16 * n + 2}: rating is missing"):
        datasets.read(mine(tmp_path, bad))


# pandas writes a lone \r without quotes, where it ends the line for every reader.
ids = st.integers(-(2**63), 2**63 - 1)
words = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00\r"), min_size=1, max_size=9
)
names = words.map(lambda text: f"x{text}x")


@given(
    pairs=st.one_of(
        *(
            st.lists(st.tuples(user, item), min_size=1, unique=True)
            for user in (ids, names)
            for item in (ids, names)
        )
    ),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_what_pandas_wrote_is_read_back_equal(tmp_path_factory, pairs, data):
    n = len(pairs)
    some = st.floats(allow_nan=False, allow_infinity=False)
    frame = pd.DataFrame(pairs, columns=["user", "item"]).assign(
        rating=data.draw(st.lists(some, min_size=n, max_size=n)),
        timestamp=data.draw(
            st.lists(st.integers(-(2**53), 2**53), min_size=n, max_size=n)
        ),
    )
    sep = data.draw(st.sampled_from([",", "\t", ";", "|"]))
    path = tmp_path_factory.mktemp("trip") / "frame.csv"
    frame.to_csv(path, index=data.draw(st.booleans()), sep=sep)
    pd.testing.assert_frame_equal(datasets.read(path, **TIMED), frame)
    frame.to_parquet(path.with_suffix(".parquet"))
    got = datasets.read(path.with_suffix(".parquet"), **TIMED)
    pd.testing.assert_frame_equal(got, frame)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["7", "-12", "0"], [7, -12, 0]),
        (["007", "7", "8"], ["007", "7", "8"]),
        (["-0", "0", "1"], ["-0", "0", "1"]),
        ([str(2**63 - 1), "1", "2"], [2**63 - 1, 1, 2]),
        ([str(2**63), "1", "2"], [str(2**63), "1", "2"]),
        (["1.0", "2", "3"], ["1.0", "2", "3"]),
        ([" a ", " 2", "3"], ["a", "2", "3"]),
        ([" 1", "2 ", " 3 "], [1, 2, 3]),
        (["NA", "nan", "null"], ["NA", "nan", "null"]),
    ],
)
def test_ids_are_numbers_only_if_nothing_is_lost(tmp_path, written, expected):
    text = "user,item,rating\n" + "".join(f"{id_},1,3\n" for id_ in written)
    got = datasets.read(mine(tmp_path, text))["user"]
    assert got.tolist() == expected
    assert (got.dtype == "int64") == isinstance(expected[0], int)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1425926100", 1_425_926_100),
        ("1425926100.7", 1_425_926_100),
        ("-1.5", -2),
        ("2015-03-09 18:35:00", 1_425_926_100),
        ("2015-03-09T18:35:00Z", 1_425_926_100),
        ("2015-03-09 19:35:00+01:00", 1_425_926_100),
        ("2015-03-09", 1_425_859_200),
        ("1969-12-31 23:59:58", -2),
    ],
)
def test_times_become_unix_seconds(tmp_path, written, expected):
    text = f"user,item,rating,when\n1,2,3,{written}\n"
    got = datasets.read(mine(tmp_path, text), timestamp="when")["timestamp"]
    assert got.tolist() == [expected]
    assert got.dtype == "int64"


def test_times_in_parquet(tmp_path):
    path = tmp_path / "mine.parquet"
    for unit in ("s", "ms", "ns"):
        times = pd.to_datetime(MINE["timestamp"], unit="s").dt.as_unit(unit)
        for column in (times, times.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")):
            MINE.assign(timestamp=column).to_parquet(path)
            pd.testing.assert_frame_equal(datasets.read(path, **TIMED), MINE)


HEAD = "user,item,rating,timestamp\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEAD + "1,2,3,4\n\n1,3\n", "line 4: expected 4 fields, found 2"),
        (HEAD + "1,2,good,4\n", "line 2: rating should be a number, found 'good'"),
        (HEAD + "1,2,3,4\n\n1,3,,4\n", "line 4: rating is missing"),
        (HEAD + "1,2,NaN,4\n", "line 2: rating is missing or no finite"),
        (HEAD + ",2,3,4\n", "line 2: user is missing"),
        (HEAD + "1,2,3,4\n1, ,3,4\n", "line 3: item is missing"),
        (HEAD + "1,2,3,4\n1,3,3,\n", "line 3: timestamp is missing"),
        (HEAD + "1,2,3,4\n1,3,3,inf\n", "line 3: timestamp is missing"),
        (HEAD + "1,2,3,09/03/2015\n", "line 2: timestamp is missing"),
        (HEAD + "1,2,3,2015-03-09\n1,3,3,soon\n", "line 3: timestamp is missing"),
        (HEAD + '1,"a\nb",3,4\n1,2,3,4\n1,2,5,5\n', "line 5: this pair.* second time"),
        (HEAD + '1,"2,3,4\n1,3,3,4\n', "line 2: expected 4 fields, found 2"),
        (HEAD + '1,"' + "2,3,4\n" * 30_000, "line 2: .*is a quote left open"),
        (HEAD, "mine.csv has no rows"),
        ("", "no column 'user'; found \\[\\]"),
        ("1,2,3,4\n", "no column 'user'.*in its first line.*read\\(path, user="),
        ("user,item,user,rating,timestamp\n1,2,3,4,5\n", "more than one column 'user'"),
    ],
)
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_read_names_the_line(tmp_path, text, why):
    with pytest.raises(DatasetError, match=why):
        datasets.read(mine(tmp_path, text), **TIMED)


def test_read_says_what_is_wrong_with_the_file(tmp_path):
    with pytest.raises(DatasetError, match=r"no file .*nowhere\.csv.*Check the path"):
        datasets.read(tmp_path / "nowhere.csv")
    latin = mine(tmp_path, "user,item,rating\n1,a,3\n1,é,3\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="line 3: item should be UTF-8 text"):
        datasets.read(latin)
    whole = gzip.compress(HEAD.encode() + os.urandom(9999).hex().encode())
    for content in (whole[:-4000], b"user,item,rating\n1,2,3\n"):
        with pytest.raises(DatasetError, match=r"cannot be read.*Is it whole"):
            datasets.read(mine(tmp_path, content, "mine.csv.gz"))


# ---- Made data -----------------------------------------------------------------------


def test_toy_is_the_matrix_of_the_lessons():
    toy, items = datasets.toy(), datasets.toy_items()
    matrix = toy.pivot_table("rating", "user", "item")
    matrix = matrix[items["title"]]
    nan = np.nan
    np.testing.assert_array_equal(
        matrix.to_numpy(),
        [
            [5, 4, nan, 2, 3],
            [4, 1, 4, 1, 1],
            [4, 3, 2, 4, 4],
            [5, nan, 4, 1, nan],
            [1, nan, 2, 5, nan],
            [nan, 2, nan, 5, 4],
        ],
    )
    assert list(matrix.index) == ["Ana", "Ben", "Chloe", "Dan", "Eve", "Finn"]
    assert len(toy) == 23
    assert sorted(toy["timestamp"]) == [1_704_067_200 + 86_400 * d for d in range(23)]
    assert list(items) == ["item", "title", "year", "genres"]
    pd.testing.assert_frame_equal(toy, datasets.toy())


@given(
    m=st.integers(1, 12),
    n=st.integers(1, 12),
    k=st.integers(0, 4),
    fill=st.floats(0, 1),
    skew=st.floats(0, 3),
    biases=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_planted_keeps_its_promises(m, n, k, fill, skew, biases, seed):
    least = max(m, n)
    n_ratings = least + round(fill * (m * n - least))
    args = (m, n, k, n_ratings / (m * n), 0.0, seed, skew, biases)
    ratings, truth = datasets.planted(*args)
    assert len(ratings) == n_ratings
    assert not ratings.duplicated(["user", "item"]).any()
    assert set(ratings["user"]) == set(range(m))
    assert set(ratings["item"]) == set(range(n))
    assert {c: str(t) for c, t in ratings.dtypes.items()} == FOUR
    np.testing.assert_array_equal(truth.predict(ratings), ratings["rating"])
    u, i = ratings["user"].to_numpy(), ratings["item"].to_numpy()
    full = truth.user_factors @ truth.item_factors.T + truth.global_mean
    full += truth.user_bias[:, None] + truth.item_bias
    np.testing.assert_allclose(ratings["rating"], full[u, i], atol=1e-12)
    assert biases or full[u, i] == pytest.approx((full - truth.global_mean)[u, i])
    again, _ = datasets.planted(*args)
    pd.testing.assert_frame_equal(again, ratings)


@pytest.mark.parametrize("size", [(300, 200), (2500, 2000)], ids=["exact", "drawn"])
def test_planted_skew_noise_and_seed(size):
    def top_share(skew, density=0.02):
        ratings, _ = datasets.planted(*size, 2, density, popularity_skew=skew)
        assert len(ratings) == round(density * size[0] * size[1])
        assert not ratings.duplicated(["user", "item"]).any()
        assert (ratings["user"].nunique(), ratings["item"].nunique()) == size
        counts = ratings["item"].value_counts()
        return counts.iloc[: len(counts) // 10].sum() / len(ratings)

    shares = [top_share(skew) for skew in (0, 0.5, 1, 2)]
    assert shares[0] < 0.25
    assert np.all(np.diff(shares) > 0.05)
    top_share(8.0)  # full items are drawn no more, so that this ends

    noisy, truth = datasets.planted(*size, 3, 0.02, noise=0.5, biases=True, seed=1)
    error = noisy["rating"] - truth.predict(noisy)
    assert error.std() == pytest.approx(0.5, rel=0.06)
    assert truth.global_mean == 3.5
    assert truth.item_bias.std() == pytest.approx(0.4, rel=0.2)
    product = truth.user_factors @ truth.item_factors.T
    assert product.std() == pytest.approx(1, rel=0.2)
    other, _ = datasets.planted(*size, 3, 0.02, noise=0.5, biases=True, seed=2)
    assert not other["rating"].equals(noisy["rating"])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"n_users": 0}, "n_users must be at least 1; got 0"),
        ({"n_items": -1}, "n_items must be at least 1"),
        ({"n_factors": -1}, "n_factors, noise and popularity_skew must be 0 or more"),
        ({"noise": -0.1}, "must be 0 or more"),
        ({"popularity_skew": -1}, "must be 0 or more"),
        ({"density": 0.01}, r"density must lie between 0.1 .* and 1; got 0.01"),
        ({"density": 1.1}, "density must lie between"),
    ],
)
def test_planted_refuses(change, why):
    args = {"n_users": 10, "n_items": 5, "n_factors": 2, "density": 0.5}
    if "density" in change:
        args["n_items"] = 10
    with pytest.raises(ValueError, match=why):
        datasets.planted(**{**args, **change})


# ---- Size ----------------------------------------------------------------------------

# VmHWM, not ru_maxrss: that one starts at the size of the process that forked.
SOAK = r"""
import re, sys
from pathlib import Path
from mfcourse import Interactions, datasets
datasets._HASH["ml-20m"] = sys.argv[2]
peak = lambda: re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]
ratings = datasets.load("ml-20m", sys.argv[1])
loaded = peak()
train = Interactions(ratings)
print(len(ratings), train.n_users, train.n_items, loaded, peak())
"""


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_file_of_the_shape_of_ml_20m_fits_in_memory(tmp_path, soak_share):
    import pyarrow as pa
    from pyarrow import csv

    n, m = int(20_000_263 * soak_share), int(138_493 * soak_share)
    row, rng = np.arange(n), np.random.default_rng(0)
    columns = {
        "userId": 1 + row * m // n,
        "movieId": 1 + row * 7919 % 26_744,  # no pair twice: 7919 shares no divisor
        "rating": rng.integers(1, 11, n) / 2,
        "timestamp": 789_652_009 + rng.integers(0, 638_000_000, n),
    }
    path = tmp_path / "ml-20m.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("ml-20m/ratings.csv", "w", force_zip64=True) as file,
    ):
        csv.write_csv(pa.table(columns), file)
    with path.open("rb") as file:
        pinned = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    args = [sys.executable, "-c", SOAK, str(path), pinned]
    done = subprocess.run(args, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *counts, loaded, indexed = map(int, done.stdout.split())
    assert counts == [n, m, 26_744]
    # 20 million rows in 2.5 GB; the libraries alone take 0.2
    print(f"peak memory: {loaded / 1e6:.2f} GB loaded, {indexed / 1e6:.2f} GB indexed")
    assert loaded < (0.4 + 2.1 * soak_share) * 1e6
    assert indexed < (0.5 + 2.6 * soak_share) * 1e6
