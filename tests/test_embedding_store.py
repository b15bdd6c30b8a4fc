"""The store survives kills, damage, company and full disks."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from omicsai.embedding import (
    EmbeddingStore,
    Encoder,
    embed_residues,
    embed_sequences,
    fill_store,
    write_residue_embeddings,
)
from omicsai.embedding.pooling import fit_pooling
from omicsai.embedding.pretrain import MaskedModel, Recipe, save_encoder
from omicsai.embedding.store import prune, verify
from omicsai.embedding.tiny import load_small
from omicsai.errors import InputError
from omicsai.sequences import Sequence, read_sequences, sequence_digest, write_fasta
from omicsai.sequences.alphabet import AMINO_ACIDS

IDENTITY = {"encoder": "length"}


def proteins(count: int, seed: int = 1, longest: int = 200) -> list[Sequence]:
    rng = np.random.default_rng(seed)
    return [
        Sequence(f"{seed}.{i}", "".join(rng.choice(list(AMINO_ACIDS), n)))
        for i, n in enumerate(rng.integers(1, longest, count))
    ]


def by_length(sequences: list[str], residues: bool = False) -> list:
    """Vectors and states that say which sequence they belong to."""
    return [
        (
            np.array([len(text), ord(text[0])], np.float32),
            np.arange(len(text), dtype=np.float32)[:, None] if residues else None,
        )
        for text in sequences
    ]


ENCODER = Encoder("length", 2, by_length, IDENTITY, budget=500)


@pytest.fixture
def many_parts(monkeypatch):
    monkeypatch.setattr("omicsai.embedding.embed.PART_SECONDS", 0.0)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A folder as `omicsai pretrain` writes it, with random weights."""
    import torch

    folder = tmp_path_factory.mktemp("models") / "small"
    model = MaskedModel(Recipe(width=32, heads=4, layers=2).shape)
    model.initialise(torch.Generator().manual_seed(1))
    residues = [record.residues for record in proteins(20)]
    save_encoder(model, fit_pooling(model.encoder, residues), folder)
    return folder


def test_a_second_batch_computes_only_what_is_new(tmp_path, caplog):
    caplog.set_level("INFO")
    store = EmbeddingStore(tmp_path, IDENTITY)
    first, second = proteins(90), proteins(10, seed=2)
    embed_sequences(first, ENCODER, store)
    caplog.clear()
    vectors = embed_sequences([*second, *first], ENCODER, store)
    assert (
        "100 sequences, 100 different; 90 known to the store, 10 to compute" in caplog.text
    )
    assert vectors[:, 0].tolist() == [len(record) for record in [*second, *first]]


@pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
def test_a_flipped_byte_is_found_and_only_its_part_computed_again(
    tmp_path, many_parts, place, caplog
):
    store = EmbeddingStore(tmp_path, IDENTITY)
    records = proteins(30)
    expected = embed_sequences(records, ENCODER, store)
    part = store.parts()[3]
    content = bytearray(part.read_bytes())
    content[int(place * len(content))] ^= 1
    part.write_bytes(content)
    assert verify(store) == (29, [part])
    caplog.set_level("INFO")
    np.testing.assert_array_equal(embed_sequences(records, ENCODER, store), expected)
    assert f"{part} is damaged" in caplog.text
    assert ", 1 to compute" in caplog.text
    assert verify(store) == (30, [])


@pytest.mark.parametrize("residues", [False, True])
def test_damage_to_the_only_part_is_healed_in_the_same_run(tmp_path, residues, caplog):
    store = EmbeddingStore(tmp_path, IDENTITY)
    records = proteins(6)
    expected = embed_sequences(records, ENCODER, store)
    if residues:
        expected = dict(embed_residues(records, ENCODER, store))
    for part in store.folder.glob("part-r*" if residues else "part-*"):
        content = bytearray(part.read_bytes())
        content[-200] ^= 1  # before the digests: residues or vectors
        part.write_bytes(content)
    if residues:
        found = dict(embed_residues(records, ENCODER, store))
        assert found.keys() == expected.keys()
        for digest, states in found.items():
            np.testing.assert_array_equal(states, expected[digest])
    else:
        np.testing.assert_array_equal(embed_sequences(records, ENCODER, store), expected)
    damaged = "residues" if residues else "vectors"
    assert f"is damaged (the checksum of its {damaged} does not fit)" in caplog.text
    assert verify(store)[1] == []


def test_only_parts_that_hold_something_wanted_are_read(tmp_path, many_parts, monkeypatch):
    from omicsai.embedding import store as module

    store = EmbeddingStore(tmp_path, IDENTITY)
    records = proteins(10)
    fill_store(records, ENCODER, store, residues=True)
    read = []

    def watch(file, name):
        read.append(name)
        return plain(file, name)

    plain = module.checked
    monkeypatch.setattr(module, "checked", watch)
    found = store.load([sequence_digest(records[3].residues)])
    assert [vector[0] for vector in found.values()] == [len(records[3])]
    assert read.count("digests") == 10
    assert read.count("vectors") == 1
    assert "residues" not in read


