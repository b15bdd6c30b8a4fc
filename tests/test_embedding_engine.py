"""The packed engine equals plain `transformers`, whatever is packed with what."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omicsai.embedding import Encoder, embed_sequences
from omicsai.embedding.batching import Passes, batches, check_lengths
from omicsai.embedding.encoders import load_encoder
from omicsai.embedding.language_model import LanguageModel, _by_length, packed_model
from omicsai.embedding.linear import PackedLinear, can_pack
from omicsai.embedding.t5 import (
    Shape,
    T5Encoder,
    _attention_by_rows,
    attention,
    distance_buckets,
    square_bias,
)
from omicsai.embedding.vocabulary import PROTT5
from omicsai.errors import InputError, ToolError
from omicsai.sequences import Sequence
from omicsai.sequences.alphabet import AMINO_ACIDS

CPU = torch.device("cpu")
IDENTITY = {"precision": "float32"}
SHAPES = {
    "t5": Shape(128, 32, 16, 96, 3, 2),
    "ankh": Shape(128, 24, 8, 48, 4, 2, 64, 128, 1e-6, "gated-gelu"),
}


def proteins(lengths: list[int], seed: int = 1) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(AMINO_ACIDS), n)) for n in lengths]


def random_t5(shape: Shape) -> torch.nn.Module:
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(1)
    model = T5EncoderModel(T5Config(**vars(shape), dropout_rate=0.0)).eval()
    with torch.no_grad():  # transformers starts the norms at one and the biases near zero
        for name, value in model.named_parameters():
            if "relative_attention_bias" in name:
                value.normal_(0, 1)
            elif "norm" in name:
                value.uniform_(0.5, 1.5)
    return model


def other(family: str) -> torch.nn.Module:
    from transformers import BertConfig, BertModel, EsmConfig, EsmModel

    torch.manual_seed(2)
    size = {
        "vocab_size": 128, "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 64,
        "max_position_embeddings": 2100,
    }  # fmt: skip
    if family == "bert":
        return BertModel(BertConfig(**size, hidden_dropout_prob=0.0)).eval()
    config = EsmConfig(
        **size, position_embedding_type="rotary", pad_token_id=0, mask_token_id=127,
        token_dropout=True, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return EsmModel(config).eval()


@pytest.fixture(scope="module")
def pairs():
    """The plain model and ours, of each family."""
    found: dict[str, tuple[torch.nn.Module, LanguageModel]] = {}
    for name, shape in SHAPES.items():
        model = random_t5(shape)
        encoder = T5Encoder(shape)
        encoder.load_transformers(model.state_dict())
        found[name] = model, packed_model(encoder, PROTT5, CPU, IDENTITY)
    for name in ("bert", "esm"):
        model = other(name)
        found[name] = model, LanguageModel(
            states=_by_length(model), vocabulary=PROTT5, device=CPU, dimension=32,
            widest=64, bytes_per_token=1, limit=None, identity=IDENTITY,
        )  # fmt: skip
    return found


def plain(model: torch.nn.Module, residues: str) -> np.ndarray:
    ids = torch.from_numpy(PROTT5.tokens(residues))[None]
    with torch.no_grad():
        hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids))
    return hidden.last_hidden_state[0, : len(residues)].numpy()


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("family", ["t5", "ankh", "bert", "esm"])
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=6), seed=st.integers(0, 9)
)
@settings(max_examples=12)
def test_states_equal_the_plain_forward_in_any_order_and_packing(
    pairs, family, lengths, seed
):
    model, ours = pairs[family]
    texts = proteins(lengths + lengths[:1], seed)  # two of one length
    for text, (vector, states) in zip(texts, ours.encode(texts, True), strict=True):
        expected = plain(model, text)
        assert relative(states, expected) <= 1e-4
        assert relative(vector, expected.mean(axis=0)) <= 1e-4


@pytest.mark.parametrize("family", ["t5", "ankh", "bert", "esm"])
def test_lengths_from_1_to_2000(pairs, family):
    model, ours = pairs[family]
    texts = proteins([2000, 1, 1999, 2, 777])
    for text, (_, states) in zip(texts, ours.encode(texts, True), strict=True):
        assert relative(states, plain(model, text)) <= 1e-4


def test_the_wide_layer_may_be_cut_into_pieces(pairs, monkeypatch):
    _, ours = pairs["t5"]
    texts = proteins([90, 40])
    whole = ours.encode(texts, True)
    monkeypatch.setattr("omicsai.embedding.t5.FEED_FORWARD_BYTES", 4096)
    for (_, one), (_, two) in zip(whole, ours.encode(texts, True), strict=True):
        assert relative(two, one) < 1e-6


@pytest.mark.parametrize("rows", [1, 7, 40, 100])
def test_attention_by_rows_is_the_same(rows):
    torch.manual_seed(3)
    q, k, v = torch.randn(3, 2, 3, 40, 8)
    by_distance = torch.randn(3, 79)
    expected = attention(q, k, v, by_distance)
    found = _attention_by_rows(q, k, v, by_distance, rows)
    torch.testing.assert_close(found, expected)
    training = attention(q, k, v, square_bias(by_distance))
    torch.testing.assert_close(training, expected)


@pytest.mark.parametrize(("precision", "cosine"), [("bfloat16", 0.999), ("int8", 0.99)])
def test_lower_precision_stays_close(precision, cosine):
    model = random_t5(SHAPES["t5"])
    encoder = T5Encoder(SHAPES["t5"])
    encoder.load_transformers(model.state_dict())
    if precision == "bfloat16":
        encoder = encoder.to(torch.bfloat16)
    ours = packed_model(encoder, PROTT5, CPU, {"precision": precision})
    for text, (vector, _) in zip(
        texts := proteins([30, 200, 1]), ours.encode(texts), strict=True
    ):
        expected = plain(model, text).mean(axis=0)
        norms = np.linalg.norm(vector) * np.linalg.norm(expected)
        assert vector @ expected / norms >= cosine


def test_buckets_are_those_of_transformers():
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = torch.arange(-3000, 3001)
    for buckets, far in ((32, 128), (64, 128), (16, 40)):
        expected = T5Attention._relative_position_bucket(distance, True, buckets, far)
        assert torch.equal(distance_buckets(distance, buckets, far), expected)


def test_the_weights_go_back_to_transformers():
    model = random_t5(SHAPES["ankh"])
    encoder = T5Encoder(SHAPES["ankh"])
    encoder.load_transformers(model.state_dict())
    state = model.state_dict()
    for name, value in encoder.transformers_state().items():
        assert torch.equal(value, state[name])


def test_a_feed_forward_layer_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="'gated-silu', but only relu and gated-gelu"):
        Shape.of({**vars(SHAPES["t5"]), "feed_forward_proj": "gated-silu"})


@pytest.mark.parametrize("kind", ["t5", "ankh"])
def test_packed_weights_give_the_same_states(kind):
    encoder = T5Encoder(SHAPES[kind]).requires_grad_(False)
    tokens = torch.randint(3, 23, (1500,))
    with torch.inference_mode():
        expected = encoder(tokens, [3, 497, 1000])
        found = encoder.pack()(tokens, [3, 497, 1000])
        alone = encoder(tokens[:3], [3])
    assert can_pack(torch.float32) == isinstance(encoder.blocks[0].wi, PackedLinear)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(alone, expected[:3], rtol=1e-4, atol=1e-4)


def test_missing_weights_are_named():
    state = random_t5(SHAPES["t5"]).state_dict()
    del state["encoder.block.1.layer.1.DenseReluDense.wo.weight"]
    with pytest.raises(ValueError, match=r"hold no .*wo.weight"):
        T5Encoder(SHAPES["t5"]).load_transformers(state)


# --- batches ---------------------------------------------------------------------------


@given(
    lengths=st.lists(st.integers(1, 500), max_size=40),
    budget=st.integers(1, 600),
)
def test_batches_cover_everything_within_the_budget(lengths, budget):
    cut = list(batches(lengths, budget))
    assert [i for part in cut for i in range(part.start, part.stop)] == list(
        range(len(lengths))
    )
    for part in cut:
        assert sum(lengths[part]) <= budget or part.stop - part.start == 1


class Small:
    """An encoder on a device that holds two proteins at once."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def encode(self, sequences: list[str], residues: bool = False) -> list:
        self.calls.append(len(sequences))
        if len(sequences) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return [(np.full(3, len(text), np.float32), None) for text in sequences]


