"""Specs: what the numbers of a stored result depend on, and nothing else. Frozen; plain JSON in and out.

The digest of a spec names the artefact that holds the result, so equal specs share one artefact. Every field counts.
Where and how work is done (paths, strategies, parts) belongs to :class:`engine.jobs.Job`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from engine.data import make_dataset
from engine.knobs import Configured
from engine.records import Choice, digest
from engine.training import Measuring, Training

if TYPE_CHECKING:
    from engine.store import Artefact, Store

WHOLE = "whole"
"""The part of an artefact that is not cut into chunks of models."""


@dataclass(frozen=True, eq=False)
class Spec:
    """Base of all specs. ``kind`` is the artefact's kind; two specs are equal when kind and JSON are.

    ``owned``: the result belongs to the runs that use it and is freed with the last of them; what is not owned (decoded
    data, probes, maps) is shared by all visitors.
    """

    kind: ClassVar[str] = ""
    owned: ClassVar[bool] = True

    @functools.cached_property
    def plain(self) -> dict[str, Any]:
        """The spec as plain JSON data. A field that is None or an empty mapping is left out. Not to be changed."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: _plain(value) for name, value in values.items() if value is not None and value != {}}

    @functools.cached_property
    def digest(self) -> str:
        """32 hex digits that identify this spec among those of every kind."""
        return digest({"kind": self.kind, "spec": self.plain})

    def artefact(self, store: Store) -> Artefact:
        """Return the artefact that this spec names in ``store``.

        Raises:
            StoreError: its folder cannot be read, or holds another spec.
        """
        return store.artefact(self.kind, self.plain)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


@dataclass(frozen=True, eq=False)
class DataSpec(Spec):
    """Name, hash, classes and sizes of a data set, and its labels.

    Settings that are the data set's defaults are left out, so that a setup that does not name them, a recipe that names
    all, and results from before a setting existed mean the same.

    Raises:
        BadSetting: there is no such data set, or a setting of it is out of bounds.
    """

    kind = "data"
    owned = False

    dataset: Choice

    def __post_init__(self) -> None:
        """Leave out what is as it is by default."""
        made = make_dataset(self.dataset.to_json())
        own = {field.name: field.default for field in made.fields()}
        changed = {name: value for name, value in made.settings().items() if value != own[name]}
        object.__setattr__(self, "dataset", Choice(self.dataset.key, changed))


@dataclass(frozen=True, eq=False)
class TableSpec(Spec):
    """The first rows of a CSV file as it was at one moment: ``size`` in bytes, ``changed`` in nanoseconds."""

    kind = "table"
    owned = False

    path: str
    size: int
    changed: int


@dataclass(frozen=True, eq=False)
class Probe(Spec):
    """How fast ``models`` networks train on a device, stacked and looped. ``classes`` is their number."""

    kind = "probe"
    owned = False

    model: Choice
    shape: tuple[int, ...]
    classes: int
    training: Training
    models: int
    device: str


def course_epochs(epochs: int) -> tuple[int, ...]:
    """Return the epochs, from 1, after which margins are kept: each, or 24 evenly spread ones, always the last."""
    return tuple(sorted({max(1, round(epochs * k / min(epochs, 24))) for k in range(1, min(epochs, 24) + 1)}))


@dataclass(frozen=True, eq=False)
class Trained(Spec):
    """Networks trained on the data with hash ``data``, or on a ``subset`` of it.

    ``subset`` is "all", "half" (each network its own random half) or "without:" and the identity of what is left out.
    ``role`` separates the random streams of originals, oracles, second oracles ("floor") and halves.
    """

    kind = "trained"

    data: str
    model: Choice
    training: Training
    subset: str
    role: str
    seed: int

    @property
    def keeps_course(self) -> bool:
        """Whether margins at the ends of its epochs are stored too: those of second oracles trained in one go.

        They are what a retrain is worth that is stopped there; see :func:`course_epochs`.
        """
        return self.role == "floor" and not self.training.sharded and not self.training.patience

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what :attr:`plain` holds."""
        return cls(
            value["data"],
            Choice.from_json(value["model"], "model"),
            Training.from_settings(value["training"]),
            value["subset"],
            value["role"],
            value["seed"],
        )


@dataclass(frozen=True, eq=False)
class ForgetSet(Spec):
    """The pictures that a selector chooses: arrays ``indices`` (F,), and ``earlier`` (E,) at a later request.

    ``original`` and ``chunk`` are the networks whose features or margins it looks at, if any; ``reads`` what
    each prerequisite it reads depends on, by the prerequisite's word; ``after`` the request before, whose pictures it
    cannot choose.
    """

    kind = "forget"

    data: str
    selector: Choice
    seed: int
    original: Trained | None = None
    chunk: tuple[int, int] | None = None
    reads: Mapping[str, Any] = field(default_factory=dict)
    after: ForgetSet | None = None

    @property
    def number(self) -> int:
        """Which request of a sequence it is, from 1."""
        return 1 if self.after is None else self.after.number + 1

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what :attr:`plain` holds."""
        return cls(
            value["data"],
            Choice.from_json(value["selector"], "selector"),
            value["seed"],
            Trained.from_json(value["original"]) if "original" in value else None,
            tuple(value["chunk"]) if "chunk" in value else None,
            value.get("reads", {}),
            cls.from_json(value["after"]) if "after" in value else None,
        )