@pytest.mark.parametrize("content", [b"", b"abc", b"\x10" + bytes(30)])
def test_a_cut_part_is_dropped(tmp_path, content):
    store = EmbeddingStore(tmp_path, IDENTITY)
    embed_sequences(proteins(3), ENCODER, store)
    (part,) = store.parts()
    part.write_bytes(content)
    assert store.known() == set()
    assert store.parts() == []


def test_states_of_the_residues_are_kept_and_exported_as_uniprot_does(
    tmp_path,
):
    records = [*proteins(5), Sequence("twin", proteins(1)[0].residues)]
    store = EmbeddingStore(tmp_path, IDENTITY)
    states = embed_residues(records, ENCODER, store)
    write_residue_embeddings(tmp_path / "per-residue.h5", records, states, IDENTITY)
    with h5py.File(tmp_path / "per-residue.h5") as file:
        assert {name: d.shape for name, d in file.items()} == {
            record.id: (len(record), 1) for record in records
        }
        assert file["twin"].dtype == np.float16
        np.testing.assert_array_equal(file["twin"][:, 0], np.arange(len(records[0])))


def test_vectors_without_states_do_not_count_when_states_are_wanted(tmp_path):
    store = EmbeddingStore(tmp_path, IDENTITY)
    records = proteins(4)
    embed_sequences(records, ENCODER, store)
    assert len(store.known()) == 4
    assert store.known(residues=True) == set()
    fill_store(records, ENCODER, store, residues=True)
    assert len(store.known(residues=True)) == 4


def test_pruning_keeps_every_vector_once(tmp_path, many_parts, run_omicsai, capsys):
    store = EmbeddingStore(tmp_path, IDENTITY)
    records = proteins(20)
    expected = embed_sequences(records, ENCODER, store)
    fill_store(records[:5], ENCODER, store, residues=True)
    assert len(store.parts()) == 25
    damaged = store.parts()[-1]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert run_omicsai("store", "verify", tmp_path) == 1
    assert "1 damaged parts" in capsys.readouterr().err
    before, after = prune(store)
    assert after < before
    assert len(store.parts()) <= 7
    assert run_omicsai("store", "verify", tmp_path) == 0
    np.testing.assert_array_equal(embed_sequences(records, ENCODER, store), expected)
    assert run_omicsai("store", "list", tmp_path) == 0
    assert "encoder length" in capsys.readouterr().out
    fasta = tmp_path / "keep.fasta"
    write_fasta(records[7:9], fasta)
    assert run_omicsai("store", "prune", tmp_path, "--keep", fasta) == 0
    assert len(store.known()) == 2


def test_a_folder_that_is_no_store_is_refused(tmp_path, run_omicsai, capsys):
    assert run_omicsai("store", "list", tmp_path) == 1
    assert "is no embedding store" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, many_parts, monkeypatch):
    from omicsai.embedding import store as module

    store = EmbeddingStore(tmp_path, IDENTITY)
    records, written = proteins(10), []

    def full(content, path, metadata):
        if len(written) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        save(content, path, metadata=metadata)

    save = module.save_file
    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(InputError, match=r"cannot write into the store .*No space left"):
        embed_sequences(records, ENCODER, store)
    monkeypatch.setattr(module, "save_file", save)
    assert verify(store) == (4, [])
    assert not list(store.folder.glob(".*"))
    vectors = embed_sequences(records, ENCODER, store)
    assert vectors[:, 0].tolist() == [len(record) for record in records]


