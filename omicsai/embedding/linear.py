"""Linear layers for inference on a CPU: laid out once, or in 8-bit integers."""

from __future__ import annotations

import platform

import torch
from torch import Tensor, nn

__all__ = ["Int8Linear", "PackedLinear", "can_pack"]

PACKED_ROWS = 512  # of the product that weights are laid out for; others run as well
X86 = {"x86_64", "AMD64"}


class Int8Linear(nn.Module):
    """A linear layer in 8-bit integers: weights by row, inputs by token, as they come.

    Each row is scaled by its largest absolute value (absmax); the integer products are
    exact.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.out_features = linear.out_features
        weight, scale = eight_bits(linear.weight.detach().float())
        self.register_buffer("weight", weight.T)
        self.register_buffer("scale", scale.T)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in) to (n, out)."""
        values, scale = eight_bits(x)
        return torch._int_mm(values, self.weight).to(x.dtype) * scale * self.scale


class PackedLinear(nn.Module):
    """A linear layer whose weights are laid out once for oneDNN's products on a CPU.

    The usual layer lays them out anew at each call. For inference: there are no gradients.
    """

    def __init__(self, linear: nn.Linear, activation: str = "none") -> None:
        super().__init__()
        self.out_features = linear.out_features
        self.activation = activation
        weight = linear.weight.detach()
        # not a buffer: tensors of this layout can be neither copied nor saved
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, PACKED_ROWS)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in) to (n, out)."""
        return torch.ops.mkldnn._linear_pointwise(
            x, self.weight, None, self.activation, [], ""
        )


def can_pack(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies matrices of this type on this CPU."""
    if not torch.backends.mkldnn.is_available() or platform.machine() not in X86:
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def eight_bits(x: Tensor) -> tuple[Tensor, Tensor]:
    """Integers from -127 to 127 and the scale of each row."""
    scale = x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12) / 127
    return (x / scale).round_().to(torch.int8), scale
