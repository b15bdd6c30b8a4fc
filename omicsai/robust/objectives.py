"""What a training step minimises: a loss by name, with the state that it keeps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from omicsai.errors import InputError
from omicsai.robust import losses, remembering
from omicsai.robust.options import LOSSES, Options
from omicsai.robust.trust import global_trust

__all__ = ["Objective", "ProSelfLC", "new_objective"]

STATELESS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": losses.cross_entropy,
    "label_smoothing": losses.label_smoothing,
    "confidence_penalty": losses.confidence_penalty,
    "boot_soft": losses.label_correction,
    "boot_hard": losses.bootstrap_hard,
    "mae": losses.mean_absolute_error,
    "mse": losses.mean_squared_error,
    "gce": losses.generalised_cross_entropy,
    "sce": losses.symmetric_cross_entropy,
    "imae": losses.imae,
    "dm": losses.derivative_manipulation,
}


class Objective:
    """Loss of a batch of m members, b examples each; here of a loss without state."""

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.loss = loss

    def __call__(self, logits: Tensor, given: Tensor, rows: Tensor, time: int) -> Tensor:
        """Loss of each example at one step.

        Parameters
        ----------
        logits, given
            (m, b, C) logits and label distributions.
        rows
            (m, b) which examples they are.
        time
            Step, from 1.

        Returns
        -------
        Tensor
            (m, b), to be averaged over b.
        """
        return self.loss(logits, given)

    def update(self) -> None:
        """Learn from the step, once its gradient is there."""


class ProSelfLC(Objective):
    """ProSelfLC, whose trust grows with the steps done."""

    def __init__(self, options: Options, total: int) -> None:
        assert options.transit is not None
        self.options, self.transit, self.total = options, options.transit, total

    def trust(self, time: int) -> float:
        """Global trust g at a step."""
        return global_trust(
            time, self.total, exp_base=self.options.exp_base, transit=self.transit
        )

    def target(self, logits: Tensor, given: Tensor, time: int) -> Tensor:
        """Corrected targets (..., C) at a step."""
        corrected, _ = losses.proselflc_target(
            logits, given, self.trust(time),
            temperature=self.options.temperature, trust=self.options.trust,
        )  # fmt: skip
        return corrected

    def __call__(self, logits: Tensor, given: Tensor, rows: Tensor, time: int) -> Tensor:
        """Loss of each example at one step, see `Objective`."""
        return losses.cross_entropy(logits, self.target(logits, given, time))


class _EarlyLearning(Objective):
    """ELR: a running mean of the predictions, for each member and example."""

    def __init__(self, members: int, examples: int, classes: int) -> None:
        self.memory = torch.zeros(members, examples, classes)
        self.member = torch.arange(members)[:, None]

    def __call__(self, logits: Tensor, given: Tensor, rows: Tensor, time: int) -> Tensor:
        recent = remembering.elr_memory(logits, self.memory[self.member, rows])
        self.memory[self.member, rows] = recent
        return remembering.elr(logits, given, recent)


class _OverParametrised(Objective):
    """SOP: u and v of each member and example, trained by plain gradient descent."""

    STEP_U, STEP_V = 1.0, 10.0
    START = 1e-8  # standard deviation of u and v at the start

    def __init__(self, members: int, examples: int, classes: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)

        def start(width: int) -> Tensor:
            return self.START * torch.randn(members, examples, width, generator=generator)

        self.u, self.v = start(1), start(classes)
        self.member = torch.arange(members)[:, None]

    def __call__(self, logits: Tensor, given: Tensor, rows: Tensor, time: int) -> Tensor:
        self.rows = rows
        self.batch_u = self.u[self.member, rows].requires_grad_(True)
        self.batch_v = self.v[self.member, rows].requires_grad_(True)
        return remembering.sop(logits, given, self.batch_u, self.batch_v)

    def update(self) -> None:
        for state, batch, step in (
            (self.u, self.batch_u, self.STEP_U),
            (self.v, self.batch_v, self.STEP_V),
        ):
            assert batch.grad is not None
            state[self.member, self.rows] = batch.detach() - step * batch.grad


def new_objective(
    options: Options, *, members: int, examples: int, classes: int, total: int
) -> Objective:
    """Objective of one training run.

    Parameters
    ----------
    options
        Its `loss`, and for ProSelfLC the settings of trust; `transit` must be set.
    members, examples, classes
        Sizes of the state that some losses keep for each member and example.
    total
        Planned number of steps.

    Returns
    -------
    Objective

    Raises
    ------
    InputError
        If there is no loss of that name.
    """
    name = options.loss
    if name == "proselflc":
        return ProSelfLC(options, total)
    if name == "elr":
        return _EarlyLearning(members, examples, classes)
    if name == "sop":
        return _OverParametrised(members, examples, classes, options.seed)
    if name in STATELESS:
        return Objective(STATELESS[name])
    raise InputError(f"no loss is called {name!r}; known: {', '.join(LOSSES)}")
