"""Image-text datasets: embedded ones, and those of the user's own."""

from distill.data.base import ImageTextDataset
from distill.data.registry import NAMES, load
from distill.data.text import scrub, title_leak

__all__ = ["NAMES", "ImageTextDataset", "load", "scrub", "title_leak"]
