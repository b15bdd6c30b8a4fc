"""Simulated proteins with known truth: a positive control for the whole pipeline."""

from __future__ import annotations

import importlib
from typing import Any

from omicsai.simulate.files import EXAMPLE_FOLDER, FILES

__all__ = ["EXAMPLE_FOLDER", "FILES", "TRUTH", "Simulated", "simulate", "write_example"]


def __getattr__(name: str) -> Any:
    # the Snakefile imports FILES at every start; the simulation itself is heavier
    if name in __all__:
        return getattr(importlib.import_module("omicsai.simulate.dataset"), name)
    raise AttributeError(f"module 'omicsai.simulate' has no attribute '{name}'")
