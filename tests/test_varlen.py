"""The attention kernel of GPUs, run by Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("triton", reason="Triton comes with torch for GPUs")

PROGRAM = """
import sys, torch
from omicsai.embedding.varlen import varlen_attention
given = torch.load(sys.argv[1], weights_only=True)
attend = varlen_attention(given["lengths"], given["table"], given["width"])
torch.save(attend(given["qkv"]), sys.argv[2])
"""


@pytest.mark.parametrize(("width", "far", "dtype"), [(16, 7, "float32"), (32, 128, "half")])
def test_it_equals_plain_attention_within_each_sequence(tmp_path, width, far, dtype):
    import torch

    torch.manual_seed(1)
    lengths, heads = [200, 129, 128, 5, 1, 1], 2
    qkv = torch.randn(sum(lengths), 3 * heads * width).to(getattr(torch, dtype))
    table = torch.randn(heads, 2 * far + 1)
    torch.save(
        {"lengths": lengths, "table": table, "width": width, "qkv": qkv}, tmp_path / "in"
    )
    subprocess.run(  # the interpreter is chosen when triton is imported
        [sys.executable, "-c", PROGRAM, str(tmp_path / "in"), str(tmp_path / "out")],
        env=os.environ | {"TRITON_INTERPRET": "1"}, check=True,
    )  # fmt: skip
    mixed = torch.load(tmp_path / "out", weights_only=True).float()
    place = 0
    for length in lengths:
        q, k, v = (
            qkv[place : place + length].float().view(length, 3, heads, width)
        ).permute(1, 2, 0, 3)  # fmt: skip
        distance = np.subtract.outer(np.arange(length), np.arange(length)).T
        bias = table[:, torch.from_numpy(distance.clip(-far, far) + far)]
        expected = torch.softmax(q @ k.transpose(-1, -2) + bias, dim=-1) @ v
        torch.testing.assert_close(
            mixed[place : place + length],
            expected.transpose(0, 1).reshape(length, -1),
            **({"atol": 1e-5, "rtol": 1e-4} if dtype == "float32" else
               {"atol": 5e-3, "rtol": 5e-3}),
        )  # fmt: skip
        place += length
