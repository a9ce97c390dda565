"""Arrays of other libraries: what comes in is viewed without a copy, and results go out in kind.

torch is never imported here: a torch tensor can only be passed by someone who has imported it, so
it is looked up in `sys.modules`. CuPy is imported when an array on a GPU comes. `import hamming`
needs NumPy alone.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from . import checks

Result = TypeVar("Result", bound=tuple[Any, ...])
Kind = Literal["numpy", "torch", "cupy"]

# What torch's allocator gave to a call on its tensors, by address: results are these tensors, not
# others that share their memory, so that what torch knows of streams holds for them.
_torch_memory: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

_CPU_DLPACK_TYPES = (1, 3)  # kDLCPU and kDLCUDAHost: memory this process can read


class View(NamedTuple):
    """An array as NumPy sees it, or CuPy if it lies on a GPU, and the kind of its results."""

    array: np.ndarray
    kind: Kind


def device_of(x: Any, name: str) -> str:
    """The device of `x`: "cpu", "cuda:0", ...

    Raises:
        TypeError: `x` is no array.
    """
    if type(x) is np.ndarray:
        return "cpu"
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return str(x.device)
    masked = sys.modules.get("numpy.ma")  # np.ma would import it, which takes longer than a search
    if masked is not None and isinstance(x, masked.MaskedArray):
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


def lies_on(x: Any, name: str, device: str) -> bool:
    """Whether `x` is an array on that device; numbers and lists lie on none."""
    return hasattr(x, "__dlpack_device__") and device_of(x, name) == device


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


def view(x: Any, name: str) -> View:
    """An array without a copy; on the host bfloat16 and half become float32.

    Gradients are ignored. The array may be read-only or strided. On a GPU, which NumPy and CuPy
    have no bfloat16 for, bfloat16 comes as uint16: `element` tells.
    """
    return host(x, name) if device_of(x, name) == "cpu" else _on_gpu(x, name)


def element(x: Any, array: np.ndarray) -> str:
    """The dtype that the items of `array`, the view of `x`, stand for."""
    is_bfloat16 = str(getattr(x, "dtype", "")) == "torch.bfloat16" and array.dtype == np.uint16
    return "bfloat16" if is_bfloat16 else str(array.dtype)


def floats(x: Any, array: np.ndarray) -> np.ndarray:
    """`array`, the view of `x`, with bfloat16 as float32."""
    if element(x, array) != "bfloat16":
        return array
    bits: np.ndarray = array.astype(np.uint32) << 16
    return bits.view(np.float32)


def _on_gpu(x: Any, name: str) -> View:
    try:
        import cupy
    except ImportError as error:
        raise ValueError(
            f"{name}: expected an array in host memory where CuPy is not installed, got one on "
            f"{device_of(x, name)} ({error}); install hamming-kd[cuda12] or [cuda13], or move it"
        ) from None
    if isinstance(x, cupy.ndarray):
        return View(x, "cupy")
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(x, torch.Tensor):
        return View(cupy.from_dlpack(x), "cupy")
    plain = x.detach().resolve_conj().resolve_neg()
    if plain.dtype == torch.bool:
        return View(cupy.from_dlpack(plain.view(torch.uint8)).view(np.bool_), "torch")
    if plain.dtype == torch.bfloat16:
        return View(cupy.from_dlpack(plain.view(torch.int16)).view(np.uint16), "torch")
    return View(cupy.from_dlpack(plain), "torch")


def placed(x: Any, name: str) -> AbstractContextManager[None]:
    """The device of `x`, and its library's current stream and allocator, for what CuPy does inside.

    Results and scratch memory of a call on torch tensors are torch's, which is what makes calls
    safe inside its CUDA graphs and beside its other streams.
    """
    device = device_of(x, name)
    return _ON_HOST if device == "cpu" else _placed(x, device)


_ON_HOST = nullcontext()


@contextmanager
def _placed(x: Any, device: str) -> Iterator[None]:
    import cupy

    index = int(device.partition(":")[2] or 0)
    torch = sys.modules.get("torch")
    with cupy.cuda.Device(index):
        if torch is None or not isinstance(x, torch.Tensor):
            yield
            return

        def allocate(n_bytes: int) -> Any:
            memory = torch.empty(max(n_bytes, 1), dtype=torch.uint8, device=x.device)
            _torch_memory[memory.data_ptr()] = memory
            owned = cupy.cuda.UnownedMemory(memory.data_ptr(), n_bytes, memory, index)
            return cupy.cuda.MemoryPointer(owned, 0)

        stream = _Stream(torch.cuda.current_stream(x.device).cuda_stream)
        with (
            torch.cuda.device(x.device),
            cupy.cuda.Stream.from_external(stream),
            cupy.cuda.using_allocator(allocate),
        ):
            yield


class _Stream(NamedTuple):
    """A stream of another library, as CuPy asks for it."""

    pointer: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.pointer


def host(x: Any, name: str) -> View:
    """A view of host memory as a NumPy array; bfloat16 and half become float32.

    Gradients are ignored. The array may be read-only or strided.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return View(_from_torch(x, name, torch), "torch")
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
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    return View(array, "numpy")


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
    """The checked arguments of a search, contiguous, where they lay."""

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
    queries, kind = view(query_codes, "query_codes")
    db = view(db_codes, "db_codes").array
    checks.queries_like(queries, db)
    searchable = None if mask is None else contiguous(view(mask, "mask").array)
    if searchable is not None:
        checks.search_mask(searchable, len(db))
    rows = contiguous(queries.reshape(-1, db.shape[1]))
    return SearchArrays(rows, contiguous(db), searchable, queries.ndim == 1, kind)


