"""Formats of other systems: `faiss`, `parquet`, `pgvector` and `sentence_transformers`.

Each module is imported by its own name, and a package it needs when a function first needs it.
"""
