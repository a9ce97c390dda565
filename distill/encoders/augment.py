"""Views of pictures at the size of a model: the clean one, and CIBHash's random augmentation.

A random view is drawn once and rendered at every size asked for, so that a teacher and a student
look at the same crop in the same colours, each at its own resolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

VERSION = 1
"""Counts up when the pixels of a view change: part of the key of cached features."""

Pixels = NDArray[np.uint8]
"""(3, S, S)."""

_SCALE, _RATIO = (0.5, 1.0), (3 / 4, 4 / 3)
_JITTER, _HUE = 0.4, 0.1
_P_FLIP, _P_JITTER, _P_GREY, _P_BLUR = 0.5, 0.7, 0.2, 0.5
_SIGMA = (0.1, 2.0)
_BICUBIC = Image.Resampling.BICUBIC


@dataclass(frozen=True)
class Draw:
    """Every random choice of one view, before any pixel is touched.

    Attributes:
        box: (left, top, right, bottom) of the crop, pixels of the picture.
        flip: mirrored left to right.
        jitter: operations in their order, each with its factor; "hue" with a share of the circle.
        grey: turned to grey.
        sigma: of the 3 x 3 Gaussian blur, pixels of the rendered view; 0 is none.
    """

    box: tuple[int, int, int, int]
    flip: bool
    jitter: tuple[tuple[str, float], ...]
    grey: bool
    sigma: float


def view_generator(seed: int, item: int, view: int) -> np.random.Generator:
    """The generator of one view: no order, batch or worker changes what it draws."""
    return np.random.default_rng([seed, item, view])


def draw_view(size: tuple[int, int], generator: np.random.Generator, *, blur: bool = True) -> Draw:
    """Choose one view of a picture.

    RandomResizedCrop of scale (0.5, 1) and ratio (3/4, 4/3), horizontal flip, ColorJitter(.4, .4,
    .4, .1) with probability .7, grey with .2, 3 x 3 Gaussian blur with .5 and sigma in (0.1, 2):
    the augmentation of CIBHash and BRCD.

    Args:
        size: (width, height) of the picture.
        generator: the numbers drawn do not depend on `blur`, so views with and without agree
            otherwise.
        blur: False leaves the blur out.
    """
    box = _crop(size, generator)
    flip = bool(generator.random() < _P_FLIP)
    apply_jitter = generator.random() < _P_JITTER
    order = generator.permutation(4)
    low, high = 1 - _JITTER, 1 + _JITTER
    amounts = [*generator.uniform(low, high, 3), generator.uniform(-_HUE, _HUE)]
    names = ("brightness", "contrast", "saturation", "hue")
    jitter = tuple((names[k], float(amounts[k])) for k in order) if apply_jitter else ()
    grey = bool(generator.random() < _P_GREY)
    apply_blur = generator.random() < _P_BLUR
    sigma = float(generator.uniform(*_SIGMA))
    return Draw(box, flip, jitter, grey, sigma if blur and apply_blur else 0.0)


def render(image: Image.Image, draw: Draw, size: int) -> Pixels:
    """One drawn view of an RGB picture as (3, size, size) uint8."""
    # Cropped first: resize's own box would let pixels around the crop in.
    view = image.crop(draw.box).resize((size, size), _BICUBIC)
    if draw.flip:
        view = ImageOps.mirror(view)
    for name, amount in draw.jitter:
        view = _shift_hue(view, amount) if name == "hue" else _ENHANCE[name](view).enhance(amount)
    if draw.grey:
        view = view.convert("L").convert("RGB")
    pixels = np.asarray(view)
    if draw.sigma:
        pixels = _blur(pixels, draw.sigma)
    return _channels_first(pixels)


def augment(
    image: Image.Image, sizes: Sequence[int], generator: np.random.Generator, *, blur: bool = True
) -> list[Pixels]:
    """One random view of an RGB picture at several sizes, the same draw for all.

    Args:
        image: RGB, any size.
        sizes: side of each result in pixels.
        generator: see `view_generator`.
        blur: False leaves the blur out.

    Returns:
        (3, S, S) uint8 for each S of `sizes`.
    """
    draw = draw_view(image.size, generator, blur=blur)
    return [render(image, draw, size) for size in sizes]


def clean_view(image: Image.Image, size: int) -> Pixels:
    """The whole of a square RGB picture, of others the middle of the longer side.

    Returns:
        (3, size, size) uint8, bicubic.
    """
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    square = (left, top, left + side, top + side)
    return _channels_first(np.asarray(image.resize((size, size), _BICUBIC, box=square)))


def _crop(size: tuple[int, int], generator: np.random.Generator) -> tuple[int, int, int, int]:
    """Torchvision's RandomResizedCrop: ten tries, then the middle."""
    width, height = size
    for _ in range(10):
        area = width * height * generator.uniform(*_SCALE)
        ratio = float(np.exp(generator.uniform(*np.log(_RATIO))))
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            left = int(generator.integers(width - w + 1))
            top = int(generator.integers(height - h + 1))
            return left, top, left + w, top + h
    w = min(width, round(height * _RATIO[1]))
    h = min(height, round(width / _RATIO[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


_ENHANCE = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
}


def _shift_hue(image: Image.Image, share: float) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    shift = int(share * 255)  # towards zero, as torchvision does
    hue = hue.point([(level + shift) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def _blur(pixels: Pixels, sigma: float) -> Pixels:
    """Blur (S, S, 3) with a 3 x 3 Gaussian, the border mirrored as OpenCV does by default."""
    side = float(np.exp(-0.5 / sigma**2))
    middle, outer = (np.float32(weight / (1 + 2 * side)) for weight in (1.0, side))
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="reflect").astype(np.float32)
    rows = middle * padded[1:-1] + outer * (padded[:-2] + padded[2:])
    both = middle * rows[:, 1:-1] + outer * (rows[:, :-2] + rows[:, 2:])
    blurred: Pixels = np.rint(both).astype(np.uint8)
    return blurred


def _channels_first(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
