"""Simulated proteins with known truth: a positive control for the whole pipeline."""

from omicsai.simulate.dataset import FILES, TRUTH, Simulated, simulate, write_example

__all__ = ["FILES", "TRUTH", "Simulated", "simulate", "write_example"]
