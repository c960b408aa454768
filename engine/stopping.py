"""Early stopping of M models trained together, each by examples of its own that it is not trained on."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from engine.descent import FORWARD, Snapshot
from engine.ensemble import Ensemble
from engine.images import Images
from engine.streams import Streams
from engine.training import Training


class Stopping:
    """Holds a share of each model's examples out, and decides after each epoch which models go on.

    A model stops after ``training.patience`` epochs in a row in which the mean cross-entropy of its held-out examples,
    in evaluation mode, did not fall below its lowest, and goes back to the weights that had the lowest. Which examples
    are held out depends on (seed, role, the model's number) alone, so what a model becomes does not depend on its
    neighbours. A loss that is no longer a number never stops a model: its divergence must show.

    Cost: a forward pass of each held-out example an epoch.
    Source: the stopping rule is that of IAU (arXiv 2507.23257, section VI-A), which watches the accuracy of a
    validation set; the loss still distinguishes epochs where a hundred examples are all classified right.
    """

    def __init__(
        self, start: Ensemble, images: Images, positions: Tensor | None, training: Training, *, seed: int, role: str
    ) -> None:
        """Draw the held-out examples of ``start``'s models from all ``images`` or from ``positions`` (n,) or (M, n).

        Raises:
            ValueError: a single example, of which none can be held out.
        """
        n = len(images) if positions is None else positions.shape[-1]
        if n < 2:
            raise ValueError("early stopping holds examples out, and the subset has only one")
        order = Streams(seed, f"{role}:held out", start.ids, start.device).permutation(n)  # (M, n)
        if positions is not None:
            order = positions[order] if positions.ndim == 1 else positions.gather(1, order)  # (M, n)
        self._held, self.trained = order.tensor_split([training.held(n)], dim=1)  # (M, h), (M, n - h)
        self._images = images
        self._training = training
        self._best = start.clone()
        self._lowest = torch.full((len(start),), torch.inf, device=start.device)  # (M,)
        self._idle = torch.zeros(len(start), dtype=torch.int64, device=start.device)  # (M,) epochs since the lowest
        self._losses = torch.zeros(len(start), device=start.device)  # (M,) of the last batch
        self._epochs = torch.zeros_like(self._idle)  # (M,) that each model was trained for
        self._going = torch.arange(len(start), device=start.device)  # (m,) models still being trained
        self._seen = 0
        self._cost = 0.0

    def counted(self, snapshot: Snapshot, size: int) -> Snapshot:
        """Return the snapshot after a step on ``size`` examples with what the models have done so far, their mean."""
        models = len(self._going)
        self._losses[self._going] = snapshot.losses["loss"]
        self._seen += size * models
        self._cost += size * models * self._training.passes
        return self._counted(snapshot)

    def look(self, ensemble: Ensemble) -> list[int]:
        """Measure the models that are still being trained; return the positions in ``ensemble`` of those that go on."""
        going = self._going
        loss = self._held_out_loss(ensemble, self._held[going])  # (m,)
        self._cost += FORWARD * self._held.shape[1] * len(going)
        self._epochs[going] += 1
        better = ~(loss >= self._lowest[going])  # (m,); true for what is not a number
        self._lowest[going] = torch.where(better, loss, self._lowest[going])
        self._idle[going] = torch.where(better, 0, self._idle[going] + 1)
        now, best = ensemble.tensors(), self._best.tensors()
        for name, weights in best.items():
            weights[going[better]] = now[name][better]
        on = (self._idle[going] < self._training.patience).nonzero()[:, 0]  # (m,)
        self._going = going[on]
        return on.tolist()

    def result(self, snapshot: Snapshot) -> Snapshot:
        """Return every model with its best weights: one step, which ends the training."""
        step = snapshot.step + 1
        losses = {"loss": self._losses}
        return self._counted(
            replace(snapshot, ensemble=self._best, step=step, total=step, losses=losses, epochs=self._epochs)
        )

    def _counted(self, snapshot: Snapshot) -> Snapshot:
        models = len(self._best)
        return replace(snapshot, seen=self._seen // models, cost=self._cost / models)

    def _held_out_loss(self, ensemble: Ensemble, held: Tensor) -> Tensor:
        total = torch.zeros(len(ensemble), device=ensemble.device)  # (m,)
        for span in ensemble.spans(held.shape[1]):
            x, y = self._images.batch(held[:, span])  # (m, b, c, h, w), (m, b)
            log_p = ensemble.logits(x).log_softmax(dim=-1)  # (m, b, C)
            total -= log_p.gather(2, y.unsqueeze(2)).squeeze(2).sum(dim=1)
        return total / held.shape[1]
