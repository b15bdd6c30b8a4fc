"""The report: figures and one self-contained page from the tables the stages wrote."""

from omicsai.report.page import render_page
from omicsai.report.story import Batch, Story, read_story

__all__ = ["Batch", "Story", "read_story", "render_page"]