def test_running_out_of_memory_halves_the_batch():
    small = Small()
    texts = [AMINO_ACIDS[:n] for n in (9, 7, 5, 4, 3)]
    encode = Passes(small.encode)
    assert [vector[0] for vector, _ in encode(texts)] == [9, 7, 5, 4, 3]
    assert small.calls == [5, 1, 2, 2]  # 28 residues, then at most 14 at once
    small.calls.clear()
    encode(texts)
    assert small.calls == [1, 2, 2]  # what fits is remembered


def test_other_errors_are_no_reason_to_halve():
    def broken(sequences: list[str]) -> list:
        raise RuntimeError("CUDA error: an illegal memory access")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        Passes(broken)(["MK", "MT"])


def test_one_protein_that_does_not_fit_is_named():
    def full(sequences: list[str]) -> list:
        raise torch.OutOfMemoryError

    with pytest.raises(ToolError, match="out of memory on a protein of 3 residues"):
        Passes(full)(["MKT"])


def test_a_protein_beyond_the_model_is_refused_by_name_before_any_work():
    small = Small()
    encoder = Encoder("short", 3, small.encode, {"encoder": "short"}, limit=10)
    records = [Sequence("a", "MKT"), Sequence("titin", "M" * 11)]
    with pytest.raises(InputError, match="'titin' has 11 residues, but 'short' reads at"):
        embed_sequences(records, encoder)
    assert small.calls == []


def test_a_protein_beyond_the_memory_is_refused_by_name():
    encoder = Encoder(
        "big", 3, Small().encode, {"encoder": "big"}, memory=lambda n: n * 10**12
    )
    with pytest.raises(InputError, match=r"'titin' of 40 residues needs about 40000\.0 GB"):
        check_lengths([Sequence("titin", "M" * 40)], encoder)
    check_lengths([], encoder)


def test_a_residue_without_token_is_named():
    with pytest.raises(InputError, match=r"no token for \*: .* 2 residue tokens of 3"):
        PROTT5.tokens("MK*")


def test_unknown_encoders_say_what_to_do():
    with pytest.raises(ToolError, match="does not exist"):
        load_encoder("./no/such/folder")
