"""An ensemble: M models of one architecture with stacked weights, evaluated together.

The M axis is first in every tensor here and does not exist inside any algorithm: losses are written for one model and
spread over M at the edge (:mod:`engine.descent`). A single model is an ensemble of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from engine.models.base import Net, Network
from engine.seeds import derive

Strategy = Literal["stacked", "looped"]
EVALUATION_FLOATS = 2**25
"""Most activations of one layer held at once while evaluating: 128 MiB of float32."""


@dataclass(frozen=True)
class Ensemble:
    """M models.

    ``params`` and ``buffers`` map names to tensors (M, ...); ``ids`` are the models' numbers in the whole ensemble,
    which decide their random streams; ``strategy`` is whether work on them is stacked or looped, which changes only
    speed.
    """

    net: Net
    params: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    ids: tuple[int, ...]
    strategy: Strategy = "stacked"

    @classmethod
    def initial(
        cls, net: Net, *, seed: int, role: str, ids: Sequence[int], device: torch.device, strategy: Strategy
    ) -> Self:
        """Return fresh models; number i depends only on (net, seed, role, i)."""
        models = [net.initial(derive(seed, role, i)) for i in ids]
        params = {
            k: torch.stack([dict(m.named_parameters())[k].detach() for m in models])
            for k, _ in models[0].named_parameters()
        }  # (M, ...)
        buffers = {
            k: torch.stack([dict(m.named_buffers())[k] for m in models]) for k, _ in models[0].named_buffers()
        }  # (M, ...)
        return cls(net, params, buffers, tuple(ids), strategy).to(device)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(iter(self.params.values())).device

    def to(self, device: torch.device) -> Self:
        """Return the ensemble with its weights on ``device``."""
        return self._map(lambda t: t.to(device))

    def clone(self) -> Self:
        """Return a copy that shares no memory with this one."""
        return self._map(torch.clone)

    def __getitem__(self, models: slice) -> Self:
        """Return some of the models, by position."""
        part = self._map(lambda t: t[models])
        return replace(part, ids=self.ids[models])

    def pick(self, models: Sequence[int]) -> Self:
        """Return a copy of the models at these positions, in this order."""
        index = torch.tensor(list(models), dtype=torch.int64, device=self.device)
        return replace(self._map(lambda t: t[index]), ids=tuple(self.ids[m] for m in models))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return one ensemble of all models of ``parts``, in their order."""
        first = parts[0]
        params = {k: torch.cat([p.params[k] for p in parts]) for k in first.params}  # (sum of M, ...)
        buffers = {k: torch.cat([p.buffers[k] for p in parts]) for k in first.buffers}  # (sum of M, ...)
        return replace(first, params=params, buffers=buffers, ids=tuple(i for p in parts for i in p.ids))

    def tensors(self) -> dict[str, Tensor]:
        """Return every parameter and buffer under one name each, for a file."""
        return {
            **{f"params/{k}": v for k, v in self.params.items()},
            **{f"buffers/{k}": v for k, v in self.buffers.items()},
        }

    @classmethod
    def from_tensors(cls, net: Net, tensors: Mapping[str, Tensor], *, ids: Sequence[int], strategy: Strategy) -> Self:
        """Read what :meth:`tensors` returned.

        Raises:
            ValueError: names or shapes are not those of ``net`` with ``len(ids)`` models.
        """
        expected = cls.initial(
            net, seed=0, role="shape", ids=[0], device=torch.device("cpu"), strategy=strategy
        ).tensors()
        if set(expected) != set(tensors):
            raise ValueError(f"the stored weights do not belong to {net.architecture.key}: other layers")
        for name, tensor in tensors.items():
            if tuple(tensor.shape) != (len(ids), *expected[name].shape[1:]):
                raise ValueError(
                    f"the stored weights do not belong to {net.architecture.key}: {name} has another shape"
                )
        params = {k.removeprefix("params/"): v for k, v in tensors.items() if k.startswith("params/")}
        buffers = {k.removeprefix("buffers/"): v for k, v in tensors.items() if k.startswith("buffers/")}
        order = [k.removeprefix("params/") for k in expected if k.startswith("params/")]
        return cls(net, {k: params[k] for k in order}, buffers, tuple(ids), strategy)

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """Return evaluation-mode logits (M, B, C) of float pictures, each model on its own x (M, B, c, h, w)."""
        return self._evaluate(x, part="", per_model=True)

    @torch.no_grad()
    def logits_shared(self, x: Tensor) -> Tensor:
        """Return evaluation-mode logits (M, B, C) of the same float pictures x (B, c, h, w) for every model."""
        return self._evaluate(x, part="", per_model=False)

    @torch.no_grad()
    def features_shared(self, x: Tensor) -> Tensor:
        """Return penultimate features (M, B, D) of the same float pictures x (B, c, h, w) for every model."""
        return self._evaluate(x, part="body", per_model=False)

    @torch.no_grad()
    def layers_shared(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Return evaluation-mode outputs (M, B, D) of named layers, flattened, for the same pictures x (B, c, h, w).

        Names are those of ``net.layers``. Cost: one forward pass, however many layers.
        """
        skeleton = self.net.evaluation_skeleton
        outputs: dict[str, Tensor] = {}

        def keep(path: str) -> Callable[..., None]:
            return lambda _module, _inputs, output: outputs.update({path: output.flatten(1)})

        def one(state: dict[str, Tensor], x: Tensor) -> tuple[Tensor, ...]:
            functional_call(skeleton, state, (x,))
            return tuple(torch.cat([outputs[path] for path in self.net.layers[name]], dim=1) for name in names)

        paths = dict.fromkeys(path for name in names for path in self.net.layers[name])
        hooks = [skeleton.get_submodule(path).register_forward_hook(keep(path)) for path in paths]
        try:
            layers = self._spread(one, {**self.params, **self.buffers}, x, per_model=False)
        finally:
            for hook in hooks:
                hook.remove()
        return dict(zip(names, layers, strict=True))

    def network(self, model: int) -> Network:
        """Return the model at this position as an ordinary module in evaluation mode with weights of its own."""
        network = self.net.initial(0).eval().to(self.device)
        network.load_state_dict({k: v[model] for k, v in {**self.params, **self.buffers}.items()})
        return network

    def spans(self, n: int) -> Iterator[slice]:
        """Yield slices of ``n`` examples small enough that no layer's activations of all models exceed the bound."""
        size = max(1, EVALUATION_FLOATS // (self.net.width * (len(self) if self.strategy == "stacked" else 1)))
        for start in range(0, n, size):
            yield slice(start, min(start + size, n))

    def _evaluate(self, x: Tensor, *, part: str, per_model: bool) -> Tensor:
        skeleton = self.net.evaluation_skeleton
        module = skeleton.get_submodule(part)
        start = f"{part}." if part else ""
        state = {k.removeprefix(start): v for k, v in {**self.params, **self.buffers}.items() if k.startswith(start)}

        def one(state: dict[str, Tensor], x: Tensor) -> Tensor:
            return functional_call(module, state, (x,))

        if not state:  # a body without weights, such as a flatten: the same for every model
            out = one({}, x.flatten(0, 1) if per_model else x)
            return out.unflatten(0, x.shape[:2]) if per_model else out.expand(len(self), *out.shape)  # (M, B, D)
        return self._spread(lambda state, x: (one(state, x),), state, x, per_model=per_model)[0]  # (M, B, C)

    def _spread(
        self, one: Callable[..., tuple[Tensor, ...]], state: dict[str, Tensor], x: Tensor, *, per_model: bool
    ) -> tuple[Tensor, ...]:
        """Return what ``one(weights, x)`` returns for each model, stacked: (M, ...) each."""
        if self.strategy == "stacked":
            return vmap(one, in_dims=(0, 0 if per_model else None))(state, x)
        rows = [one({k: v[m] for k, v in state.items()}, x[m] if per_model else x) for m in range(len(self))]
        return tuple(torch.stack(each) for each in zip(*rows, strict=True))

    def _map(self, change: object) -> Self:
        return replace(
            self,
            params={k: change(v) for k, v in self.params.items()},  # type: ignore[operator]
            buffers={k: change(v) for k, v in self.buffers.items()},  # type: ignore[operator]
        )


def margins(logits: Tensor, y: Tensor) -> Tensor:
    """Return margin = true-class logit minus logsumexp of the other logits, in logits (natural units).

    ``logits`` (..., B, C), ``y`` (B,) or (..., B); result (..., B). Equals the logit of the probability of y.
    Source: Unlearning via Simulated Oracle Matching, appendix F.1.
    """
    index = y.expand(logits.shape[:-1]).unsqueeze(-1)  # (..., B, 1)
    true = logits.gather(-1, index).squeeze(-1)  # (..., B)
    others = logits.scatter(-1, index, float("-inf")).logsumexp(-1)  # (..., B)
    return true - others
