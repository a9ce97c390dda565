"""Every kernel through NVRTC for every architecture, and what the machine code must look like."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from hamming.backends import cuda_compile, cuda_plan
from hamming.backends.cuda_plan import Facts, Kernel, Shape, Tuning

pytest.importorskip("cupy", reason="needs CuPy and NVRTC: hamming-kd[dev]")

TALLIED = Tuning(tally=True)
CAPABILITIES = [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)]
ENTRIES = re.compile(r'extern "C" __global__ void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(')


def kernels(capability: tuple[int, int]) -> list[Kernel]:
    """What the plans of common shapes launch, a kernel a file and set of definitions."""
    facts = Facts(capability, 100)
    found = [Kernel(file, "") for file in ("select.cu", "sort.cu", "rescore.cu")]
    found += [Kernel("pack.cu", "", (("HAMMING_ELEMENT", n),)) for n in (0, 8, 10)]
    shapes = [(8, 16), (32, 16), (13, 1)]
    if capability in ((8, 0), (9, 0)):  # the others differ in what they lack
        shapes += [(4, 16), (48, 16), (64, 16), (96, 16), (128, 16), (192, 16), (260, 4)]
    for n_bytes, alignment in shapes:
        for n_queries in (1, 8, 64, 1000):
            shape = Shape(n_queries, 10**8, n_bytes, alignment)
            found.append(cuda_plan.scan_for(shape, facts).kernel)
            if n_bytes in (8, 32, 128) and capability == (9, 0):
                found.append(cuda_plan.scan_for(shape, facts, TALLIED).kernel)
        if n_bytes in (8, 32, 13):
            found.append(cuda_plan.popc_kernel("place_ties", shape, facts, 1))
    return sorted({kernel._replace(entry="", block=0, shared=0) for kernel in found})


CASES = [(capability, kernel) for capability in CAPABILITIES for kernel in kernels(capability)]


def name_of(case: object) -> str:
    if isinstance(case, Kernel):
        return "-".join([case.file, *(str(value) for _, value in case.defines)])
    return str(case)


@cache
def tool(name: str) -> str:
    """A CUDA program of the environment, which pip puts beside its libraries."""
    places = [*Path(sys.prefix).glob(f"lib/python3*/site-packages/nvidia/*/bin/{name}")]
    found = str(places[0]) if places else shutil.which(name)
    if found is None:
        pytest.fail(f"expected {name}, got none; install hamming-kd[dev]")
    return found


@cache
def machine_code(kernel: Kernel, capability: tuple[int, int], folder: Path) -> tuple[str, str]:
    """Disassembly and resource usage."""
    cubin, log = cuda_compile.compiled(kernel, cuda_compile.architecture(capability))
    assert log.strip("\0\n ") == "", log
    path = folder / f"{abs(hash((kernel, capability)))}.cubin"
    path.write_bytes(cubin)
    run = [tool("nvdisasm"), "-c", str(path)], [tool("cuobjdump"), "--dump-resource-usage", path]
    return tuple(  # type: ignore[return-value]
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for command in run
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cubins")


@pytest.mark.parametrize(("capability", "kernel"), CASES, ids=name_of)
def test_no_local_memory_and_few_registers(
    capability: tuple[int, int], kernel: Kernel, folder: Path
) -> None:
    code, usage = machine_code(kernel, capability, folder)
    found = re.findall(r"Function (\w+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", usage)
    assert {entry for entry, *_ in found} == set(ENTRIES.findall(cuda_compile.source(kernel.file)))
    # Two blocks of 256 threads on a multiprocessor; scan_wgmma's 384 threads fill one alone.
    ceiling = 168 if kernel.file == "scan_wgmma.cu" else 128
    for entry, registers, stack, shared, local in found:
        assert int(stack) == int(local) == 0, entry
        assert int(registers) <= ceiling, entry
        assert int(shared) <= 48 * 1024, entry
    assert not re.search(r"\b(LDL|STL)\b", code)


def count(opcode: str, kernel: Kernel, capability: tuple[int, int], folder: Path) -> int:
    """How often an opcode stands in the code of a kernel's own entry."""
    code, _ = machine_code(kernel._replace(entry="", block=0, shared=0), capability, folder)
    (text,) = re.findall(rf"^\.text\.{kernel.entry}:\n(.*?)(?=^\.text\.|\Z)", code, re.M | re.S)
    return len(re.findall(opcode, text))


