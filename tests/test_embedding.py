"""Encoders, the store, HDF5."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omicsai.embedding import (
    EmbeddingStore,
    Encoder,
    composition,
    embed_sequences,
    load_encoder,
    project,
    read_embeddings,
    write_embeddings,
)
from omicsai.embedding.composition import DIMENSION, SCALES
from omicsai.embedding.encoders import Encoded, same_encoder
from omicsai.embedding.vocabulary import read_vocabulary
from omicsai.errors import InputError, ToolError
from omicsai.sequences import Sequence, sequence_digest
from omicsai.sequences.alphabet import AMINO_ACIDS, NONSTANDARD

PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPIL"
LETTERS = "ALGVSREDTIPKFQNYMHWCX"  # the residues that protein language models know


# --- composition -----------------------------------------------------------------------


def naive_composition(residues: str) -> list[float]:
    standard = [r for r in residues if r in AMINO_ACIDS]
    single = [standard.count(a) / len(standard) if standard else 0 for a in AMINO_ACIDS]
    pairs = [a + b for a, b in pairwise(residues) if a in AMINO_ACIDS and b in AMINO_ACIDS]
    double = [
        pairs.count(a + b) / len(pairs) if pairs else 0
        for a in AMINO_ACIDS
        for b in AMINO_ACIDS
    ]
    means = [
        sum(scale[AMINO_ACIDS.index(r)] for r in standard) / len(standard)
        if standard
        else 0
        for scale in SCALES.values()
    ]
    return [*single, *double, *means, np.log(max(len(residues), 1))]


@given(st.text(AMINO_ACIDS + NONSTANDARD, max_size=60))
def test_composition_agrees_with_a_naive_loop(residues):
    vector = composition(residues)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, naive_composition(residues), rtol=1e-5, atol=1e-6)


def test_composition_is_made_of_shares_that_sum_to_one():
    vector = composition(PROTEIN)
    assert vector.shape == (DIMENSION,) == (427,)
    assert vector[:20].sum() == pytest.approx(1)
    assert vector[20:420].sum() == pytest.approx(1)


def test_nonstandard_residues_count_for_the_length_only():
    odd = composition("MUKXT")
    np.testing.assert_allclose(odd[:20], composition("MKT")[:20])
    assert odd[20:420].sum() == 0
    assert odd[-1] == pytest.approx(np.log(5))


# --- language models -------------------------------------------------------------------

SPECIAL = {"t5": ["<pad>", "</s>", "<unk>"], "bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]}


def save_t5(folder: Path, tokenizer, vocabulary: int) -> None:
    import torch
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(1)
    config = T5Config(
        vocab_size=vocabulary, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4
    )
    T5EncoderModel(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def t5_tokenizer(letters: str):
    from transformers import T5Tokenizer

    pieces = [(name, 0.0) for name in SPECIAL["t5"]] + [("▁" + a, -2.0) for a in letters]
    return T5Tokenizer(vocab=pieces, extra_ids=0)


@pytest.fixture(scope="session")
def t5(tmp_path_factory) -> Path:
    """ProtT5's architecture: residues as words, `</s>` behind."""
    folder = tmp_path_factory.mktemp("models") / "tiny_t5"
    save_t5(folder, t5_tokenizer(LETTERS), 3 + len(LETTERS))
    return folder


@pytest.fixture(scope="session")
def prost_t5(tmp_path_factory) -> Path:
    """ProstT5: ProtT5 with the token `<AA2fold>` in front."""
    folder = tmp_path_factory.mktemp("models") / "tiny_prost_t5"
    tokenizer = t5_tokenizer(LETTERS)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<AA2fold>"]})
    save_t5(folder, tokenizer, 4 + len(LETTERS))
    return folder


