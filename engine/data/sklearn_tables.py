"""The embedded tables: breast cancer, wine and iris, which ship inside scikit-learn, so nothing is downloaded."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.cards import Card
from engine.data.base import Dataset, ImageData, Progress
from engine.data.split import held_out
from engine.data.table import Raw, table_data


@dataclass(frozen=True)
class Embedded(Dataset, abc.ABC):
    """A table that ships inside scikit-learn, with a fixed stratified test set of a fifth."""

    tabular = True

    @abc.abstractmethod
    def source(self) -> Any:
        """Return scikit-learn's record of it: ``data`` (N, D), ``target`` (N,) and their names."""

    def read(self, cache: Path, progress: Progress) -> ImageData:  # noqa: ARG002
        """Return the rows in their published order; takes milliseconds and caches nothing."""
        progress(0.0, f"reading {self.card.name}")
        table = self.source()
        labels = table.target.astype(np.int64)  # (N,)
        data = table_data(
            name=self.key,
            columns=[Raw(str(n), v) for n, v in zip(table.feature_names, table.data.T, strict=True)],
            labels=labels,
            classes=[str(name) for name in table.target_names],
            test=held_out(labels, [str(i) for i in range(len(labels))]),
        )
        progress(1.0, f"{self.card.name} ready")
        return data


@dataclass(frozen=True)
class BreastCancer(Embedded):
    """569 tumours, 30 measurements of each: 455 to train on, 114 to test on."""

    key = "breast_cancer"
    order = 2
    card = Card(
        name="Breast cancer (table)",
        summary="569 tumours, malignant or benign, with 30 measurements each; comes with the program.",
        family="embedded",
        paper="Nuclear feature extraction for breast tumor diagnosis",
        year=1993,
    )

    def source(self) -> Any:
        from sklearn.datasets import load_breast_cancer  # a second of import that other data sets need not pay

        return load_breast_cancer()


@dataclass(frozen=True)
class Wine(Embedded):
    """178 wines of three growers, 13 measurements of each: 142 to train on, 36 to test on."""

    key = "wine"
    order = 3
    card = Card(
        name="Wine (table)",
        summary="178 wines of three growers with 13 chemical measurements each; comes with the program.",
        family="embedded",
        paper="Wine (Aeberhard and Forina), UCI Machine Learning Repository",
        year=1992,
    )

    def source(self) -> Any:
        from sklearn.datasets import load_wine

        return load_wine()


@dataclass(frozen=True)
class Iris(Embedded):
    """150 flowers of three kinds, 4 measurements of each: 120 to train on, 30 to test on."""

    key = "iris"
    order = 4
    card = Card(
        name="Iris (table)",
        summary="150 iris flowers of three kinds with 4 measurements each; comes with the program.",
        family="embedded",
        paper="The use of multiple measurements in taxonomic problems",
        year=1936,
    )

    def source(self) -> Any:
        from sklearn.datasets import load_iris

        return load_iris()
