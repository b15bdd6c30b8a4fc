"""Fixtures shared by the unit tests: real data, simulated data, the command line."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports huggingface_hub

from omicsai.homology import Split, split_sequences
from omicsai.simulate import Simulated, simulate

REPOSITORY = Path(__file__).resolve().parents[1]

settings.register_profile(
    "omicsai",
    deadline=None,  # machines that run these tests are busy
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("omicsai")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep a file's tests on one worker, so that its expensive fixtures are made once."""
    from xdist.scheduler import LoadFileScheduling

    if config.getvalue("dist") == "load":
        return LoadFileScheduling(config, log)
    return None


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the project's real data; tests that use it carry the marker `shared`."""
    place = os.environ.get("OMICSAI_SHARED")
    folder = Path(place) if place else REPOSITORY.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data in {folder}: set OMICSAI_SHARED to the folder with it")
    return folder


@pytest.fixture(scope="session")
def simulated() -> Simulated:
    """A small simulated data set with known truth."""
    return simulate(classes=3, family_size=6, near_duplicates=6, seed=1)


@pytest.fixture(scope="session")
def simulated_split(simulated: Simulated) -> Split:
    """The simulated training batch, split by homology."""
    labels = dict(zip(simulated.truth["id"], simulated.truth["given_label"], strict=True))
    known = {record.id: labels[record.id] for record in simulated.known}
    return split_sequences(simulated.known, known, folds=3, seed=1)


@pytest.fixture(scope="session")
def run_omicsai() -> Callable[..., int]:
    """Run one command in this process and give its exit code."""
    from omicsai.cli import main

    def run(*arguments: str | Path) -> int:
        # main() takes over the root logger; give it back to pytest afterwards
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        root.handlers = []
        try:
            return main([str(argument) for argument in arguments])
        finally:
            root.handlers = handlers
            root.setLevel(level)

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write text or bytes into a file of the test's own folder and give its path."""

    def make(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make
