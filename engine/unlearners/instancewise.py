"""ADV+IMP: make single pictures misclassified, hold the rest by adversarial examples and by weight importance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated

import torch
from torch import Tensor

from engine.cards import Card, Preset
from engine.curvature import flatten
from engine.descent import BACKWARD, FORWARD, Snapshot, Stepper, Student
from engine.ensemble import Ensemble
from engine.gradients import INPUT_COST, input_gradient, mean_absolute_gradient
from engine.images import Images
from engine.knobs import BadSetting, Knob
from engine.losses import cross_entropy, log_probabilities
from engine.streams import Streams
from engine.task import ForgetTask
from engine.training import Training
from engine.unlearners.base import Unlearner

IMPORTANCE_COST = FORWARD + BACKWARD
"""Cost of one picture's importance: a gradient of its own."""
FLOATS = 2**30
"""Most numbers of adversarial pictures held at once: 4 GiB of float32."""


@dataclass(frozen=True)
class InstanceWise(Unlearner):
    """Teach wrong answers on F, adversarial examples of F with their attack's label, and hold what F does not use.

    A targeted attack moves a picture of F just over the border to another class; taught with that class, it marks where
    the border was, which stands in for the retain set. The penalty strength / 2 sum_i (1 - I_i) (theta_i - theta_0i)^2
    holds the weights that matter least for F: I is the mean over F of |d ||f(x)||^2 / d theta_i| (Memory Aware
    Synapses, arXiv 1711.09601), brought to [0, 1] within each layer. Losses of F and of the attacks are weighted by
    their shares of the step's pictures. A model stops where the goal is reached on all of F.
    """

    key = "adv_imp"
    order = 19
    card = Card(
        name="ADV+IMP",
        summary="Teaches a wrong answer to each picture, while attacks made from them hold the borders of the classes.",
        family="gradient",
        formula="min CE(F, wrong labels) or -CE(F), + CE(attacks on F, their targets), + strength / 2 sum (1 - I) "
        "(theta - theta_0)^2",
        reads=("forget",),
        cost="forward-equivalents x |F|: 2 x attacks x attack steps + 3, then 3 x (attacks + the pictures of F beside "
        "them) x epochs, and 1 for each look whether the goal is reached",
        paper="Learning to Unlearn: Instance-wise Unlearning for Pre-trained Classifiers",
        year=2023,
        arxiv="2301.11578",
        departs="After the released code; the paper's text was not at hand. Importance is that of each squared norm, "
        "as Memory Aware Synapses has it, in evaluation mode, where the code differentiates a batch's mean norm in "
        "training mode; an attack's label is never the true one; no weight decay. The code climbs the loss in small "
        "steps with many attacks; relabelling, the paper's other goal, is the default, for it ends.",
        fails="The goal is a wrong answer, where a retrain would mostly give the right one: what is forgotten shows "
        "itself. Attacks hold only the borders they reach, so the more is forgotten, the more else goes with it.",
    )
    published = Preset(
        settings={
            "goal": "misclassify",
            "lr": 1e-3,
            "strength": 1.0,
            "attacks": 20,
            "attack_steps": 100,
            "batch_size": 256,
            "forget_batch_size": 32,
        },
        source="the released code of Learning to Unlearn: Instance-wise Unlearning",
        gap="its pictures are 50,000; on the digits this goal keeps a quarter of the rest at best",
    )
    tuned = MappingProxyType({"lr": "0.01|0.03", "strength": "1|10"})

    goal: Annotated[
        str,
        Knob(
            "goal",
            "misclassify: any wrong class, by climbing the loss; relabel: a random wrong class, drawn once.",
            choices=("misclassify", "relabel"),
        ),
    ] = "relabel"
    lr: Annotated[float, Knob("learning rate", "Step length of SGD.", low=1e-7, high=1, scale="log")] = 0.03
    epochs: Annotated[int, Knob("epochs", "Passes over the adversarial examples, at most.", low=1, high=1000)] = 20
    attacks: Annotated[int, Knob("attacks", "Adversarial examples of each picture to forget.", low=1, high=500)] = 10
    radius: Annotated[
        float,
        Knob(
            "radius",
            "Largest Euclidean length of an attack, pixels going from 0 to 1; of a table, in standard deviations.",
            low=0.01,
            high=100,
            scale="log",
        ),
    ] = 1.5
    strength: Annotated[
        float,
        Knob("strength", "How strongly weights that matter little for F are held.", low=0, high=1000, scale="log"),
    ] = 0.03
    stop: Annotated[
        bool, Knob("stop", "A model stops when all its pictures are wrong, or have their new label; off, it goes on.")
    ] = True
    attack_steps: Annotated[
        int, Knob("attack steps", "Steps that make an adversarial example.", low=1, high=1000, advanced=True)
    ] = 10
    attack_rate: Annotated[
        float, Knob("attack rate", "Length of each of these steps.", low=1e-4, high=10, scale="log", advanced=True)
    ] = 0.3
    momentum: Annotated[float, Knob("momentum", "SGD momentum.", low=0, high=0.999, advanced=True)] = 0.9
    batch_size: Annotated[
        int, Knob("batch size", "Adversarial examples per step.", low=1, high=4096, advanced=True)
    ] = 64
    forget_batch_size: Annotated[
        int, Knob("forget batch size", "Pictures of F beside them, cycled.", low=1, high=4096, advanced=True)
    ] = 64

    def __post_init__(self) -> None:
        """Check every knob, and that the penalty pulls weights back and does not throw them past their start."""
        super().__post_init__()
        if self.lr * self.strength >= 2:
            raise BadSetting(f"{self.key}: learning rate times strength must be below 2; lower one of them")

    def planned_cost(self, *, forget: int, retain: int, training: Training) -> float:  # noqa: ARG002
        """Return the attacks, the importance, 3 forward-equivalents per picture of a step, and the looks at F."""
        count = forget * self.attacks
        steps = self.epochs * -(-count // self.batch_size)
        cycles, rest = divmod(steps, -(-forget // self.forget_batch_size))
        paired = cycles * forget + min(rest * self.forget_batch_size, forget)
        looks = (steps + 1) * forget * FORWARD if self.stop else 0.0
        return self._before(forget) + (FORWARD + BACKWARD) * (self.epochs * count + paired) + looks

    def unlearn(self, original: Ensemble, task: ForgetTask, *, seed: int) -> Iterator[Snapshot]:
        """Yield after each update; attacks and importance are counted with the first.

        Raises:
            BadSetting: there is no room for the adversarial examples.
        """
        forget, models, count = task.forget, len(original), len(task.forget)
        attacks = count * self.attacks
        if models * attacks * forget.x[0].numel() > FLOATS:
            raise BadSetting(f"{self.key}: too many adversarial examples at once; fewer attacks or a smaller chunk")
        total = self.epochs * -(-attacks // self.batch_size)
        stepper = Stepper(original, total=total, lr=self.lr, momentum=self.momentum)
        yield stepper.snapshot()

        streams = Streams(seed, self.key, original.ids, original.device)
        sources = torch.arange(attacks, device=original.device) % count  # (A,)
        targets = streams.wrong_labels(forget.y[sources], task.net.classes)  # (M, A)
        attacked = attack(
            original, forget.take(sources), targets, streams.normal(attacks, *task.net.shape),
            radius=self.radius, steps=self.attack_steps, rate=self.attack_rate,
        )  # (M, A, c, h, w)  # fmt: skip
        sign = -1.0 if self.goal == "misclassify" else 1.0
        labels = forget.y.expand(models, -1) if sign < 0 else streams.wrong_labels(forget.y, task.net.classes)  # (M, F)
        start = flatten(original.params)  # (M, P)
        hold = flatten(unimportance(original, forget)) if self.strength else torch.zeros_like(start)  # (M, P)
        stepper.cost += self._before(count)

        def objective(
            student: Student, x: Tensor, y: Tensor, x_forget: Tensor, y_forget: Tensor, start: Tensor, hold: Tensor,
            going: Tensor,
        ) -> Tensor:  # fmt: skip
            share = len(y) / (len(y) + len(y_forget))
            # One pass for both, so that batch norm never takes its statistics from the few pictures of F alone.
            log_p = log_probabilities(student(torch.cat([x, x_forget])))  # (C, B + b)
            losses = -log_p.gather(0, torch.cat([y, y_forget]).unsqueeze(0)).squeeze(0)  # (B + b,)
            on_attacks, on_forget = share * losses[: len(y)].mean(), (1 - share) * sign * losses[len(y) :].mean()
            weights = torch.cat([weight.flatten() for weight in student.params.values()])  # (P,)
            penalty = self.strength / 2 * (hold * (weights - start).square()).sum()
            return going * (on_attacks + on_forget + penalty)

        now = original
        going = torch.ones(models, dtype=torch.bool, device=original.device)  # (M,)
        if self.stop:
            going = ~self._reached(now, forget, labels)
            stepper.cost += count * FORWARD
        beside = _forever(streams, count, self.forget_batch_size)
        model = torch.arange(models, device=original.device).unsqueeze(1)  # (M, 1)
        for _ in range(self.epochs):
            for order in streams.epoch(attacks, self.batch_size):  # (M, B)
                chosen = next(beside)  # (M, b)
                size = order.shape[1] + chosen.shape[1]
                stepper.step(
                    objective, attacked[model, order], targets.gather(1, order), forget.pictures(chosen),
                    labels.gather(1, chosen), start, hold, going.float(),
                    seen=size, cost=size * (FORWARD + BACKWARD), name="objective",
                )  # fmt: skip
                now = _moved(going, stepper.ensemble, now)
                if self.stop:
                    going = going & ~self._reached(now, forget, labels)
                    stepper.cost += count * FORWARD
                yield replace(stepper.snapshot(), ensemble=now)

    def _before(self, forget: int) -> float:
        """Return what attacks and importance cost before the first step."""
        attacks = forget * self.attacks * self.attack_steps * INPUT_COST
        return attacks + (forget * IMPORTANCE_COST if self.strength else 0.0)

    def _reached(self, ensemble: Ensemble, forget: Images, labels: Tensor) -> Tensor:
        """Return which models (M,) have reached the goal on all of F, in evaluation mode; ``labels`` is (M, F)."""
        reached = torch.ones(len(ensemble), dtype=torch.bool, device=ensemble.device)  # (M,)
        for span in ensemble.spans(len(forget)):
            answers = ensemble.logits_shared(forget.pictures(span)).argmax(-1)  # (M, B)
            right = answers == labels[:, span]  # (M, B)
            reached &= (right if self.goal == "relabel" else ~right).all(dim=1)
        return reached


def attack(
    original: Ensemble, images: Images, targets: Tensor, noise: Tensor, *, radius: float, steps: int, rate: float
) -> Tensor:
    """Return normalised pictures (M, A, c, h, w) that the models are to take for ``targets`` (M, A).

    Projected gradient descent of the cross-entropy to the target, in pixels from 0 to 1: each step has length ``rate``
    along the gradient, and ends in a valid picture no further than ``radius`` (Euclidean) from its source. It begins
    ``radius`` away along ``noise`` (M, A, c, h, w). The networks are in evaluation mode. Rows of a table are attacked
    in standard deviations and are bounded by the radius alone.

    Cost: 2 forward-equivalents per picture and step.
    """
    if original.strategy == "stacked":
        parts = [slice(0, len(original))]
    else:
        parts = [slice(m, m + 1) for m in range(len(original))]
    attacked = []
    for part in parts:
        models, rows = original[part], []
        for span in models.spans(len(images)):
            source = images.pictures(span) if images.tabular else images.x[span].float() / images.top  # (B, c, h, w)
            begin = source + radius * noise[part, span] / _length(noise[part, span])  # (M, B, c, h, w)
            begin = _valid(begin, images)
            rows.append(_descend(models, images, source, begin, targets[part, span], radius, steps, rate))
        attacked.append(torch.cat(rows, dim=1))
    return torch.cat(attacked)  # (M, A, c, h, w)


def unimportance(ensemble: Ensemble, images: Images) -> dict[str, Tensor]:
    """Return 1 - I for every weight, from 0 for the most important of its layer to 1 for the least: name to (M, ...).

    I is the mean over ``images`` of the absolute gradient of the logits' squared length. A layer whose weights are all
    as important counts as unimportant. Cost: 3 forward-equivalents per picture.
    """
    importance = mean_absolute_gradient(ensemble, _squared_length, images)
    result = {}
    for name, value in importance.items():
        flat = value.flatten(1)  # (M, weights of the layer)
        low, high = flat.amin(dim=1, keepdim=True), flat.amax(dim=1, keepdim=True)  # (M, 1)
        result[name] = (1 - (flat - low) / (high - low).clamp(min=1e-30)).view_as(value)
    return result


def _squared_length(student: Student, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001 - labels are not needed
    return student(x).square().sum(dim=-1).mean()


def _descend(
    models: Ensemble,
    images: Images,
    source: Tensor,
    begin: Tensor,
    targets: Tensor,
    radius: float,
    steps: int,
    rate: float,
) -> Tensor:
    """Take pictures from ``begin`` (M, B, c, h, w) towards ``targets`` (M, B), near ``source`` (B, c, h, w)."""

    def normalised(x: Tensor) -> Tensor:
        return x if images.tabular else (x - images.mean) / images.std

    def loss(network: Student, x: Tensor, y: Tensor) -> Tensor:
        # Summed, not averaged: each picture is its own problem.
        return len(y) * cross_entropy(network, normalised(x), y)

    x = _near(begin, source, radius)
    for _ in range(steps):
        gradient = input_gradient(models, loss, x, targets)
        x = _near(_valid(x - rate * gradient / _length(gradient), images), source, radius)
    return normalised(x)


def _valid(x: Tensor, images: Images) -> Tensor:
    """Return the valid picture nearest to x; a row of a table is valid as it is."""
    return x if images.tabular else x.clamp(0, 1)


def _near(x: Tensor, source: Tensor, radius: float) -> Tensor:
    """Return the point of the ball around ``source`` nearest to x; of two valid pictures it is a valid one."""
    apart = x - source
    return source + apart * (radius / _length(apart)).clamp(max=1)


def _length(x: Tensor) -> Tensor:
    """Return the Euclidean length of each picture (M, B, c, h, w), as (M, B, 1, 1, 1); never zero."""
    return x.flatten(2).norm(dim=2)[..., None, None, None].clamp(min=1e-12)


def _moved(going: Tensor, after: Ensemble, before: Ensemble) -> Ensemble:
    """Return the models ``after`` a step where they are ``going`` (M,), and as ``before`` where they have stopped."""

    def chosen(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(going.view(-1, *[1] * (new.ndim - 1)), new, old)

    params = {k: chosen(v, before.params[k]) for k, v in after.params.items()}
    buffers = {k: chosen(v, before.buffers[k]) for k, v in after.buffers.items()}
    return replace(after, params=params, buffers=buffers)


def _forever(streams: Streams, n: int, batch_size: int) -> Iterator[Tensor]:
    """Yield positions (M, b) below n without end, each pass in a fresh order."""
    while True:
        yield from streams.epoch(n, batch_size)
