"""AdamW with a cosine schedule, for members that may decay differently."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["AdamW"]

FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8


class AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101).

    The step size falls from `rate` to 0 along half a cosine. Decay is decoupled, and only
    for parameters whose name ends in ``weight``.

    Parameters
    ----------
    parameters
        By name, leading axis = member; changed in place.
    rate
        Step size at the start.
    decay
        (m,) weight decay of each member.
    total
        Planned number of steps.
    """

    def __init__(
        self, parameters: dict[str, Tensor], *, rate: float, decay: Tensor, total: int
    ) -> None:
        self.parameters, self.rate, self.decay = parameters, rate, decay
        self.total = total
        self.first = {name: torch.zeros_like(p) for name, p in parameters.items()}
        self.second = {name: torch.zeros_like(p) for name, p in parameters.items()}

    def step(self, time: int) -> None:
        """Move the parameters against their gradients; `time` counts from 1."""
        rate = self.rate * 0.5 * (1 + math.cos(math.pi * (time - 1) / self.total))
        stride = rate / (1 - FIRST**time)
        spread = math.sqrt(1 - SECOND**time)
        with torch.no_grad():
            for name, value in self.parameters.items():
                gradient = value.grad
                assert gradient is not None
                if name.endswith("weight"):
                    shape = (-1, *[1] * (value.dim() - 1))
                    value.mul_(1 - rate * self.decay.view(shape))
                first, second = self.first[name], self.second[name]
                first.lerp_(gradient, 1 - FIRST)
                second.mul_(SECOND).addcmul_(gradient, gradient, value=1 - SECOND)
                root = second.sqrt().div_(spread).add_(EPSILON)
                value.addcdiv_(first, root, value=-stride)
                value.grad = None

    def state(self) -> dict[str, Tensor]:
        """Tensors that a resumed run needs, by name; they change in place."""
        return {
            **{f"first.{name}": value for name, value in self.first.items()},
            **{f"second.{name}": value for name, value in self.second.items()},
        }