@dataclass(frozen=True, eq=False)
class Unlearned(Spec):
    """What a method makes of the originals. ``forget`` is the identity of the request's own pictures.

    ``reads`` is what each prerequisite the method reads depends on, by the prerequisite's word; ``after`` what the
    method left at the request before, from which it goes on. ``moments`` is how often it is looked at on the way, None
    for :data:`engine.training.MOMENTS`.
    """

    kind = "unlearned"

    original: Trained
    forget: str
    method: Choice
    seed: int
    reads: Mapping[str, Any] = field(default_factory=dict)
    after: Unlearned | None = None
    moments: int | None = None

    @property
    def number(self) -> int:
        """Which request of a sequence it is about, from 1."""
        return 1 if self.after is None else self.after.number + 1

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what :attr:`plain` holds."""
        return cls(
            Trained.from_json(value["original"]),
            value["forget"],
            Choice.from_json(value["method"], "method"),
            value["seed"],
            value.get("reads", {}),
            cls.from_json(value["after"]) if "after" in value else None,
            value.get("moments"),
        )


@dataclass(frozen=True, eq=False)
class Evaluation(Spec):
    """The rows of the result table of one method, measured with the first ``models`` networks of each ensemble.

    ``floor`` are the second oracles, which are independent of the first. ``metrics`` are the keys of what is measured:
    one that is added later is measured when the recipe is run again.
    """

    kind = "evaluation"

    unlearned: Unlearned
    oracle: Trained
    floor: Trained
    measuring: Measuring
    models: int
    metrics: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what :attr:`plain` holds."""
        return cls(
            Unlearned.from_json(value["unlearned"]),
            Trained.from_json(value["oracle"]),
            Trained.from_json(value["floor"]),
            Measuring.from_settings(value["measuring"]),
            value["models"],
            tuple(value.get("metrics", ())),
        )

    @property
    def ensembles(self) -> Mapping[str, Trained | Unlearned]:
        """The four ensembles by role: original, unlearned, oracle and floor."""
        return {
            "original": self.unlearned.original,
            "unlearned": self.unlearned,
            "oracle": self.oracle,
            "floor": self.floor,
        }


@dataclass(frozen=True, eq=False)
class Prepared(Spec):
    """The result of a prerequisite's own job. ``of`` is what it depends on besides its settings, plain JSON data."""

    kind = "prepared"

    prerequisite: Choice
    of: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what :attr:`plain` holds."""
        return cls(Choice.from_json(value["prerequisite"], "prerequisite"), value["of"])


@dataclass(frozen=True, eq=False)
class Analysed(Spec):
    """What an analysis measured on networks: all that :class:`Evaluation` compares, or a run's without a method.

    ``parts`` are the chunks that are looked at together; None where each chunk is a part of the artefact by itself.
    ``point`` is the one that is asked about, if one is; ``reads`` what each prerequisite the analysis reads depends on.
    """

    kind = "analysis"

    analysis: Choice
    original: Trained
    oracle: Trained
    floor: Trained
    unlearned: Unlearned | None = None
    parts: tuple[str, ...] | None = None
    point: int | None = None
    reads: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what :attr:`plain` holds."""
        return cls(
            Choice.from_json(value["analysis"], "analysis"),
            *(Trained.from_json(value[name]) for name in ("original", "oracle", "floor")),
            Unlearned.from_json(value["unlearned"]) if "unlearned" in value else None,
            tuple(value["parts"]) if "parts" in value else None,
            value.get("point"),
            value.get("reads", {}),
        )

    @property
    def ensembles(self) -> Mapping[str, Trained | Unlearned]:
        """The ensembles by role; the second oracle is the floor of whatever is measured."""
        named = {"original": self.original, "oracle": self.oracle, "second oracle": self.floor}
        return named if self.unlearned is None else {**named, "unlearned": self.unlearned}

    @property
    def owner(self) -> Trained | Unlearned:
        """The networks it belongs to: it is freed with the last run that uses them."""
        return self.oracle if self.unlearned is None else self.unlearned


@dataclass(frozen=True, eq=False)
class Explored(Spec):
    """What an analysis measured on the data with hash ``data``.

    ``original`` are the networks it looks through, in the chunk ``part``, if it looks through any.
    """

    kind = "exploration"
    owned = False

    analysis: Choice
    data: str
    original: Trained | None = None
    part: str | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what :attr:`plain` holds."""
        original = Trained.from_json(value["original"]) if "original" in value else None
        return cls(Choice.from_json(value["analysis"], "analysis"), value["data"], original, value.get("part"))

    @property
    def ensembles(self) -> Mapping[str, Trained | Unlearned]:
        """The networks it looks through by role: the originals, or none."""
        return {} if self.original is None else {"original": self.original}


KINDS: tuple[type[Spec], ...] = (
    *(DataSpec, TableSpec, Probe, Trained, ForgetSet, Unlearned, Evaluation, Prepared),
    *(Analysed, Explored),
)
"""Every kind of spec whose artefacts have a kind of their own."""


def _plain(value: object) -> Any:
    if isinstance(value, Spec):
        return value.plain
    if isinstance(value, Choice):
        return value.to_json()
    if isinstance(value, Configured):
        return value.settings()
    return list(value) if isinstance(value, tuple) else value
