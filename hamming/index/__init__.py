"""Codes with ids that come and go, in memory and in files."""

from .index import Index

__all__ = ["Index"]
