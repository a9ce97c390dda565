"""A run's image encoder as a file to ship: `python -m distill.export RUN --out DIR`.

Pixels in, packed codes out: backbone, z-scores, hash head and packing are one graph, as ONNX and as
a program of torch.export. What is left to the caller is the picture's middle square, resized.
"""

import importlib
import importlib.util
import io
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from torch import Tensor, nn

import hamming
from distill import data, image_encoder
from distill.checkpoint import Run, load_run
from distill.command import one_sentence
from distill.encoders.backbones import Backbone
from distill.encoders.weights import first_line
from distill.files import write_bytes, write_text, write_whole
from distill.heads import head_output
from distill.image_encoder import ImageEncoder, as_cached, pixel_batches
from distill.types import DistillError

ONNX, PROGRAM, ABOUT = "encoder.onnx", "encoder.pt2", "encoder.json"
CHECKED = 256
"""Pictures of the run's own data whose codes are compared."""


class PackedEncoder(nn.Module):
    """Pixels (B, 3, S, S) uint8 to codes (B, n_bytes) uint8, packed as `hamming.pack` does.

    Args:
        backbone: frozen.
        head: features to logits.
        n_bits: length of a code.
    """

    places: Tensor

    def __init__(self, backbone: Backbone, head: nn.Module, n_bits: int) -> None:
        super().__init__()
        self.model, self.head = backbone.module, head
        self._normalise = backbone.normalise
        self._padding, self._n_bytes = -n_bits % 8, -(-n_bits // 8)
        self.register_buffer("places", 2.0 ** torch.arange(7, -1, -1))

    def forward(self, pixels: Tensor) -> Tensor:
        """See the class."""
        logits = self.head(as_cached(self.model(self._normalise(pixels))))
        # Sums of powers of two below 256 are exact in float32, which every runtime can multiply.
        bits = nn.functional.pad((logits > 0).float(), (0, self._padding))
        octets = bits.reshape(-1, self._n_bytes, 8)
        codes: Tensor = (octets * self.places).sum(dim=2).to(torch.uint8)
        return codes


class Comparison(NamedTuple):
    """Codes of a runtime beside those of `distill.encode`: how many of how many are equal."""

    runtime: str
    equal: int
    n: int
    smallest: float
    """The logit nearest to 0 among all bits that were compared."""


@dataclass(frozen=True)
class Export:
    """Write a run's image encoder as ONNX and as a torch.export program, and compare their codes.

    Needs the packages of the extra hamming-kd[export].
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder of a method that hashes images alone."""
    out: Path = Path("exported")
    """Folder for encoder.onnx, encoder.pt2 and encoder.json, which says what pixels are wanted."""
    model: Annotated[
        Literal["student", "teacher"] | None,
        tyro.conf.arg(constructor=str, metavar="student|teacher", help_behavior_hint=""),
    ] = None
    """Which model of the run; without it the student, where there is one."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace existing files."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    with one_sentence():
        options = tyro.cli(Export, args=arguments, prog="python -m distill.export")
        for found in export(options):
            print(
                f"{found.runtime}: {found.equal} of {found.n} codes equal to distill.encode's "
                f"(smallest |logit| {found.smallest:.2g})"
            )
        print(f"encoder: {options.out}")


def export(options: Export) -> list[Comparison]:
    """Write the files and return how their codes compare on pictures of the run's own data.

    Raises:
        DistillError: the run has no such encoder, a package is missing, or a file exists.
        OSError: a file cannot be written.
    """
    run = load_run(options.run)
    _check(options, run)
    encoder = ImageEncoder(run, options.model)
    module = PackedEncoder(encoder.backbone, encoder.head, run.config.bits).eval()
    pixels = _pixels(run, encoder)
    with _exporting(encoder.backbone):
        program = _program(module, pixels)
        exported: Any = torch.onnx.export(program, dynamo=True, verbose=False)
    write_bytes(options.out / PROGRAM, _bytes_of(program))
    write_whole(options.out / ONNX, lambda file: exported.save(str(file)))
    write_text(options.out / ABOUT, json.dumps(_about(run, encoder), indent=1) + "\n")
    logits = head_output(encoder.head, as_cached(encoder.backbone.features(pixels)))
    wanted = np.asarray(hamming.pack(logits.numpy()))
    smallest = float(logits.abs().min())
    codes = {
        "torch.export": _run_program(options.out / PROGRAM, pixels),
        "onnxruntime": run_onnx(options.out / ONNX, pixels.numpy()),
    }
    return [
        Comparison(name, int((found == wanted).all(axis=1).sum()), len(wanted), smallest)
        for name, found in codes.items()
    ]


def run_onnx(file: Path, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Packed codes (n, n_bytes) of pixels (n, 3, S, S) by an exported file, in onnxruntime."""
    runtime = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (codes,) = session.run(None, {session.get_inputs()[0].name: pixels})
    return np.asarray(codes)


def _check(options: Export, run: Run) -> None:
    if run.config.method not in image_encoder.METHODS:
        raise DistillError(
            f"export: expected a run of {', '.join(image_encoder.METHODS)}, got one of "
            f"{run.config.method}; train a student with --method brcd"
        )
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise DistillError(
                f"export: expected the package {package}, got none; pip install hamming-kd[export]"
            )
    existing = [name for name in (ONNX, PROGRAM, ABOUT) if (options.out / name).exists()]
    if existing and not options.overwrite:
        raise DistillError(
            f"out: expected a new folder, got {options.out} with {' and '.join(existing)}; "
            "give --overwrite or another --out"
        )


def _pixels(run: Run, encoder: ImageEncoder) -> Tensor:
    """Clean pixels of some of the run's own pictures."""
    dataset = data.load(**vars(run.config.data))
    rows = dataset.splits["database"][:CHECKED]
    return torch.cat(list(pixel_batches((dataset.image(int(i)) for i in rows), encoder.size)))


def _program(module: PackedEncoder, pixels: Tensor) -> Any:
    """The graph for any number of pictures."""
    example = pixels[:2].clone()
    with torch.no_grad():
        return torch.export.export(
            module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )


def _bytes_of(program: Any) -> bytes:
    buffer = io.BytesIO()
    with _quiet():
        torch.export.save(program, buffer)
    return buffer.getvalue()


def _run_program(file: Path, pixels: Tensor) -> NDArray[np.uint8]:
    with torch.no_grad(), _quiet():
        module = torch.export.load(str(file)).module()
        return np.asarray(module(pixels))


def _about(run: Run, encoder: ImageEncoder) -> dict[str, Any]:
    size, n_bytes = encoder.size, -(-run.config.bits // 8)
    pixels = (
        f"uint8 (batch, 3, {size}, {size}), RGB, 0..255: the middle square of the picture, resized "
        "with Pillow's bicubic filter"
    )
    codes = (
        f"uint8 (batch, {n_bytes}): bit i of a code is bit 7 - i % 8 of byte i // 8, as "
        "hamming.pack and numpy.packbits have it"
    )
    return {
        "model": encoder.model,
        "backbone": encoder.backbone.name,
        "weights": encoder.backbone.weights_label,
        "bits": run.config.bits,
        "input": pixels,
        "output": codes,
    }


@contextmanager
def _exporting(backbone: Backbone) -> Iterator[None]:
    try:
        with _quiet():
            yield
    except Exception as error:  # exporters raise anything
        raise DistillError(
            f"export: expected a graph of {backbone.name}, got: {first_line(error)}; "
            "choose another backbone"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters warn of their own internals; errors still reach us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


if __name__ == "__main__":
    main()
