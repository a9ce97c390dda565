"""Import open_clip and timm where torchvision's compiled operators do not match torch.

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
    return _import("open_clip")


def import_timm() -> ModuleType:
    """The `timm` module; a healthy torchvision is left as it is."""
    return _import("timm")


def _import(name: str) -> ModuleType:
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for module in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _DECLARED.append(library)
    return importlib.import_module(name)