@pytest.fixture(scope="session")
def ankh(tmp_path_factory) -> Path:
    """Ankh: residues without blanks between them; a blank is an unknown token."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {name: i for i, name in enumerate([*SPECIAL["t5"], *LETTERS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    words.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", eos_token="</s>", pad_token="<pad>"
    )
    folder = tmp_path_factory.mktemp("models") / "tiny_ankh"
    save_t5(folder, tokenizer, len(vocabulary))
    return folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory) -> Path:
    """ProtBert: residues as words between `[CLS]` and `[SEP]`, 50 positions."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    names = [*SPECIAL["bert"], "[MASK]", *LETTERS]
    torch.manual_seed(2)
    config = BertConfig(
        vocab_size=len(names), hidden_size=32, num_hidden_layers=2,
        num_attention_heads=4, intermediate_size=64, max_position_embeddings=50,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("models") / "tiny_bert"
    BertModel(config).eval().save_pretrained(folder)
    tokenizer = BertTokenizer(
        vocab={name: i for i, name in enumerate(names)}, do_lower_case=False
    )
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def esm(tmp_path_factory) -> Path:
    """ESM-2: rotary positions, `<cls>` in front and `<eos>` behind."""
    import torch
    from transformers import EsmConfig, EsmModel, EsmTokenizer

    folder = tmp_path_factory.mktemp("models") / "tiny_esm"
    folder.mkdir()
    names = ["<cls>", "<pad>", "<eos>", "<unk>", *LETTERS, "B", "U", "Z", "O", "<mask>"]
    (folder / "vocab.txt").write_text("\n".join(names))
    torch.manual_seed(3)
    config = EsmConfig(
        vocab_size=len(names), hidden_size=32, num_hidden_layers=2,
        num_attention_heads=4, intermediate_size=64, max_position_embeddings=50,
        position_embedding_type="rotary", pad_token_id=1, mask_token_id=len(names) - 1,
        token_dropout=True,
    )  # fmt: skip
    EsmModel(config).eval().save_pretrained(folder)
    EsmTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


# the token ids of a protein, written down by hand: (before, of each residue, behind)
TOKENS: dict[str, tuple[list[int], Callable[[str], int], list[int]]] = {
    "t5": ([], lambda r: 3 + LETTERS.index(r), [1]),
    "prost_t5": ([3 + len(LETTERS)], lambda r: 3 + LETTERS.index(r), [1]),
    "ankh": ([], lambda r: 3 + LETTERS.index(r), [1]),
    "bert": ([2], lambda r: 5 + LETTERS.index(r), [3]),
    "esm": ([0], lambda r: 4 + LETTERS.index(r), [2]),
}


def pooled_by_hand(architecture: str, folder: Path, residues: str) -> np.ndarray:
    """Mean of the last hidden states at the residues, from a plain forward pass."""
    import torch
    from transformers import AutoModel, T5EncoderModel

    loader = AutoModel if architecture in ("bert", "esm") else T5EncoderModel
    before, token, behind = TOKENS[architecture]
    ids = torch.tensor([[*before, *map(token, residues), *behind]])
    model = loader.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids))
    first = len(before)
    states = hidden.last_hidden_state[0, first : first + len(residues)]
    return states.mean(dim=0).numpy()


def one(encoder: Encoder, residues: str) -> np.ndarray:
    """Vector of a single protein."""
    ((vector, _),) = encoder.encode([residues], False)
    return vector


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("architecture", list(TOKENS))
@pytest.mark.parametrize("residues", [PROTEIN, "MKX", "W"])
def test_an_encoder_equals_a_plain_forward_pass_pooled_by_hand(
    architecture, residues, request
):
    folder = request.getfixturevalue(architecture)
    encoder = load_encoder(str(folder), device="cpu")
    vector = one(encoder, residues)
    assert vector.dtype == np.float32
    assert vector.shape == (encoder.dimension,) == (32,)
    expected = pooled_by_hand(architecture, folder, residues)
    assert relative_error(vector, expected) < 1e-5


@pytest.mark.parametrize("architecture", ["t5", "bert", "esm"])
def test_rare_residues_are_read_as_x(architecture, request):
    encoder = load_encoder(str(request.getfixturevalue(architecture)), device="cpu")
    rare, unknown = one(encoder, "MKUZOBJT"), one(encoder, "MKXXXXXT")
    np.testing.assert_array_equal(rare, unknown)


@given(residues=st.text(AMINO_ACIDS + NONSTANDARD, min_size=1, max_size=40))
@pytest.mark.parametrize("architecture", list(TOKENS))
def test_the_table_gives_the_tokens_of_the_tokenizer(architecture, residues, request):
    from transformers import AutoTokenizer

    folder = request.getfixturevalue(architecture)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    vocabulary = read_vocabulary(tokenizer, "model")
    text = re.sub("[UZOBJ]", "X", residues)
    text = text if architecture in ("ankh", "esm") else " ".join(text)
    text = f"<AA2fold> {text}" if architecture == "prost_t5" else text
    assert vocabulary.tokens(residues).tolist() == tokenizer(text)["input_ids"]


