"""Import open_clip where torchvision's compiled operators do not match torch.

torchvision from PyPI beside a CPU build of torch has no compiled operators, and its Python part
then fails at import ("operator torchvision::nms does not exist"). distill needs only its image
transforms, so the two missing schemas are declared and the import is repeated.
"""

import importlib
import sys
from types import ModuleType

import torch

_DECLARED: list[torch.library.Library] = []  # a Library that is collected takes its schemas along


def import_open_clip() -> ModuleType:
    """The `open_clip` module; a healthy torchvision is left as it is."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _DECLARED.append(library)
    return importlib.import_module("open_clip")
