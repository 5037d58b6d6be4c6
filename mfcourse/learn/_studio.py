"""The studio: rate films, and see at once what a model makes of it.

A rating is told to the model by ``fold_in``, so nothing is trained: a new list, why
each film is in it, and what the last rating changed. A model of likes hears only which
films were liked, never how much, nor what was disliked.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pandas as pd
import traitlets

from mfcourse.learn import progress
from mfcourse.learn._widget import STATIC, Widget, Words
from mfcourse.models.base import NotSupported

STARS = [half / 2 for half in range(1, 11)]
LIKES = ("BPRModel", "EASEModel", "ImplicitALSModel")  # they learn from events


class Studio(Widget):
    """Films to rate, and the list, the reasons and the neighbours that follow.

    Parameters
    ----------
    model : Recommender
        Fitted, with ``fold_in``.
    items : DataFrame with columns ``item, title``, and ``year`` where known
    ratings : dict of item → stars, optional
        Ratings to start with; those in the progress log come on top.
    n : int
        Length of the list.
    likes_from : float
        Stars from which on a film counts as liked, for a model of likes.
    hears : {"likes", "stars"}, optional
        What the model is told. By default "likes" for BPR, EASE and iALS, and for any
        model that was trained on one value alone.
    """

    _esm = STATIC / "studio.js"
    state = traitlets.Dict().tag(sync=True)  # all that is drawn, but what is searched

    def __init__(
        self,
        model: Any,
        items: pd.DataFrame,
        ratings: dict[Any, float] | None = None,
        n: int = 8,
        likes_from: float = 4.0,
        hears: str | None = None,
    ) -> None:
        model._require_fit()
        if missing := {"item", "title"} - set(items):
            raise ValueError(
                f"items has no column {sorted(missing)}; found {list(items)}. "
                "datasets.load_items() gives such a frame"
            )
        train = model.train_
        if hears is None:
            likes = type(model).__name__ in LIKES or np.ptp(train.rating) == 0
            hears = "likes" if likes else "stars"
        if hears not in ("likes", "stars"):
            raise ValueError(f"hears must be 'likes' or 'stars'; got {hears!r}")
        self._model, self._n, self._hears, self._from = model, n, hears, likes_from
        self._films = _films(items, train)
        self._names = {
            item: title if pd.isna(year) else f"{title} ({year})"
            for item, title, year in self._films.itertuples()
        }
        self._titles = self._films["title"].to_dict()
        self._plain = {item: _plain(name) for item, name in self._names.items()}
        self._ids = {str(item): item for item in self._names}
        self._codes = {item: code for code, item in enumerate(train.items.ids.tolist())}
        told: dict[Any, float | None]
        told = {self._id(i): _checked(stars) for i, stars in (ratings or {}).items()}
        for event in progress.events("rated") if progress.recording() else ():
            film, stars = self._ids.get(event.subject), event.data.get("stars")
            if film is not None and stars in [*STARS, None]:
                told[film] = stars
        self._stars = _given(told)
        known, nothing = train.items.ids[0], pd.DataFrame({"item": [], "rating": []})
        self._alike = _can(model.similar_items, known)
        self._reasons = _can(model.explain_new, nothing, known)
        self._rank()
        super().__init__(state=self._drawn())
        self.on_msg(self._heard)

    # ---- What a person does ----------------------------------------------------------

    def rate(self, item: Any, stars: float) -> str:
        """Give a film stars, or other stars than before; it goes into the log.

        Parameters
        ----------
        item : raw id
        stars : float
            0.5, 1, …, 5.

        Returns
        -------
        str
            What it changed.

        Raises
        ------
        KeyError
            No such film.
        ValueError
            Not such a number of stars.
        """
        return self._change(self._id(item), _checked(stars))

    def take_back(self, item: Any) -> str:
        """Take a rating back.

        Parameters
        ----------
        item : raw id

        Returns
        -------
        str
            What it changed.

        Raises
        ------
        KeyError
            No such film, or it has no rating.
        """
        film = self._id(item)
        if film not in self._stars:
            raise KeyError(f"{self._names[film]} has no rating to take back")
        return self._change(film, None)

    def search(self, text: str, n: int = 8) -> pd.DataFrame:
        """Films whose title and year hold all words, the best known first.

        Parameters
        ----------
        text : str
            Upper and lower case and accents are alike. Nothing finds all films.
        n : int
            At most so many.

        Returns
        -------
        DataFrame with columns ``item, title, year``
        """
        words = _plain(text).split()
        held = (i for i, name in self._plain.items() if all(w in name for w in words))
        return self._frame([i for i, _ in zip(held, range(n), strict=False)])

    def recommendations(self) -> pd.DataFrame:
        """The list as it is now.

        Returns
        -------
        DataFrame with columns ``rank, item, title, year, score, why``
            No ``why`` where the model has no reasons; no rows where it knows nothing.
        """
        frame = self._frame(self._list).assign(score=list(self._list.values()))
        frame.insert(0, "rank", np.arange(1, len(frame) + 1))
        if self._reasons:
            frame["why"] = [" · ".join(self._because(item)) for item in self._list]
        return frame

    def why(self, item: Any) -> pd.DataFrame:
        """What each rating that the model hears adds to the score of a film.

        Parameters
        ----------
        item : raw id

        Returns
        -------
        DataFrame with columns ``item, title, year, contribution``
            Largest first.
        """
        parts = self._model.explain_new(self._told, self._id(item))
        return self._frame(parts["item"]).assign(contribution=parts["contribution"])

    def neighbours(self, item: Any, n: int = 5) -> pd.DataFrame:
        """The films most like one, as the model sees them.

        Parameters
        ----------
        item : raw id
        n : int

        Returns
        -------
        DataFrame with columns ``item, title, year, score``
        """
        near = self._model.similar_items(self._id(item), n=n)
        return self._frame(near["item"]).assign(score=near["score"])

    # ---- What follows ----------------------------------------------------------------

    def _id(self, item: Any) -> Any:
        if str(item) not in self._ids:
            raise KeyError(f'no film {item!r} in items; .search("title") finds ids')
        return self._ids[str(item)]

    def _frame(self, ids: Any) -> pd.DataFrame:
        return self._films.loc[list(ids)].reset_index()

    def _unheard(self, film: Any, stars: float) -> str:
        """Why the model does not hear a rating; nothing where it does."""
        if film not in self._codes:
            return "The model does not know this film: it was not in training."
        if self._hears == "likes" and stars < self._from:
            return f"Below {self._from:g} stars is no like: the model does not hear it."
        return ""

    def _rank(self) -> None:
        """Fold the ratings in: scores of the best, in order, and the rank of all."""
        heard = {i: s for i, s in self._stars.items() if not self._unheard(i, s)}
        rating = np.array([*heard.values()]) if self._hears == "stars" else 1.0
        told = pd.DataFrame({"item": [*heard]}).assign(rating=rating)
        ranked = self._model.fold_in(told)
        codes = np.array([self._codes[i] for i in heard], np.int64)
        self._told, self._coded = told, (codes, told["rating"].to_numpy(np.float64))
        ranked = ranked[~ranked["item"].isin(list(self._stars))]
        ids, score = ranked["item"].tolist(), ranked["score"].tolist()
        self._places = {item: rank for rank, item in enumerate(ids, 1)}
        silent = not heard and len(set(score)) == 1
        self._list = {} if silent else dict(zip(ids[: self._n], score, strict=False))

    def _because(self, item: Any) -> list[str]:
        """The two ratings that speak most for a film, and what they add."""
        # explain_new, less its checks: they would take most of the time.
        adds = self._model._reasons(*self._coded, self._codes[item])
        parts = zip(self._told["item"], adds, strict=True)
        best = sorted(parts, key=lambda part: -part[1])[:2]
        return [f"{self._titles[i]} {part:+.3f}" for i, part in best if part > 0]

    def _change(self, film: Any, stars: float | None) -> str:
        had, before, places = self._stars.get(film), list(self._list), self._places
        if stars == had:
            return Words(f"{self._names[film]} has this rating already.")
        rated, self._stars = self._stars, _given({**self._stars, film: stars})
        try:
            self._rank()
        except BaseException:  # the page and the log stay as they were
            self._stars = rated
            raise
        notice = progress.record("rated", str(film), stars=stars)
        moves = {
            item: places[item] - rank if item in before else "new"
            for rank, item in enumerate(self._list, 1)
        }
        left = [i for i in before if i not in self._list and i != film]
        did = _words(stars) if stars else "rating taken back"
        did += f" in place of {_words(had)}" if had and stars else ""
        unheard = self._unheard(film, stars) if stars else ""
        if not unheard and self._hears == "likes" and (had or 0) >= self._from:
            unheard = "A like, as before." if stars else ""
        changed = _summary(moves, len(left))
        said = " ".join(
            filter(None, (f"{self._names[film]}: {did}.", unheard, changed))
        )
        gone = [f"{self._names[i]} (now {self._places[i]})" for i in left]
        self.state = self._drawn(moves, said, gone, notice)
        return Words(f"{said}\n{notice}".rstrip())

    # ---- What is drawn ---------------------------------------------------------------

    def _drawn(
        self, moves: Any = None, said: str = "", left: Any = (), notice: str = ""
    ) -> dict[str, Any]:
        """All that the front end shows."""
        rated = [
            self._row(i, stars=s, note=self._unheard(i, s))
            for i, s in reversed(self._stars.items())
        ]
        moves, why = moves or {}, self._because if self._reasons else lambda _: []
        best = [self._row(i, move=moves.get(i, ""), why=why(i)) for i in self._list]
        return {
            "about": self._about(), "alike": self._alike, "rated": rated, "list": best,
            "empty": self._nothing(), "said": said, "left": list(left),
            "notice": notice,
        }  # fmt: skip

    def _row(self, item: Any, **more: Any) -> dict[str, Any]:
        return {"id": str(item), "name": self._names[item], **more}

    def _about(self) -> str:
        likes = f"which films you liked: {self._from:g} stars or more"
        heard = likes if self._hears == "likes" else "your stars"
        return f"{type(self._model).__name__} hears {heard}."

    def _nothing(self) -> str:
        """What to say of a list for somebody of whom the model has heard nothing."""
        if len(self._told):
            return ""
        who = "The model has heard" if self._stars else "You have rated"
        if self._list:
            return f"{who} nothing yet: this is its answer for a stranger."
        return f"{who} nothing yet, and for a stranger all films score the same."

    def _heard(self, _: Any, content: dict[str, Any], __: Any) -> None:
        do, item = content["do"], content.get("item")
        if do == "search":
            found = [self._row(i) for i in self.search(content["text"])["item"]]
            self.send({"text": content["text"], "found": found})
        elif do == "near":
            pairs = self.neighbours(item)[["item", "score"]].itertuples(index=False)
            near = [self._row(i, score=f"{score:.2f}") for i, score in pairs]
            self.send({"of": self._names[self._id(item)], "near": near})
        elif do == "rate":
            self.rate(item, content["stars"])
        elif do == "take back" and self._id(item) in self._stars:
            self.take_back(item)

    def __repr__(self) -> str:
        rated = [f"{self._names[i]} {_words(s)}" for i, s in self._stars.items()]
        lines = ["Studio: rate films, and see what a model makes of it.", self._about()]
        lines += ["", "Rated: " + "; ".join(rated)] if rated else [""]
        lines += filter(None, [self._nothing()])
        for rank, (item, score) in enumerate(self._list.items(), 1):
            why = " · ".join(self._because(item)) if self._reasons else ""
            lines.append(
                f"{rank:2}. {score:.3f}  {self._names[item]}{why and ': '}{why}"
            )
        first = next(iter(self._names))
        calls = [f"rate({first!r}, 4.5)", f"take_back({first!r})", 'search("star")']
        calls += ["recommendations()", f"why({first!r})", f"neighbours({first!r})"]
        return "\n".join([*lines, "", "Without the widget: ." + ", .".join(calls)])


studio = Studio  # called like a function, as quiz and predict are


def _films(items: pd.DataFrame, train: Any) -> pd.DataFrame:
    """Title and year of each film, best known first; without a title, the id is it."""
    films = items.drop_duplicates("item").set_index("item")
    known = pd.Index(train.items.ids.tolist(), name="item")
    films = films.reindex(
        films.index.union(known, sort=False), columns=["title", "year"]
    )
    films["title"] = (
        films["title"].fillna(pd.Series(films.index, films.index)).astype(str)
    )
    films["year"] = films["year"].astype("Int64")
    counts = pd.Series(np.bincount(train.item_code, minlength=len(known)), known)
    counts = counts.reindex(films.index, fill_value=0)
    return films.loc[counts.sort_values(ascending=False, kind="stable").index]


def _summary(moves: dict[Any, Any], n_left: int) -> str:
    """What became of a list, in a sentence."""
    steps = [move for move in moves.values() if move != "new"]
    counts = {
        "new": len(moves) - len(steps),
        "up": sum(step > 0 for step in steps),
        "down": sum(step < 0 for step in steps),
        "out": n_left,
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    return f"In the list: {', '.join(parts)}." if parts else "The list is the same."


def _given(stars: dict[Any, float | None]) -> dict[Any, float]:
    return {item: value for item, value in stars.items() if value is not None}


def _plain(text: str) -> str:
    """Without case and accents."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in letters if not unicodedata.combining(c))


def _checked(stars: Any) -> float:
    if stars not in STARS:
        raise ValueError(f"stars must be 0.5, 1, 1.5, …, 5; got {stars!r}")
    return float(stars)


def _words(stars: float) -> str:
    return f"{stars:g} star{'s' * (stars != 1)}"


def _can(call: Any, *given: Any) -> bool:
    try:
        call(*given)
    except NotSupported:
        return False
    return True