def test_long_proteins_need_relative_or_rotary_positions(t5, bert, esm):
    for folder in (t5, esm):
        assert np.isfinite(one(load_encoder(str(folder), device="cpu"), "MKT" * 40)).all()
    encoder = load_encoder(str(bert), device="cpu")
    assert np.isfinite(one(encoder, "M" * 48)).all()
    with pytest.raises(InputError, match="49 residues exceeds the 48 that the model"):
        one(encoder, "M" * 49)


def test_the_identity_changes_with_the_weights(t5, tmp_path):
    save_t5(tmp_path / "tiny_t5", t5_tokenizer(LETTERS), 8 + len(LETTERS))
    one, other = (load_encoder(str(f), device="cpu") for f in (t5, tmp_path / "tiny_t5"))
    assert one.identity["encoder"] == other.identity["encoder"] == "tiny_t5"
    assert one.identity["precision"] == "float32"
    assert one.identity["revision"] != other.identity["revision"]
    assert load_encoder(str(t5), device="cpu").identity == one.identity


def test_a_residue_without_token_is_refused(tmp_path):
    save_t5(tmp_path / "t5", t5_tokenizer(LETTERS.replace("X", "")), 3 + len(LETTERS))
    encoder = load_encoder(str(tmp_path / "t5"), device="cpu")
    assert one(encoder, "MKT").shape == (32,)
    with pytest.raises(InputError, match="made 2 residue tokens of 3 residues"):
        one(encoder, "MUK")


def test_a_tokenizer_that_does_not_fit_is_refused(tmp_path):
    save_t5(tmp_path / "words", t5_tokenizer("ACDEF"), 3 + len(LETTERS))
    with pytest.raises(ToolError, match="does not give one token per amino acid"):
        load_encoder(str(tmp_path / "words"), device="cpu")


@pytest.mark.parametrize("kind", ["missing", "no config", "no weights", "hub"])
def test_a_model_that_cannot_be_loaded_is_one_line(kind, tmp_path, t5):
    name = str(tmp_path / "encoder")
    message = "cannot load the encoder"
    if kind == "missing":
        message = r"does not exist: 'embed\.encoder' names no model folder"
    elif kind == "no config":
        (tmp_path / "encoder").mkdir()
        message = r"is not a model folder: it has no config\.json"
    elif kind == "no weights":
        (tmp_path / "encoder").mkdir()
        for file in t5.glob("*.json"):
            (tmp_path / "encoder" / file.name).write_bytes(file.read_bytes())
    elif kind == "hub":
        name = "nobody/no_such_protein_model"
    with pytest.raises(ToolError, match=message) as caught:
        load_encoder(name, device="cpu")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_asking_for_a_gpu_without_one_is_refused(t5):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ToolError, match="no GPU is visible to torch"):
        load_encoder(str(t5), device="cuda")


# --- embedding with the store ----------------------------------------------------------


class Counting:
    """An encoder that records what it computes and can be killed."""

    def __init__(self, last: int | None = None) -> None:
        self.computed: list[str] = []
        self.last = last
        self.encoder = Encoder(
            "counting", 427, self.encode, {"encoder": "counting"}, budget=200
        )

    def encode(self, sequences: list[str], residues: bool) -> list[Encoded]:
        if self.last is not None and len(self.computed) >= self.last:
            raise KeyboardInterrupt
        self.computed += sequences
        return [(composition(text), None) for text in sequences]


@pytest.fixture
def proteins(simulated) -> list[Sequence]:
    chosen = simulated.known[:12]
    copy = Sequence("copy", chosen[3].residues)
    return [*chosen, copy]


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr("omicsai.embedding.embed.PART_SECONDS", 0.0)


def test_each_different_sequence_is_computed_once(proteins):
    counting = Counting()
    vectors = embed_sequences(proteins, counting.encoder)
    assert len(counting.computed) == 12
    expected = np.stack([composition(record.residues) for record in proteins])
    np.testing.assert_array_equal(vectors, expected)


