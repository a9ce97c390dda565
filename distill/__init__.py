"""Learned hashing: teachers and students whose outputs are bit-packed codes for `hamming`."""

import importlib.util
import sys

_NEEDED = ("torch", "tyro", "rich", "safetensors", "PIL", "scipy", "h5py", "matplotlib", "jinja2")

# "-m" means that a command is being looked up, whose own imports would end in a traceback.
if sys.argv[:1] == ["-m"] and (
    _missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]
):
    print(
        f"error: distill: expected the packages that its commands need, got no {_missing[0]}; "
        'pip install "hamming-kd[distill]"',
        file=sys.stderr,
    )
    raise SystemExit(2)
