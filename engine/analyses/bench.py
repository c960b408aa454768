"""What an analysis may look at: a method's ensembles side by side, and of them only what its card says it reads."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from engine.data.base import ImageData
from engine.ensemble import Ensemble
from engine.images import Images
from engine.models.base import Net, Network
from engine.task import NotDeclared

ROLES = ("original", "unlearned", "oracle", "second oracle")
"""The second oracle is trained independently of the first: its distance to the oracle is the floor of any analysis."""


T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Bench:
    """Networks number ``ids`` of each role, and the points they are compared on, training points first.

    ``splits`` holds the numbers of the points of each split, none in an analysis of the data alone; ``labels`` int64
    (P,) the class of every point; ``point`` the one that is asked about, if one is. What else there is opens only to
    an analysis that declares it: "weights", "margins", "pictures", "method" or the name of a prerequisite.

    Raises:
        NotDeclared: anything was reached for that neither ``reads`` nor ``roles`` names.
    """

    reads: tuple[str, ...]
    roles: tuple[str, ...]
    ids: tuple[int, ...]
    splits: Mapping[str, np.ndarray]
    labels: np.ndarray
    classes: tuple[str, ...]
    train: int
    point: int | None = None
    _data: ImageData | None = field(default=None, repr=False)
    _device: torch.device = field(default=torch.device("cpu"), repr=False)
    _ensemble: Callable[[str], Ensemble] | None = field(default=None, repr=False)
    _margins: Callable[[str], np.ndarray] | None = field(default=None, repr=False)
    _exhibit: Callable[[int], tuple[Tensor, Tensor]] | None = field(default=None, repr=False)
    _again: Callable[[int, int], tuple[np.ndarray, np.ndarray]] | None = field(default=None, repr=False)
    _prerequisite: Callable[[str], object] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def only(self, network: int) -> Self:
        """Return the bench with a single network of each role, the one at this position."""
        one = slice(network, network + 1)
        return replace(
            self,
            ids=self.ids[one],
            _ensemble=None if self._ensemble is None else lambda role: self._ensemble(role)[one],
            _margins=None if self._margins is None else lambda role: self._margins(role)[one],
        )

    def margins(self, role: str) -> np.ndarray:
        """Return the margins of every network at every point, float32 (M, P), logits."""
        self._declared("margins", role)
        return _given(self._margins, "margins")(role)

    def ensembles(self, role: str) -> Ensemble:
        """Return the networks of a role."""
        self._declared("weights", role)
        return _given(self._ensemble, "weights")(role)

    def network(self, role: str, network: int) -> Network:
        """Return one network, by position, as an ordinary module in evaluation mode."""
        return self.ensembles(role).network(network)

    @property
    def net(self) -> Net:
        """The architecture of the networks, with the names of its layers."""
        return self.ensembles(self.roles[0]).net

    def logits(self, role: str, points: np.ndarray) -> Tensor:
        """Return the logits of every network at these points (n,): float32 (M, n, C)."""
        ensemble = self.ensembles(role)
        return self._forward(ensemble, points, ensemble.logits_shared)

    def layers(self, role: str, points: np.ndarray) -> dict[str, Tensor]:
        """Return the outputs of every layer that the architecture names at points (n,): float32 (M, n, D) each.

        Cost: one forward pass for all layers.
        """
        ensemble = self.ensembles(role)
        names = list(ensemble.net.layers)
        parts = [ensemble.layers_shared(x, names) for x in self._batches(ensemble, points)]
        return {name: torch.cat([part[name] for part in parts], dim=1) for name in names}

    def features(self, role: str, layer: str | None, points: np.ndarray) -> Tensor:
        """Return the outputs of one named layer, or of the body where ``layer`` is None, at points (n,): (M, n, D)."""
        ensemble = self.ensembles(role)
        if layer is None:
            return self._forward(ensemble, points, lambda x: ensemble.features_shared(x).flatten(2))
        return self._forward(ensemble, points, lambda x: ensemble.layers_shared(x, [layer])[layer])

    @property
    def data(self) -> ImageData:
        """The data set itself."""
        self._declared("pictures")
        return _given(self._data, "pictures")

    @property
    def images(self) -> Images:
        """The pictures of all points, on the device of the networks."""
        self._declared("pictures")
        return self._points

    def exhibit(self, most: int) -> tuple[Tensor, Tensor]:
        """Return the pictures that the method makes on its way from the first original, and the classes of their rows.

        Normalised float32 (K, n, c, h, w) with n at most ``most``, and int64 (K,).
        """
        self._declared("method")
        return _given(self._exhibit, "method")(most)

    def again(self, networks: int, run: int) -> tuple[np.ndarray, np.ndarray]:
        """Run the method once more on the first ``networks`` originals, with the seed of its ``run``-th repetition.

        Run 0 has the seed of the result. Returns the margins of every point, float32 (networks, P), and whether its
        class has the largest logit, bool (networks, P).
        """
        self._declared("method")
        return _given(self._again, "method")(networks, run)

    def prerequisite(self, name: str) -> object:
        """Return what was computed beforehand under this name."""
        self._declared(name)
        return _given(self._prerequisite, name)(name)

    @functools.cached_property
    def _points(self) -> Images:
        return Images.of(_given(self._data, "pictures"), "points", self._device)

    def _batches(self, ensemble: Ensemble, points: np.ndarray) -> Sequence[Tensor]:
        numbers = torch.from_numpy(np.asarray(points, dtype=np.int64)).to(self._device)  # (n,)
        return [self._points.pictures(numbers[span]) for span in ensemble.spans(len(numbers))]

    def _forward(self, ensemble: Ensemble, points: np.ndarray, answer: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.cat([answer(x) for x in self._batches(ensemble, points)], dim=1)  # (M, n, D)

    def _declared(self, what: str, role: str | None = None) -> None:
        if what not in self.reads:
            raise NotDeclared(f"the analysis does not say that it reads {what}")
        if role is not None and role not in self.roles:
            raise NotDeclared(f"the analysis does not say that it looks at the {role} networks")


def _given(what: T | None, name: str) -> T:
    if what is None:
        raise ValueError(f"this analysis reads {name}, and the bench was built without")
    return what
