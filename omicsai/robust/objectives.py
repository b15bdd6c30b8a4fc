"""What a training step minimises: a loss by name, with the state that it keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from omicsai.errors import InputError
from omicsai.robust import losses, remembering
from omicsai.robust.options import LOSSES, Options
from omicsai.robust.remembering import SMALLEST
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

    def state(self) -> dict[str, Tensor]:
        """Tensors that a resumed run needs, by name; they change in place."""
        return {}


class ProSelfLC(Objective):
    """ProSelfLC, whose trust grows with the steps done.

    A row of zeros in `given` is an unknown label: its target is ε p_T, what the model
    knows weighted by how far it is trusted.
    """

    def __init__(
        self, options: Options, transit: Sequence[float], memory: Tensor, total: int
    ) -> None:
        live = options.target_gradient or options.target_memory > 0
        if options.temperature == 1 and not live:
            raise InputError(losses.CORRECTS_NOTHING)
        self.options, self.transit, self.total = options, transit, total
        self.memory, self.member = memory, torch.arange(len(memory))[:, None]

    def trust(self, time: int) -> Tensor:
        """Global trust g (m,) of each member at a step."""
        return torch.tensor(
            [
                global_trust(
                    time, self.total, exp_base=self.options.exp_base, transit=transit
                )
                for transit in self.transit
            ]
        )

    def target(self, logits: Tensor, given: Tensor, time: int) -> Tensor:
        """Corrected targets (m, b, C) of the first m members at a step."""
        corrected, _ = losses.proselflc_target(
            logits, given, self.trust(time)[: len(logits), None, None],
            temperature=self.options.temperature, trust=self.options.trust,
            target_gradient=self.options.target_gradient,
        )  # fmt: skip
        return corrected

    def __call__(self, logits: Tensor, given: Tensor, rows: Tensor, time: int) -> Tensor:
        """Loss of each example at one step, see `Objective`."""
        if self.options.target_memory == 0:
            return losses.cross_entropy(logits, self.target(logits, given, time))
        # the mean of an example's predictions so far, as logits, stands for the latest
        decay = self.options.target_memory
        recent = decay * self.memory[self.member, rows]
        recent += (1 - decay) * torch.softmax(logits.detach(), dim=-1)
        self.memory[self.member, rows] = recent
        mean = recent / recent.sum(dim=-1, keepdim=True)
        known = mean.clamp_min(SMALLEST).log()
        return losses.cross_entropy(logits, self.target(known, given, time))

    def state(self) -> dict[str, Tensor]:
        """See `Objective`."""
        return {"memory": self.memory} if self.options.target_memory else {}


class _EarlyLearning(Objective):
    """ELR: a running mean of the predictions, for each member and example."""

    def __init__(self, members: int, examples: int, classes: int) -> None:
        self.memory = torch.zeros(members, examples, classes)
        self.member = torch.arange(members)[:, None]

    def __call__(self, logits: Tensor, given: Tensor, rows: Tensor, time: int) -> Tensor:
        recent = remembering.elr_memory(logits, self.memory[self.member, rows])
        self.memory[self.member, rows] = recent
        return remembering.elr(logits, given, recent)

    def state(self) -> dict[str, Tensor]:
        return {"memory": self.memory}


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

    def state(self) -> dict[str, Tensor]:
        return {"u": self.u, "v": self.v}


def new_objective(
    options: Options,
    *,
    members: int,
    examples: int,
    classes: int,
    total: int,
    transit: Sequence[float] | None = None,
) -> Objective:
    """Objective of one training run.

    Parameters
    ----------
    options
        Its `loss`, and for ProSelfLC the settings of trust.
    members, examples, classes
        Sizes of the state that some losses keep for each member and example.
    total
        Planned number of steps.
    transit
        ProSelfLC's τ of each member; ``options.transit`` for all if None.

    Returns
    -------
    Objective

    Raises
    ------
    InputError
        If there is no loss of that name, or ProSelfLC is set to correct nothing.
    """
    name = options.loss
    if name == "proselflc":
        if transit is None:
            assert options.transit is not None
            transit = [options.transit] * members
        kept = examples if options.target_memory else 0
        memory = torch.zeros(members, kept, classes)
        return ProSelfLC(options, transit, memory, total)
    if name == "elr":
        return _EarlyLearning(members, examples, classes)
    if name == "sop":
        return _OverParametrised(members, examples, classes, options.seed)
    if name in STATELESS:
        return Objective(STATELESS[name])
    raise InputError(f"no loss is called {name!r}; known: {', '.join(LOSSES)}")
