"""Pretraining: what is hidden, what is learned, what is left out, and going on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from omicsai.embedding import load_encoder
from omicsai.embedding.pooling import Pooling, fit_pooling, residue_pairs
from omicsai.embedding.pretrain import (
    IGNORE,
    IS_STANDARD,
    Corpus,
    MaskedModel,
    Recipe,
    load_masked,
    masked,
    perplexity,
    pretrain,
    save_encoder,
)
from omicsai.embedding.tiny import load_small
from omicsai.embedding.vocabulary import MASK, PROTT5, STANDARD
from omicsai.errors import InputError, ToolError
from omicsai.sequences import Sequence, write_fasta
from omicsai.sequences.alphabet import AMINO_ACIDS

RECIPE = Recipe(
    width=32, heads=4, layers=2, tokens=40 * 512, batch_tokens=512, crop=32, final_crop=64,
    warmup_steps=5,
)  # fmt: skip


def repeats(count: int) -> list[str]:
    """Proteins whose every residue follows from the one before it."""
    rng = np.random.default_rng(3)
    return [
        (AMINO_ACIDS * 9)[start : start + length]
        for start, length in zip(
            rng.integers(0, 20, count), rng.integers(40, 150, count), strict=True
        )
    ]


@given(seed=st.integers(0, 50))
def test_a_share_of_the_residues_is_hidden_as_prott5_did(seed):
    tokens = np.tile(PROTT5.tokens(AMINO_ACIDS + "X"), 2000)
    corrupted, targets = masked(tokens, np.random.default_rng(seed), 0.15)
    chosen = targets != IGNORE
    assert not chosen[~IS_STANDARD[tokens]].any()  # neither X nor the end
    np.testing.assert_array_equal(targets[chosen], tokens[chosen])
    np.testing.assert_array_equal(corrupted[~chosen], tokens[~chosen])
    assert chosen[IS_STANDARD[tokens]].mean() == pytest.approx(0.15, abs=0.01)
    kinds = corrupted[chosen]
    assert (kinds == MASK).mean() == pytest.approx(0.8, abs=0.03)
    # a random amino acid is the true one in one case of twenty
    assert (kinds == tokens[chosen]).mean() == pytest.approx(0.105, abs=0.03)
    assert set(kinds[kinds != MASK]) <= set(STANDARD)


def test_batches_are_crops_of_the_proteins_and_follow_from_the_step_alone():
    proteins = repeats(30)
    corpus = Corpus(proteins)
    whole = ["".join(map(chr, PROTT5.tokens(text))) for text in proteins]
    starts = 0
    for step in range(20):
        tokens, lengths = corpus.batch(step, RECIPE)
        assert sum(lengths) == len(tokens) <= RECIPE.batch_tokens
        assert len(set(lengths)) <= 4
        again, _ = Corpus(proteins).batch(step, RECIPE)
        np.testing.assert_array_equal(tokens, again)
        for piece in np.split(tokens, np.cumsum(lengths)[:-1]):
            text = "".join(map(chr, piece))
            assert any(text in protein for protein in whole)
            starts += any(protein.startswith(text) for protein in whole)
    assert starts > 20  # ends are seen as often as the middle


def test_the_learning_rate_warms_up_stays_and_falls_to_zero():
    recipe = Recipe(tokens=1000 * 4096, warmup_steps=10, decay=0.2)
    rates = [recipe.rate(step) for step in range(recipe.steps)]
    assert rates[0] == pytest.approx(0.1)
    assert set(rates[10:800]) == {1.0}
    assert rates[900] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.005)


def test_it_learns_and_a_stopped_run_ends_with_the_same_weights(tmp_path, monkeypatch):
    proteins = repeats(60)
    recipe = replace(RECIPE, tokens=120 * 512, learning_rate=0.02)
    model = pretrain(proteins, proteins[:5], recipe, tmp_path / "whole")
    sums = perplexity(model, proteins[:5]).sum(axis=0)
    assert np.exp(sums[0] / sums[1]) < 15  # the next residue is certain; by chance 20

    class StoppedError(Exception):
        pass

    step = MaskedModel.loss
    calls = []

    def stop(self, *arguments):
        calls.append(1)
        if len(calls) == 26:
            raise StoppedError
        return step(self, *arguments)

    monkeypatch.setattr(MaskedModel, "loss", stop)
    with pytest.raises(StoppedError):
        pretrain(proteins, [], recipe, tmp_path / "parts", checkpoint_seconds=0)
    resumed = pretrain(proteins, [], recipe, tmp_path / "parts", checkpoint_seconds=0)
    assert len(calls) == 26 + (recipe.steps - 25)
    for name, value in model.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_plan_may_change_before_the_learning_rate_falls(tmp_path):
    proteins = repeats(10)
    longer = replace(RECIPE, tokens=20 * 512)
    pretrain(proteins, [], longer, tmp_path)
    with pytest.raises(InputError, match="only before the learning rate falls"):
        pretrain(proteins, [], RECIPE, tmp_path)
    other = replace(longer, seed=2)
    with pytest.raises(InputError, match="belongs to another corpus or recipe"):
        pretrain(proteins, [], other, tmp_path)
    with pytest.raises(InputError, match="nothing to learn from"):
        pretrain([], [], RECIPE, tmp_path / "none")


def test_a_damaged_checkpoint_is_named(tmp_path):
    pretrain(repeats(10), [], replace(RECIPE, tokens=2 * 512), tmp_path)
    (history,) = json.loads((tmp_path / "history.json").read_text())
    assert "held_out_perplexity" not in history  # nothing was held out
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"is damaged .*: remove it"):
        pretrain(repeats(10), [], replace(RECIPE, tokens=2 * 512), tmp_path)


def test_perplexity_does_not_depend_on_the_order_or_batches():
    model = MaskedModel(RECIPE.shape)
    model.initialise(torch.Generator().manual_seed(1))
    torch.nn.init.normal_(model.head.weight)
    proteins = repeats(12)
    one = perplexity(model, proteins, batch_tokens=4096)
    two = perplexity(model, proteins, batch_tokens=64)
    np.testing.assert_allclose(one, two, rtol=1e-4)
    assert (one[:, 1] > 0).all()


def test_the_written_encoder_is_read_by_transformers_and_by_us(tmp_path):
    from transformers import T5EncoderModel

    model = MaskedModel(RECIPE.shape)
    model.initialise(torch.Generator().manual_seed(1))
    for name, value in model.named_parameters():
        if name.endswith(("o.weight", "head.weight")):
            torch.nn.init.normal_(value, std=0.2)
    proteins = repeats(30)
    pooling = fit_pooling(model.encoder, proteins)
    save_encoder(model, pooling, tmp_path)
    text = proteins[0]
    ids = torch.from_numpy(PROTT5.tokens(text))[None]
    plain = T5EncoderModel.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        hidden = plain(input_ids=ids, output_hidden_states=True)
    every = [*hidden.hidden_states[1:-1], hidden.last_hidden_state]
    expected = np.stack([each[0, :-1].mean(0).numpy() for each in every])
    encoder = load_encoder(str(tmp_path), device="cpu")
    ((vector, states),) = encoder.encode([text], True)
    assert len(vector) == encoder.dimension == 1600 + 2 * 32
    assert states.shape == (len(text), 2 * 32)
    np.testing.assert_allclose(states.mean(0), expected.ravel(), atol=1e-4)
    np.testing.assert_allclose(vector, pooling([text], expected[None])[0], atol=1e-3)
    again = load_masked(tmp_path)
    assert torch.equal(again.head.weight, model.head.weight.detach().half().float())


def test_a_folder_without_an_encoder_is_one_line(tmp_path):
    with pytest.raises(ToolError, match="cannot load the encoder in"):
        load_small(tmp_path)


@pytest.mark.parametrize("told", [{"pooled_layers": [1, 2]}, {"omicsai_pooling": "0"}])
def test_weights_of_another_version_are_refused(tmp_path, told):
    model = MaskedModel(RECIPE.shape)
    save_encoder(model, fit_pooling(model.encoder, repeats(5)), tmp_path)
    path = tmp_path / "model.safetensors"
    left = {k: v for k, v in load_file(path).items() if not k.startswith("pooling.")}
    save_file(left, path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["omicsai_pooling"]
    (tmp_path / "config.json").write_text(json.dumps(config | told))
    with pytest.raises(ToolError, match="another version of omicsai wrote it"):
        load_encoder(str(tmp_path), device="cpu")


def test_a_pooling_needs_two_proteins(tmp_path):
    with pytest.raises(InputError, match="give two at least"):
        fit_pooling(MaskedModel(RECIPE.shape).encoder, ["MKTAYIAK"] * 3)


def naive_pairs(residues: str, p: np.ndarray) -> np.ndarray:
    found = np.zeros((4, 20, 20))
    for gap in (1, 2, 3, 4):
        for one, other in zip(residues, residues[gap:], strict=False):
            if one not in AMINO_ACIDS or other not in AMINO_ACIDS:
                continue
            for a, left in enumerate(AMINO_ACIDS):
                for b, right in enumerate(AMINO_ACIDS):
                    apart = ((one == left) - p[a]) * ((other == right) - p[b])
                    found[gap - 1, a, b] += apart / np.sqrt(p[a] * p[b])
        found[gap - 1] /= max(len(residues) - gap, 1)
    return found.ravel()


@settings(max_examples=10, deadline=None)
@given(residues=st.text(AMINO_ACIDS + "XU", min_size=1, max_size=12))
def test_pairs_agree_with_a_naive_loop(residues):
    p = np.linspace(1, 3, 20) / 40
    found = residue_pairs(residues, p)
    np.testing.assert_allclose(found, naive_pairs(residues, p), atol=1e-4)


def test_pairs_of_random_proteins_are_nothing_but_noise():
    p = np.linspace(1, 3, 20) / 40
    rng = np.random.default_rng(1)
    text = "".join(rng.choice(list(AMINO_ACIDS), 200_000, p=p))
    found = residue_pairs(text, p) * np.sqrt(len(text))
    assert found.std() == pytest.approx(1, abs=0.1)
    assert abs(found.mean()) < 0.1


def test_the_pooling_whitens_states_and_weighs_the_blocks_as_stated():
    rng = np.random.default_rng(2)
    texts = ["".join(rng.choice(list(AMINO_ACIDS), n)) for n in rng.integers(30, 90, 500)]
    means = rng.normal(size=(500, 2, 6)) @ rng.normal(size=(6, 6)) + 5
    means[:, 1] *= 100  # no layer counts for more because its states are large
    pooling = Pooling.fit(texts, means.astype(np.float32))
    again = Pooling.of(pooling.tensors())
    vectors = again(texts, means.astype(np.float32))
    assert vectors.shape == (500, again.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors[:, :1600], axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(vectors[:, 1600:], axis=1), 0.3, atol=1e-4)
    for layer in (0, 1):
        states = (means[:, layer] - means[:, layer].mean(0)) @ pooling.whitener[layer]
        values = np.linalg.eigvalsh(np.cov(means[:, layer].T))
        expected = values / (values + 0.1 * values.mean())
        covariance = np.cov(states.T)
        np.testing.assert_allclose(np.diag(covariance), expected, rtol=0.01)
        np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-3)


@pytest.mark.parametrize("text", ["M", "XXXX", "MK"])
def test_shortest_and_unknown_proteins_have_finite_vectors(text):
    encoder = load_small()
    ((vector, _),) = encoder.encode([text], False)
    assert np.isfinite(vector).all()


def test_no_sequence_has_no_vector_and_an_empty_one_is_refused():
    encoder = load_small()
    assert encoder.encode([], False) == []
    with pytest.raises(InputError, match="an empty sequence has no vector"):
        encoder.encode(["MKV", ""], False)


def test_the_command_leaves_out_what_is_related_and_goes_on(
    tmp_path, run_omicsai, monkeypatch
):
    rng = np.random.default_rng(5)
    texts = ["".join(rng.choice(list(AMINO_ACIDS), 120)) for _ in range(30)]
    corpus, benchmark = tmp_path / "corpus.fasta", tmp_path / "benchmark.fasta"
    write_fasta([Sequence(f"p{i}", text) for i, text in enumerate(texts)], corpus)
    write_fasta([Sequence("q", texts[7][:100])], benchmark)
    command = [
        "pretrain", corpus, "--exclude", benchmark, "--held-out", 4, "--width", 32,
        "--heads", 4, "--layers", 1, "--tokens", 20000, "--out", tmp_path / "out",
    ]  # fmt: skip
    assert run_omicsai(*command) == 0
    rows = [
        line.split("\t")
        for line in (tmp_path / "out" / "selection.tsv").read_text().splitlines()[1:]
    ]
    part = {key.split("|")[1]: name for key, name in rows}
    assert part["p7"] == "excluded"
    assert list(part.values()).count("held_out") == 4
    assert list(part.values()).count("train") == 25
    history = json.loads((tmp_path / "out" / "history.json").read_text())
    assert history[-1]["step"] == 5
    encoder = load_encoder(str(tmp_path / "out"), device="cpu")
    assert encoder.dimension == 1600 + 32
    assert "whitened" in encoder.identity["pooling"]
    weights = tmp_path / "out" / "model.safetensors"
    before = weights.read_bytes()
    monkeypatch.setattr("omicsai.embedding.pooling.fit_pooling", None)
    assert run_omicsai(*command) == 0  # nothing left to do
    assert weights.read_bytes() == before
    assert json.loads((tmp_path / "out" / "history.json").read_text()) == history
    assert run_omicsai(*command[:-1], tmp_path / "x", "--heads", 5) == 1
