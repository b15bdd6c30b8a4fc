r"""The packed T5 engine beside plain implementations, on random weights.

    python -m tests.benchmarks.embedding_engine --shape S --threads 1 --memory
    python -m tests.benchmarks.embedding_engine --shape XL --device cuda \
        --precision bfloat16 --count 2000

Lengths are those of the E. coli proteome (OMICSAI_SHARED), a sample drawn once. Rivals
run in `transformers` on the same weights:

* ``prottrans``: the batching of ProtTrans' prott5_embedder.py with eager attention:
  longest first, padded, at most 4,000 residues or 100 sequences, above 1,000 alone;
* ``one by one`` and ``padded budget``: with scaled-dot-product attention, the second
  sorted and padded under the token budget of the packed engine;
* ``fixed 16``: 16 sequences in input order, padded, eager.

Rounds are interleaved; the best round counts, in CPU seconds (the machine may be shared).
Also measured: the matrix products of the packed pass alone, int8 and its error, peak
memory of each way in a process of its own (--memory), and the table beside the tokenizer.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from omicsai.embedding.batching import batches
from omicsai.embedding.language_model import LanguageModel, packed_model
from omicsai.embedding.linear import PackedLinear, can_pack
from omicsai.embedding.t5 import Shape, T5Encoder
from omicsai.embedding.vocabulary import PROTT5

SHAPES = {
    "S": Shape(128, 512, 64, 2048, 8, 6),
    "P": Shape(128, 512, 128, 8192, 16, 6),
    "XL": Shape(128, 1024, 128, 16384, 32, 24),
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def proteome(count: int, seed: int = 1) -> list[str]:
    """A sample of E. coli's proteins."""
    place = Path(os.environ.get("OMICSAI_SHARED", "../shared"))
    path = place / "data/domains/ecoli/UP000000625-E.coli.fasta.gz"
    with gzip.open(path, "rt") as stream:
        records = ["".join(each.splitlines()[1:]) for each in stream.read().split(">")[1:]]
    chosen = np.random.default_rng(seed).choice(len(records), count, replace=False)
    return [records[i] for i in chosen]


def plain(shape: Shape, attention: str, dtype: torch.dtype, device: str) -> torch.nn.Module:
    """A random T5 encoder of `transformers`, with biases that matter."""
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(1)
    config = T5Config(
        **vars(shape), is_encoder_decoder=False, use_cache=False, dropout_rate=0.0
    )
    config._attn_implementation = attention
    with torch.device(device):
        model = T5EncoderModel._from_config(config, attn_implementation=attention)
    with torch.no_grad():
        for name, value in sorted(model.named_parameters()):
            if "relative_attention_bias" in name:
                drawn = torch.randn(value.shape, generator=torch.Generator().manual_seed(2))
                value.copy_(drawn)
    return model.eval().to(dtype)


def padded(
    model: torch.nn.Module, sequences: Sequence[str], device: str
) -> list[torch.Tensor]:
    """Means over the residues from one padded pass."""
    tokens = [PROTT5.tokens(text) for text in sequences]
    width = max(map(len, tokens))
    ids = torch.zeros(len(tokens), width, dtype=torch.long)
    mask = torch.zeros(len(tokens), width, dtype=torch.long)
    for i, each in enumerate(tokens):
        ids[i, : len(each)] = torch.from_numpy(each)
        mask[i, : len(each)] = 1
    hidden = model(
        input_ids=ids.to(device), attention_mask=mask.to(device)
    ).last_hidden_state
    return [hidden[i, : len(text)].float().mean(0) for i, text in enumerate(sequences)]


def prottrans(lengths: Sequence[int]) -> list[slice]:
    """Batches of ProtTrans' script: residues counted without padding, the last twice."""
    made, start, size = [], 0, 0
    for i, length in enumerate(lengths):
        size += length
        following = size + length
        if (
            i + 1 - start >= 100
            or following >= 4000
            or i + 1 == len(lengths)
            or length > 1000
        ):
            made.append(slice(start, i + 1))
            start, size = i + 1, 0
    return made


def linear(weight: torch.Tensor) -> torch.nn.Linear:
    """A layer with these weights."""
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    return layer