def test_a_read_only_store_serves_what_it_holds(tmp_path, monkeypatch):
    records = proteins(5)
    store = EmbeddingStore(tmp_path, IDENTITY)
    expected = embed_sequences(records, ENCODER, store)

    def refuse(self, *arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write where others may not
    monkeypatch.setattr(Path, "unlink", refuse)
    np.testing.assert_array_equal(embed_sequences(records, ENCODER, store), expected)
    with pytest.raises(InputError, match=r"cannot write into the store .* --store"):
        embed_sequences(proteins(5, seed=2), ENCODER, store)


def test_an_empty_batch_has_no_vectors(tmp_path):
    found = embed_sequences([], ENCODER, EmbeddingStore(tmp_path, IDENTITY))
    assert found.shape == (0, 2)


DRIVER = """
import sys, time
from pathlib import Path
from omicsai.embedding import EmbeddingStore, embed_sequences, write_embeddings
from omicsai.embedding import embed
from omicsai.embedding.tiny import load_small
from omicsai.sequences import read_sequences
from dataclasses import replace

embed.PART_SECONDS = 0.05
model, fasta, store, out, log = map(Path, sys.argv[1:])
encoder = load_small(model)
lines = log.open("a")

def encode(sequences, residues=False):
    found = encoder.encode(sequences, residues)
    time.sleep(0.02)
    lines.write("".join(f"{text}\\n" for text in sequences))
    lines.flush()
    return found

records = read_sequences(fasta)
slow = replace(encoder, encode=encode, budget=1000)
vectors = embed_sequences(records, slow, EmbeddingStore(store, slow.identity))
write_embeddings(out, [record.id for record in records], vectors, slow.identity)
"""


def start(tmp_path: Path, small: Path, fasta: Path, name: str, store: str) -> list:
    return [
        sys.executable, "-c", DRIVER, small, fasta, tmp_path / store,
        tmp_path / f"{name}.h5", tmp_path / f"{name}.log",
    ]  # fmt: skip


def killed_and_resumed(tmp_path: Path, small: Path, count: int, kills: int) -> None:
    """Kill at random moments; the end has the bytes of a run that was left alone."""
    fasta = tmp_path / "proteins.fasta"
    write_fasta(proteins(count), fasta)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    begun = time.monotonic()
    whole = start(tmp_path, small, fasta, "whole", "whole_store")
    subprocess.run(whole, check=True, env=environment)
    longest = time.monotonic() - begun
    rng = random.Random(1)
    command = start(tmp_path, small, fasta, "killed", "killed_store")
    log = tmp_path / "killed.log"
    log.touch()
    done = 0
    while done < kills:
        running = subprocess.Popen(command, env=environment)
        seen = log.stat().st_size
        while log.stat().st_size == seen and running.poll() is None:
            time.sleep(0.005)  # until it computes
        time.sleep(rng.random() * longest / (kills + 3))
        running.send_signal(signal.SIGKILL)
        if running.wait() == 0:
            break
        done += 1
    assert done, "the run ended before it could be killed"
    subprocess.run(command, check=True, env=environment)
    assert (tmp_path / "killed.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    computed = log.read_text().split()
    assert set(computed) == {record.residues for record in read_sequences(fasta)}
    # what a kill may cost: the batches since the last part (0.05 s) and the one in flight
    in_flight = 6 * 1000  # residues
    twice = sum(len(t) for t in computed) - sum(len(t) for t in set(computed))
    assert twice <= done * in_flight


def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(tmp_path, small):
    killed_and_resumed(tmp_path, small, count=300, kills=2)


@pytest.mark.benchmark
def test_ten_kills_while_embedding_2000_proteins(tmp_path, small):
    killed_and_resumed(tmp_path, small, count=2000, kills=10)


def test_two_runs_at_once_share_a_store(tmp_path, small):
    fasta = tmp_path / "proteins.fasta"
    write_fasta(proteins(150), fasta)
    running = [
        subprocess.Popen(start(tmp_path, small, fasta, name, "store")) for name in "ab"
    ]
    assert [each.wait() for each in running] == [0, 0]
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    (folder,) = (tmp_path / "store").iterdir()
    assert not list(folder.glob(".*"))
    assert not list(folder.glob("plan-*"))
    encoder = load_small(small)
    assert verify(EmbeddingStore(tmp_path / "store", encoder.identity))[1] == []


def test_shards_fill_the_store_and_merge(tmp_path, run_omicsai, caplog):
    fasta, out = tmp_path / "proteins.fasta", tmp_path / "out.h5"
    records = proteins(20)
    write_fasta([*records, Sequence("twin", records[0].residues)], fasta)
    common = ["--shards", 3, "--store", tmp_path / "store"]
    for shard in (1, 2, 3):
        marker = tmp_path / f"{shard}.json"
        assert run_omicsai("embed", fasta, *common, "--shard", shard, "--out", marker) == 0
        assert marker.exists()
    caplog.set_level("INFO")
    assert run_omicsai("embed", fasta, *common, "--out", out) == 0
    assert run_omicsai("embed", fasta, "--out", tmp_path / "alone" / "out.h5") == 0
    assert out.read_bytes() == (tmp_path / "alone" / "out.h5").read_bytes()
    assert run_omicsai("embed", fasta, *common, "--shard", 4, "--out", out) == 1


def test_equal_parts_are_equal_bytes(tmp_path):
    vectors = np.arange(6, dtype=np.float32).reshape(2, 3)
    residues = [np.ones((4, 3), dtype=np.float16), np.zeros((2, 3), dtype=np.float16)]
    digests = [sequence_digest("MKTA"), sequence_digest("GG")]
    written = {
        EmbeddingStore(tmp_path / str(i), IDENTITY)
        .append(digests, vectors, residues)
        .read_bytes()
        for i in range(6)
    }
    assert len(written) == 1