def test_a_second_run_computes_nothing(proteins, tmp_path):
    first, second = Counting(), Counting()
    store = EmbeddingStore(tmp_path, first.encoder.identity)
    vectors = embed_sequences(proteins, first.encoder, store)
    renamed = [Sequence(f"new {i}", r.residues) for i, r in enumerate(proteins[::-1])]
    again = embed_sequences(
        renamed, second.encoder, EmbeddingStore(tmp_path, second.encoder.identity)
    )
    assert second.computed == []
    np.testing.assert_array_equal(again, vectors[::-1])


def test_a_killed_run_resumes_where_it_stopped(proteins, tmp_path, small_parts):
    killed, resumed = Counting(last=7), Counting()
    store = EmbeddingStore(tmp_path, killed.encoder.identity)
    with pytest.raises(KeyboardInterrupt):
        embed_sequences(proteins, killed.encoder, store)
    kept = len(store.load())
    assert 0 < kept <= 7
    (store.folder / ".part-0.safetensors.x.part").write_bytes(b"half")
    vectors = embed_sequences(proteins, resumed.encoder, store)
    assert len(resumed.computed) == 12 - kept
    expected = embed_sequences(proteins, Counting().encoder)
    np.testing.assert_array_equal(vectors, expected)


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "other content"])
def test_a_damaged_part_is_computed_again(proteins, tmp_path, small_parts, damage, caplog):
    from safetensors.numpy import save_file

    store = EmbeddingStore(tmp_path, {"encoder": "counting"})
    expected = embed_sequences(proteins, Counting().encoder, store)
    part = sorted(store.folder.glob("part-*"))[0]
    whole = part.read_bytes()
    if damage == "other content":
        save_file({"x": np.zeros(3)}, part)
    else:
        part.write_bytes(
            {"truncated": whole[: len(whole) // 2], "empty": b"", "garbage": b"\xff" * 99}[
                damage
            ]
        )
    again = Counting()
    vectors = embed_sequences(proteins, again.encoder, store)
    np.testing.assert_array_equal(vectors, expected)
    assert 0 < len(again.computed) < 12
    assert f"{part} is damaged" in caplog.text
    assert len(store.load()) == 12


def test_encoders_do_not_share_vectors(tmp_path):
    vector = np.ones((1, 3), dtype=np.float32)
    digest = sequence_digest("MKT")
    first = EmbeddingStore(tmp_path, {"encoder": "a", "revision": "1"})
    first.append([digest], vector)
    assert EmbeddingStore(tmp_path, {"encoder": "a", "revision": "2"}).load() == {}
    known = EmbeddingStore(tmp_path, {"revision": "1", "encoder": "a"}).load()
    np.testing.assert_array_equal(known[digest], vector[0])


# --- HDF5 ------------------------------------------------------------------------------

IDS = ["sp|P1|X", "a/b", "a%2Fb", "50%", ".", "..", "x.1", "ü", "a b"]


def some_vectors(n: int, d: int = 4) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, d)).astype(np.float32)


def test_vectors_survive_the_round_trip_under_any_id(tmp_path):
    vectors = some_vectors(len(IDS))
    write_embeddings(tmp_path / "a.h5", IDS, vectors, {"encoder": "x", "revision": "1"})
    ids, read, attributes = read_embeddings(tmp_path / "a.h5")
    assert attributes == {"encoder": "x", "revision": "1"}
    assert sorted(ids) == sorted(IDS)
    for key, vector in zip(ids, read, strict=True):
        np.testing.assert_array_equal(vector, vectors[IDS.index(key)])
    with h5py.File(tmp_path / "a.h5") as file:
        assert all(isinstance(item, h5py.Dataset) for item in file.values())
        assert file["a%2Fb"].attrs["original_id"] == "a/b"
        assert file["a%252Fb"].attrs["original_id"] == "a%2Fb"


def test_an_embedding_file_has_the_same_bytes_each_time(tmp_path):
    for name in ("one.h5", "two.h5"):
        write_embeddings(tmp_path / name, IDS, some_vectors(9), {"b": "1", "a": "2"})
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_files_of_other_tools_are_read_by_dataset_name(tmp_path):
    with h5py.File(tmp_path / "per-protein.h5", "w") as file:
        file["P2"] = np.array([1, 2], dtype=np.float16)
        file["P1"] = np.array([3, 4], dtype=np.float64)
    ids, vectors, attributes = read_embeddings(tmp_path / "per-protein.h5")
    assert (ids, attributes) == (["P1", "P2"], {})
    np.testing.assert_array_equal(vectors, np.array([[3, 4], [1, 2]], dtype=np.float32))


