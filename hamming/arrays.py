"""Arrays of other libraries: what comes in is viewed without a copy, and results go out in kind.

torch is never imported here: a torch tensor can only be passed by someone who has imported it, so
it is looked up in `sys.modules`. `import hamming` needs NumPy alone.
"""

from __future__ import annotations

import sys
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from . import checks

Result = TypeVar("Result", bound=tuple[Any, ...])
Kind = Literal["numpy", "torch"]

_CPU_DLPACK_TYPES = (1, 3)  # kDLCPU and kDLCUDAHost: memory this process can read


class Host(NamedTuple):
    """A host array as NumPy sees it, and the kind its results should have."""

    array: np.ndarray
    kind: Kind


def device_of(x: Any, name: str) -> str:
    """The device of `x`: "cpu", "cuda:0", ...

    Raises:
        TypeError: `x` is no array.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return str(x.device)
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name}: expected a plain array, got a masked one; fill it first")
    if isinstance(x, np.ndarray):
        return "cpu"
    if hasattr(x, "__dlpack_device__") and hasattr(x, "__dlpack__"):
        kind, index = x.__dlpack_device__()
        return "cpu" if int(kind) in _CPU_DLPACK_TYPES else f"cuda:{int(index)}"
    raise TypeError(
        f"{name}: expected a NumPy array, torch tensor or DLPack producer, "
        f"got {type(x).__name__}; convert it with numpy.asarray"
    )


def common_device(named: dict[str, Any]) -> str:
    """The one device of all arguments.

    Raises:
        TypeError: an argument is no array.
        ValueError: they live on different devices.
    """
    devices = {name: device_of(x, name) for name, x in named.items()}
    first_name, first = next(iter(devices.items()))
    for name, device in devices.items():
        if device != first:
            raise ValueError(
                f"{name}: expected device {first} like {first_name}, got {device}; "
                "move both to one device"
            )
    return first


def host(x: Any, name: str) -> Host:
    """A view of host memory as a NumPy array; bfloat16 and half become float32.

    Gradients are ignored. The array may be read-only or strided.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return Host(_from_torch(x, name, torch), "torch")
    if isinstance(x, np.ndarray):
        array = x
    else:
        try:
            array = _from_dlpack(x, name, torch)
        except (RuntimeError, BufferError, TypeError, AttributeError) as error:
            raise TypeError(
                f"{name}: expected a DLPack array that NumPy can read, got {type(x).__name__} "
                f"({error}); convert it to a NumPy array"
            ) from None
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return Host(array, "numpy")


def _from_dlpack(x: Any, name: str, torch: Any) -> np.ndarray:
    try:
        return np.from_dlpack(x)
    except (RuntimeError, BufferError):
        if torch is None:
            raise
        # NumPy has no bfloat16; torch, where it is loaded, reads it.
        return _from_torch(torch.from_dlpack(x), name, torch)


def _from_torch(x: Any, name: str, torch: Any) -> np.ndarray:
    if x.dtype in (torch.bfloat16, torch.float16):
        x = x.float()
    try:
        array: np.ndarray = x.detach().resolve_conj().resolve_neg().numpy()
    except (RuntimeError, TypeError) as error:
        raise TypeError(
            f"{name}: expected a dense torch tensor of a common dtype, got "
            f"{x.dtype} {x.layout} ({str(error).splitlines()[0]}); convert it first"
        ) from None
    return array


class SearchArrays(NamedTuple):
    """The checked arguments of a search, contiguous in host memory."""

    queries: np.ndarray  # (n_queries, n_bytes)
    db: np.ndarray  # (n_codes, n_bytes)
    mask: np.ndarray | None
    single: bool  # the caller gave one 1-d query
    kind: Kind


def search_device(query_codes: Any, db_codes: Any, mask: Any = None) -> str:
    """The one device of a search's arguments; only the mask may be None."""
    named = {"query_codes": query_codes, "db_codes": db_codes}
    return common_device(named if mask is None else {**named, "mask": mask})


def search_arrays(query_codes: Any, db_codes: Any, mask: Any = None) -> SearchArrays:
    """Checks and views the arrays that every search takes.

    Raises:
        TypeError: an argument is no array, or of a wrong dtype.
        ValueError: the shapes do not fit.
    """
    queries, kind = host(query_codes, "query_codes")
    db = host(db_codes, "db_codes").array
    checks.queries_like(queries, db)
    searchable = None if mask is None else contiguous(host(mask, "mask").array)
    if searchable is not None:
        checks.search_mask(searchable, len(db))
    rows = contiguous(queries.reshape(-1, db.shape[1]))
    return SearchArrays(rows, contiguous(db), searchable, queries.ndim == 1, kind)


def contiguous(array: np.ndarray) -> np.ndarray:
    """`array` itself when its rows are contiguous and its items aligned, else a copy that is."""
    return np.require(array, requirements=("C", "A"))


def like(kind: Kind, array: np.ndarray) -> Any:
    """`array` as the caller's kind of array, sharing memory."""
    if kind == "torch":
        return sys.modules["torch"].from_numpy(array)
    return array


def result_like(kind: Kind, result: Result) -> Result:
    """The same named tuple with its arrays as the caller's kind."""
    if kind == "numpy":
        return result
    return type(result)(*(like(kind, array) for array in result))