def products_alone(model: LanguageModel, shape: Shape, batched: Sequence[int]) -> Callable:
    """Just the matrix products of the linear layers, for the same numbers of tokens.

    By the same routine as the engine: with weights laid out once where it does that.
    """
    kind = {"dtype": next(iter(model.states.parameters())).dtype, "device": model.device}
    ff, inner, width = shape.d_ff, shape.inner, shape.d_model
    weights = [
        torch.randn(rows, columns, **kind)
        for rows, columns in ((3 * inner, width), (width, inner), (ff, width), (width, ff))
    ]
    layers = [linear(weight) for weight in weights]
    if model.device.type == "cpu" and can_pack(kind["dtype"]):
        layers = [PackedLinear(layer) for layer in layers]
    inputs = {
        n: [torch.randn(n, w.shape[1], **kind) for w in weights] for n in set(batched)
    }

    def run() -> None:
        for n in batched:
            for _ in range(shape.num_layers):
                for x, layer in zip(inputs[n], layers, strict=True):
                    layer(x)

    return run


def ways(shape: Shape, sequences: list[str], options: argparse.Namespace) -> dict:
    """Every way to encode the sequences, as functions that give n means."""
    dtype, device = DTYPES[options.precision], options.device
    order = sorted(sequences, key=len, reverse=True)
    lengths = [len(text) for text in order]
    eager = plain(shape, "eager", dtype, device)
    sdpa = plain(shape, "sdpa", dtype, device)
    with torch.device(device):
        encoder = T5Encoder(shape)
    encoder.load_transformers(sdpa.state_dict())
    identity = {"precision": options.precision}
    packed = packed_model(encoder.to(dtype), PROTT5, torch.device(device), identity)
    budget = options.budget or packed.budget()

    def means(cut: Sequence[slice], model: torch.nn.Module, some: list[str]) -> np.ndarray:
        rows = [row for part in cut for row in padded(model, some[part], device)]
        return torch.stack(rows).cpu().numpy()

    def engine(model: LanguageModel) -> np.ndarray:
        cut = batches(lengths, budget)
        return np.stack([v for part in cut for v, _ in model.encode(order[part])])

    singles = [slice(i, i + 1) for i in range(len(order))]
    sixteens = [slice(i, i + 16) for i in range(0, len(order), 16)]
    found = {
        "prottrans": lambda: means(prottrans(lengths), eager, order),
        "prottrans sdpa": lambda: means(prottrans(lengths), sdpa, order),
        "one by one": lambda: means(singles, sdpa, order),
        "padded budget": lambda: means(list(padded_batches(lengths, budget)), sdpa, order),
        "packed": lambda: engine(packed),
        "products alone": products_alone(
            packed, shape, [sum(lengths[part]) + len(lengths[part])
                            for part in batches(lengths, budget)],
        ),
    }  # fmt: skip
    if options.fixed:
        found["fixed 16"] = lambda: means(sixteens, eager, sequences)
    if device != "cpu":
        half = plain(shape, "eager", torch.float16, device)
        for name, module in half.named_modules():
            if name.endswith(".wo"):  # as `transformers` loads a half checkpoint
                module.float()
        found["prottrans as loaded"] = lambda: means(prottrans(lengths), half, order)
    else:
        fresh = T5Encoder(shape)
        fresh.load_transformers(sdpa.state_dict())
        small = packed_model(fresh, PROTT5, torch.device(device), {"precision": "int8"})
        found["packed int8"] = lambda: engine(small)
        half = T5Encoder(shape)
        half.load_transformers(sdpa.state_dict())
        half = packed_model(
            half.to(torch.bfloat16), PROTT5, torch.device(device), {"precision": "bfloat16"}
        )
        found["packed bfloat16"] = lambda: engine(half)
    return found


def padded_batches(lengths: Sequence[int], budget: int) -> list[slice]:
    """Longest first, padding counted."""
    made, start = [], 0
    for end in range(1, len(lengths) + 1):
        full = end == len(lengths) or (end + 1 - start) * lengths[start] > budget
        if full:
            made.append(slice(start, end))
            start = end
    return made


