"""Measurements of `hamming` beside its rivals; `python bench/latency.py` is the command."""