@pytest.mark.parametrize("n_bytes", [4, 8, 16, 32, 128])
def test_a_population_count_a_word(n_bytes: int, folder: Path) -> None:
    """Once where distances are compared, and again where hits are appended."""
    facts = Facts((9, 0), 132)
    kernel = cuda_plan.popc_scan(Shape(1, 10**8, n_bytes, 16), facts).kernel
    words, lanes = cuda_plan.popc_words(Shape(1, 10**8, n_bytes, 16))
    held = words // lanes * max(1, 4 // words)
    steps = max(1, 16 // held)
    # Appending counts the lanes of its votes, and those of lanes before this one.
    appends = steps * max(1, 4 // words)
    found = count(r"\bPOPC\b", kernel, (9, 0), folder)
    assert steps * held <= found <= 2 * steps * held + 5 * appends


def test_carry_save_adders_count_less(folder: Path) -> None:
    shape = Shape(1, 10**8, 32, 16)
    plain = cuda_plan.popc_scan(shape, Facts((8, 0), 100)).kernel
    saving = cuda_plan.popc_scan(shape, Facts((8, 6), 100)).kernel
    assert dict(saving.defines)["HAMMING_CARRY_SAVE"] == 1
    per_kernel = [count(r"\bPOPC\b", k, (8, 6), folder) for k in (plain, saving)]
    assert per_kernel[1] < per_kernel[0]


@pytest.mark.parametrize("capability", [(8, 0), (8, 6), (8, 9), (9, 0)])
@pytest.mark.parametrize(("n_bytes", "steps"), [(8, 1), (32, 1), (128, 4)])
def test_multiplies_are_native(
    capability: tuple[int, int], n_bytes: int, steps: int, folder: Path
) -> None:
    scan = cuda_plan.mma_scan(Shape(64, 10**8, n_bytes, 16), Facts(capability, 100))
    groups = scan.codes // 128  # of codes, whose loads are under way together
    norms = int(n_bytes > 16)  # a column of ones, where distances need them
    expected = groups * steps * (scan.queries // 8 + norms + 1)  # and one where hits are taken
    assert count(r"\bBMMA\.168256\.AND\.POPC\b", scan.kernel, capability, folder) == expected
    assert count(r"\bIMMA\b", scan.kernel, capability, folder) == 0


@pytest.mark.parametrize(("n_bytes", "steps"), [(8, 1), (32, 1), (64, 2), (96, 3), (128, 4)])
def test_asynchronous_multiplies(n_bytes: int, steps: int, folder: Path) -> None:
    scan = cuda_plan.wgmma_scan(Shape(1000, 10**8, n_bytes, 16))
    assert count(r"\bBGMMA\.64x128x256\.AND\.POPC\b", scan.kernel, (9, 0), folder) == steps
    assert count(r"\bVIADDMNMX\b", scan.kernel, (9, 0), folder) >= 64  # one a pair of codes


def test_an_old_device_is_refused_in_one_sentence() -> None:
    with pytest.raises(RuntimeError, match=r"^device: expected compute capability 7\.5 or later"):
        cuda_compile.architecture((6, 1))


def test_an_unknown_architecture_is_refused_in_one_sentence() -> None:
    with pytest.raises(RuntimeError, match=r"^device: expected an architecture that NVRTC"):
        cuda_compile.compile_cubin(Kernel("sort.cu", "sort_tiles"), "sm_999")


def test_a_cubin_is_kept_and_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path))
    kernel = Kernel("sort.cu", "sort_tiles")
    path = cuda_compile.cubin_path(kernel, "sm_80")
    assert path.parent == tmp_path
    assert path.read_bytes()[:4] == b"\x7fELF"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    monkeypatch.setattr(cuda_compile, "compiled", None)  # a second call compiles nothing
    assert cuda_compile.cubin_path(kernel._replace(entry="merge_runs"), "sm_80") == path