def tokenizer_over_table(sequences: list[str]) -> float:
    """Time of a fast tokenizer like ProtT5's beside that of the table, for one batch."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = {chr(code): token for code, token in enumerate(PROTT5.table) if token > 2}
    pieces = sorted((int(token), f"\u2581{letter}") for letter, token in letters.items())
    unknown = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    words = Tokenizer(models.Unigram(
        unknown + [(piece, -2.0) for _, piece in pieces], unk_id=2
    ))  # fmt: skip
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    words.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
    )
    seconds = []
    for encode in (
        lambda: tokenizer([" ".join(text) for text in sequences])["input_ids"],
        lambda: [PROTT5.tokens(text) for text in sequences],
    ):
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            found = encode()
            best = min(best, time.process_time() - started)
        assert [len(each) for each in found] == [len(text) + 1 for text in sequences]
        seconds.append(best)
    return seconds[0] / seconds[1]


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="S")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=DTYPES, default="float32")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--budget", type=int, default=0)
    parser.add_argument("--ways", nargs="+", help="measure these alone, and packed")
    parser.add_argument("--fixed", action="store_true")
    parser.add_argument("--only", help="run one way alone: for its peak memory")
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape, sequences = SHAPES[options.shape], proteome(options.count)
    residues = sum(map(len, sequences))
    with torch.inference_mode():
        found = ways(shape, sequences, options)
        if options.only:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (Linux)
            before, seconds = peak_mb(), []
            for _ in range(options.rounds):
                started = time.perf_counter()
                found[options.only]()
                seconds.append(time.perf_counter() - started)
            print(json.dumps({
                "peak_mb": peak_mb() - before, "wall_rate": residues / min(seconds)
            }))  # fmt: skip
            return
        if options.ways:
            asked = {"packed", "one by one", *options.ways}
            found = {name: run for name, run in found.items() if name in asked}
        best: dict[str, dict[str, float]] = {}
        outputs = {}
        for _ in range(options.rounds):
            for name, run in found.items():
                wall, cpu = time.perf_counter(), time.process_time()
                outputs[name] = run()
                if options.device != "cpu":
                    torch.cuda.synchronize()
                now = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
                last = best.setdefault(name, now)
                best[name] = {key: min(now[key], last[key]) for key in now}
    key = "wall" if options.device != "cpu" else "cpu"
    reference = outputs["one by one"]
    report = {
        "shape": options.shape, "threads": options.threads, "precision": options.precision,
        "proteins": len(sequences), "residues": residues,
        "measure": f"residues per {key} second",
        "rate": {name: round(residues / used[key]) for name, used in best.items()},
        "wall_rate": {name: round(residues / used["wall"]) for name, used in best.items()},
        "tokenizer_over_table": round(tokenizer_over_table(sequences), 1),
        "packed_over": {
            name: round(used[key] / best["packed"][key], 2) for name, used in best.items()
        },
        "largest_relative_error": {
            name: float(np.abs(out - reference).max() / np.abs(reference).max())
            for name, out in outputs.items() if isinstance(out, np.ndarray)
            and name != "fixed 16"
        },
    }  # fmt: skip
    if options.device != "cpu":
        parameters = sum(
            shape.num_layers * a * b
            for a, b in ((3 * shape.inner, shape.d_model), (shape.inner, shape.d_model),
                         (shape.d_ff, shape.d_model), (shape.d_model, shape.d_ff))
        )  # fmt: skip
        flops = sum(
            len(s) * (2 * parameters + 4 * len(s) * shape.inner * shape.num_layers)
            for s in sequences
        )
        report["model_tflops_per_s"] = round(flops / best["packed"]["wall"] / 1e12, 1)
    if options.memory:
        report["peak_mb"] = {
            name: memory_of(name, options) for name in ("prottrans", "packed", "one by one")
        }
    print(json.dumps(report, indent=2))


def peak_mb() -> float:
    """Largest resident memory of this process so far."""
    fields = dict(
        line.split(":") for line in Path("/proc/self/status").read_text().splitlines()
    )
    return int(fields["VmHWM"].split()[0]) / 1024


def memory_of(name: str, options: argparse.Namespace) -> float:
    """Growth of the peak memory while one way runs, in a process of its own."""
    command = [
        sys.executable, "-m", "tests.benchmarks.embedding_engine", "--shape", options.shape,
        "--count", str(options.count), "--only", name, "--rounds", "1",
        "--precision", options.precision, "--threads", str(options.threads),
        "--budget", str(options.budget), "--device", options.device,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["peak_mb"]


if __name__ == "__main__":
    main()