def module(array: np.ndarray) -> Any:
    """NumPy, or CuPy for its own arrays."""
    return np if isinstance(array, np.ndarray) else sys.modules["cupy"]


def contiguous(array: np.ndarray) -> np.ndarray:
    """`array` itself when its rows are contiguous and its items aligned, else a copy that is."""
    xp = module(array)
    if xp is not np:
        copy: np.ndarray = xp.ascontiguousarray(array)
        return copy
    if array.flags.c_contiguous and array.flags.aligned:
        return array
    return np.require(array, requirements=("C", "A"))


def plain(array: np.ndarray) -> np.ndarray:
    """The same memory as an array of NumPy's own class; memmap's costs searches time."""
    return np.asarray(array) if module(array) is np else array


def read_only(array: np.ndarray) -> np.ndarray:
    """A view through which nobody writes; CuPy's arrays as they are."""
    if module(array) is np:
        array = array.view()
        array.flags.writeable = False
    return array


def to_host(array: np.ndarray) -> np.ndarray:
    """The array in host memory; from a GPU a copy, which is waited for."""
    xp = module(array)
    copy: np.ndarray = array if xp is np else xp.asnumpy(array)
    return copy


@contextmanager
def on_device(device: str) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """What moves arrays to `device`, on which CuPy works inside."""
    if device == "cpu":
        yield to_host
        return
    import cupy

    number, count = int(device.partition(":")[2]), cupy.cuda.runtime.getDeviceCount()
    if number >= count:
        raise ValueError(
            f"device: expected one of the {count} GPUs that this machine has, got {device}; "
            f"the last one is cuda:{count - 1}"
        )
    with cupy.cuda.Device(number):
        yield cupy.asarray


def settle(array: np.ndarray) -> None:
    """Waits until what was written to `array` on the current stream is there for all streams."""
    xp = module(array)
    if xp is not np:
        xp.cuda.get_current_stream().synchronize()


def like(kind: Kind, array: Any) -> Any:
    """`array` as the caller's kind of array, sharing memory."""
    if kind != "torch":
        return array
    torch = sys.modules["torch"]
    if module(array) is np:
        return torch.from_numpy(array)
    memory = _torch_memory.get(int(array.data.ptr))
    if memory is None or array.nbytes == 0:
        return torch.from_dlpack(array)
    dtype = getattr(torch, str(array.dtype))
    return memory[: array.nbytes].view(dtype).view(array.shape)


def result_like(kind: Kind, result: Result) -> Result:
    """The same named tuple with its arrays as the caller's kind."""
    if kind != "torch":
        return result
    return type(result)(*(like(kind, array) for array in result))
