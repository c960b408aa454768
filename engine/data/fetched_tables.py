"""The larger published tables, Adult and Covertype, fetched once with scikit-learn's downloaders.

scikit-learn keeps Covertype as a pickle, which could be exchanged on disk before it is read again. So it fetches into
an empty folder that is deleted afterwards: it finds no pickle to read, and what stays is plain arrays of our own. Adult
comes as text from OpenML, whose checksum scikit-learn compares; Covertype's is compared with a SHA-256 it carries.
"""

from __future__ import annotations

import abc
import http.client
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from engine.cards import Card
from engine.data.base import DataError, Dataset, ImageData, Progress
from engine.data.decoded import fetch, keep, whole
from engine.data.split import held_out
from engine.data.table import Raw, table_data

_KEY = "decoded-1"


class Fetched(NamedTuple):
    """A published table: its columns, each row's class (N,) as int64, and the classes' names."""

    columns: tuple[Raw, ...]
    labels: np.ndarray
    classes: tuple[str, ...]


@dataclass(frozen=True)
class FetchedTable(Dataset, abc.ABC):
    """A table that is fetched once and then read from the cache, with a fixed stratified test set of a fifth."""

    needs = "network"
    tabular = True
    place: ClassVar[str]
    """Where it is downloaded from, in words."""

    @abc.abstractmethod
    def obtain(self, folder: Path) -> Fetched:
        """Download the table; the downloader's own files go into ``folder``."""

    def read(self, cache: Path, progress: Progress) -> ImageData:
        """Return the table, downloaded if it is not in the cache.

        Raises:
            DataError: no network, a server that fails, something else than this table.
        """
        progress(0.0, f"looking for {self.card.name}")
        home = cache / self.key
        data = fetch(home, _KEY, self.key)
        if data is None:
            progress(0.1, f"downloading {self.card.name}")
            with whole(home, _KEY) as temporary:
                table = self._obtained(temporary / "download")
                progress(0.8, f"reading {self.card.name}")
                shutil.rmtree(temporary / "download", ignore_errors=True)
                keep(
                    temporary,
                    table_data(
                        name=self.key,
                        columns=table.columns,
                        labels=table.labels,
                        classes=table.classes,
                        test=held_out(table.labels, [str(i) for i in range(len(table.labels))]),
                    ),
                )
            data = fetch(home, _KEY, self.key)
            if data is None:
                raise DataError(f"{home / _KEY}: the table cannot be read back; check the disk and try again")
        progress(1.0, f"{self.card.name} ready")
        return data

    def _obtained(self, folder: Path) -> Fetched:
        folder.mkdir()
        try:
            return self.obtain(folder)
        # Their downloaders raise these on no network, a broken answer, a wrong checksum and a changed format.
        except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError, EOFError, zlib.error) as error:
            raise DataError(
                f"{self.card.name} is downloaded once from {self.place}, and that failed ({error}). Connect to the "
                "network and try again, or choose breast cancer, wine, iris or a CSV file of your own"
            ) from error


@dataclass(frozen=True)
class Adult(FetchedTable):
    """48,842 people of the 1994 census: who earns more than 50,000 dollars a year?"""

    key = "adult"
    order = 15
    place = "OpenML"
    card = Card(
        name="Adult (table)",
        summary="48,842 people of a census with 14 columns; predicts who earns over 50,000 dollars; 6 MB to download.",
        family="download",
        paper="Scaling Up the Accuracy of Naive-Bayes Classifiers: a Decision-Tree Hybrid",
        year=1996,
    )

    def obtain(self, folder: Path) -> Fetched:
        """Fetch version 2 from OpenML as text; empty cells are NaN, categories come as their places."""
        from sklearn.datasets import fetch_openml

        adult = fetch_openml("adult", version=2, data_home=str(folder), as_frame=False, parser="liac-arff")
        classes, labels = np.unique(adult.target.astype(str), return_inverse=True)  # (C,), (N,)
        values = np.asarray(adult.data, np.float64)  # (N, columns)
        columns = tuple(
            Raw(str(name), values[:, i], tuple(str(v) for v in adult.categories.get(name, ())))
            for i, name in enumerate(adult.feature_names)
        )
        return Fetched(columns, labels.astype(np.int64), tuple(str(c) for c in classes))


@dataclass(frozen=True)
class Covertype(FetchedTable):
    """581,012 patches of forest: which of seven kinds of trees covers them?"""

    key = "covertype"
    order = 16
    place = "figshare"
    card = Card(
        name="Covertype (table)",
        summary="581,012 patches of forest with 12 columns; predicts one of seven kinds of trees; 11 MB to download.",
        family="download",
        paper="Comparative accuracies of artificial neural networks and discriminant analysis in predicting forest "
        "cover types from cartographic variables",
        year=1999,
    )
    names: ClassVar[tuple[str, ...]] = (
        *("spruce or fir", "lodgepole pine", "ponderosa pine", "cottonwood or willow"),
        *("aspen", "douglas fir", "krummholz"),
    )

    def obtain(self, folder: Path) -> Fetched:
        """Fetch it; its 4 areas and 40 soils come as 0-or-1 columns and are put together again."""
        from sklearn.datasets import fetch_covtype

        if any(folder.iterdir()):
            raise ValueError("the folder for the download is not empty")  # a pickle in it would be read
        covertype = fetch_covtype(data_home=str(folder))
        x = covertype.data  # (N, 54): 10 numbers, 4 areas, 40 soils
        columns = [Raw(str(name), x[:, i]) for i, name in enumerate(covertype.feature_names[:10])]
        for name, start, stop in (("wilderness area", 10, 14), ("soil type", 14, 54)):
            places = x[:, start:stop]  # (N, values)
            if not (places.sum(axis=1) == 1).all():
                raise ValueError(f"a row has no {name}, or several")
            categories = tuple(str(i + 1) for i in range(stop - start))
            columns.append(Raw(name, places.argmax(axis=1).astype(np.float64), categories))
        return Fetched(tuple(columns), covertype.target.astype(np.int64) - 1, self.names)
