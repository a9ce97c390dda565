from tests.hamming.interop.server import postgres

__all__ = ["postgres"]