def test_ids_that_other_tools_made_groups_of_are_read(tmp_path):
    with h5py.File(tmp_path / "per-protein.h5", "w") as file:
        file["sp/P2/X"] = np.array([1, 2], dtype=np.float32)
        file["P1"] = np.array([3, 4], dtype=np.float32)
    ids, vectors, _ = read_embeddings(tmp_path / "per-protein.h5")
    assert ids == ["P1", "sp/P2/X"]
    np.testing.assert_array_equal(vectors, [[3, 4], [1, 2]])


def test_another_version_of_a_library_is_the_same_encoder(tmp_path):
    vectors = some_vectors(2)
    about = {"encoder": "x", "revision": "1", "torch": "2.11.0"}
    write_embeddings(tmp_path / "a.h5", ["a"], vectors[:1], about)
    write_embeddings(tmp_path / "b.h5", ["b"], vectors[1:], about | {"torch": "2.12.0"})
    ids, read, _ = read_embeddings(tmp_path / "a.h5", tmp_path / "b.h5")
    assert ids == ["a", "b"]
    np.testing.assert_array_equal(read, vectors)
    assert not same_encoder(about, about | {"revision": "2"})


def test_several_files_are_pooled(tmp_path):
    vectors = some_vectors(3)
    write_embeddings(tmp_path / "a.h5", ["a", "b"], vectors[:2], {"encoder": "x"})
    write_embeddings(tmp_path / "b.h5", ["c", "b"], vectors[[2, 1]], {"encoder": "x"})
    ids, read, _ = read_embeddings(tmp_path / "a.h5", tmp_path / "b.h5")
    assert ids == ["a", "b", "c"]
    np.testing.assert_array_equal(read, vectors)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": [1.0, np.nan]}, "'a': the embedding holds NaN or infinity"),
        ({"a": [1.0, np.inf]}, "'a': the embedding holds NaN or infinity"),
        ({"a": [[1.0, 2.0]]}, r"shape \(1, 2\) .*only train, evaluate and predict"),
        ({"a": [1, 2]}, "expected one float vector per protein, found shape"),
        ({"a": 1.0}, "expected one float vector per protein"),
        ({}, "holds no embedding: expected one dataset per protein"),
        ({"a": [1.0], "b": [1.0, 2.0]}, r"vectors of different length \(1, 2\)"),
    ],
)
def test_unusable_embeddings_are_refused(tmp_path, content, message):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, value in content.items():
            file[name] = np.array(value)
    with pytest.raises(InputError, match=message):
        read_embeddings(tmp_path / "a.h5")


def test_files_that_do_not_go_together_are_refused(tmp_path):
    vectors = some_vectors(2)
    write_embeddings(tmp_path / "a.h5", ["a"], vectors[:1], {"encoder": "x"})
    write_embeddings(tmp_path / "b.h5", ["b"], vectors[:1], {"encoder": "y"})
    write_embeddings(tmp_path / "c.h5", ["a"], vectors[1:], {"encoder": "x"})
    with pytest.raises(InputError, match="come from different encoders"):
        read_embeddings(tmp_path / "a.h5", tmp_path / "b.h5")
    with pytest.raises(InputError, match="id 'a' has another embedding in an earlier"):
        read_embeddings(tmp_path / "a.h5", tmp_path / "c.h5")


def test_a_file_that_is_missing_or_not_hdf5_is_refused(tmp_path, write):
    with pytest.raises(InputError, match="does not exist: run 'omicsai embed' first"):
        read_embeddings(tmp_path / "none.h5")
    with pytest.raises(InputError, match="is not a readable HDF5 file") as caught:
        read_embeddings(write("a.h5", "no HDF5"))
    assert "\n" not in str(caught.value)


def test_an_id_given_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match="id 'b' is given twice"):
        write_embeddings(tmp_path / "a.h5", ["a", "b", "b"], some_vectors(3), {})
    assert list(tmp_path.iterdir()) == []


# --- the map ---------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 9, 30])
def test_the_map_has_two_finite_coordinates_and_is_the_same_each_time(n):
    plane = project(some_vectors(n, 5))
    assert plane.shape == (n, 2)
    assert np.isfinite(plane).all()
    np.testing.assert_array_equal(plane, project(some_vectors(n, 5)))
