"""Augmentation: what is drawn, what it looks like, and that nothing but its seed matters."""

import importlib

import numpy as np
import pytest
from PIL import Image, ImageFilter

from distill.encoders.augment import (
    VERSION,
    Draw,
    augment,
    clean_view,
    draw_view,
    render,
    view_generator,
)
from distill.encoders.torchvision_guard import import_timm

WHOLE = (0, 0, 32, 32)


def picture(width: int = 32, height: int = 32, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height)).filter(ImageFilter.BoxBlur(2))


def draws(n: int = 2000, **settings: bool) -> list[Draw]:
    return [draw_view((32, 32), view_generator(1, i, 0), **settings) for i in range(n)]


def plain(**changes) -> Draw:
    return Draw(
        **({"box": WHOLE, "flip": False, "jitter": (), "grey": False, "sigma": 0} | changes)
    )


def test_equal_seeds_give_equal_views_in_any_order() -> None:
    image = picture()
    views = {(i, v): augment(image, (16,), view_generator(7, i, v))[0] for i, v in np.ndindex(3, 2)}
    for (i, v), expected in reversed(views.items()):
        assert np.array_equal(augment(image, (16,), view_generator(7, i, v))[0], expected)
    assert len({view.tobytes() for view in views.values()}) == 6
    assert not np.array_equal(augment(image, (16,), view_generator(8, 0, 0))[0], views[0, 0])


def test_all_sizes_show_the_same_view() -> None:
    for item in range(20):
        generator = view_generator(0, item, 1)
        small, large = augment(picture(seed=item), (24, 72), generator, blur=False)
        assert small.shape == (3, 24, 24)
        assert large.shape == (3, 72, 72)
        assert small.dtype == large.dtype == np.uint8
        coarse = [v.reshape(3, 8, k, 8, k).mean(axis=(2, 4)) for v, k in ((small, 3), (large, 9))]
        assert np.abs(coarse[0] - coarse[1]).mean() < 6
        (alone,) = augment(picture(seed=item), (72,), view_generator(0, item, 1), blur=False)
        assert np.array_equal(alone, large)


def test_draws_follow_the_spec() -> None:
    found = draws()
    assert np.mean([d.flip for d in found]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([bool(d.jitter) for d in found]) == pytest.approx(0.7, abs=0.05)
    assert np.mean([d.grey for d in found]) == pytest.approx(0.2, abs=0.04)
    sigmas = [d.sigma for d in found if d.sigma]
    assert len(sigmas) / len(found) == pytest.approx(0.5, abs=0.05)
    assert 0.1 <= min(sigmas) < 0.2
    assert 1.9 < max(sigmas) <= 2.0
    for name, low, high in (
        ("brightness", 0.6, 1.4),
        ("contrast", 0.6, 1.4),
        ("saturation", 0.6, 1.4),
        ("hue", -0.1, 0.1),
    ):
        amounts = [dict(d.jitter)[name] for d in found if d.jitter]
        assert low <= min(amounts) < low + 0.01 < high - 0.01 < max(amounts) <= high
    assert len({tuple(name for name, _ in d.jitter) for d in found}) == 25  # 4! orders, and none


def test_crops_follow_the_spec() -> None:
    boxes = [draw_view((400, 300), view_generator(0, i, 0)).box for i in range(2000)]
    sides = np.array([(right - left, bottom - top) for left, top, right, bottom in boxes])
    shares = sides.prod(axis=1) / (400 * 300)
    ratios = sides[:, 0] / sides[:, 1]
    assert 0.49 < shares.min() < 0.52 < 0.95 < shares.max() <= 1
    assert 0.74 < ratios.min() < 0.78 < 1.28 < ratios.max() < 1.35
    assert min(min(box[:2]) for box in boxes) == 0
    assert all(right <= 400 and bottom <= 300 for _, _, right, bottom in boxes)


@pytest.mark.parametrize(("size", "box"), [((300, 10), (143, 0, 156, 10)), ((1, 1), (0, 0, 1, 1))])
def test_a_long_picture_is_cropped_in_the_middle(size: tuple, box: tuple) -> None:
    assert draw_view(size, view_generator(0, 0, 0)).box == box
    assert augment(Image.new("RGB", size), (8,), view_generator(0, 0, 0))[0].shape == (3, 8, 8)


def test_views_without_blur_agree_otherwise() -> None:
    for with_blur, without in zip(draws(50), draws(50, blur=False), strict=True):
        assert without.sigma == 0
        assert (with_blur.box, with_blur.flip, with_blur.jitter, with_blur.grey) == (
            (without.box, without.flip, without.jitter, without.grey)
        )


def test_nothing_drawn_changes_nothing() -> None:
    image = picture()
    assert np.array_equal(render(image, plain(), 32).transpose(1, 2, 0), np.asarray(image))


def test_flip_and_grey() -> None:
    image = picture()
    pixels = np.asarray(image).transpose(2, 0, 1)
    assert np.array_equal(render(image, plain(flip=True), 32), pixels[:, :, ::-1])
    grey = render(image, plain(grey=True), 32)
    assert np.array_equal(grey[0], grey[1])
    assert np.array_equal(grey[0], np.asarray(image.convert("L")))


def test_colour_jitter_by_hand() -> None:
    image = picture()
    pixels = np.asarray(image).transpose(2, 0, 1).astype(float)
    grey = np.asarray(image.convert("L")).astype(float)
    for name, reference in (
        ("brightness", np.zeros(1)),
        ("contrast", np.round(grey.mean())),
        ("saturation", grey),
    ):
        got = render(image, plain(jitter=((name, 1.3),)), 32)
        expected = np.clip(reference + 1.3 * (pixels - reference), 0, 255)
        assert np.abs(got - expected).max() <= 1


def test_operations_are_those_of_torchvision() -> None:
    import_timm()  # mends torchvision where it is broken
    functional = importlib.import_module("torchvision.transforms.functional")
    image = picture()

    def same(view: np.ndarray, expected: Image.Image) -> None:
        assert np.array_equal(view.transpose(1, 2, 0), np.asarray(expected))

    for name, amount in (
        ("brightness", 0.7),
        ("contrast", 1.3),
        ("saturation", 0.6),
        ("hue", 0.08),
        ("hue", -0.09),
    ):
        expected = getattr(functional, f"adjust_{name}")(image, amount)
        same(render(image, plain(jitter=((name, amount),)), 32), expected)
    same(render(image, plain(sigma=1.2), 32), functional.gaussian_blur(image, 3, 1.2))
    bicubic = functional.InterpolationMode.BICUBIC
    cropped = functional.resized_crop(image, 4, 2, 25, 28, [96, 96], bicubic)
    same(render(image, plain(box=(2, 4, 30, 29)), 96), cropped)


def test_hue_turns_the_colour_circle() -> None:
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    turned = render(red, plain(box=(0, 0, 4, 4), jitter=(("hue", 1 / 3),)), 4)
    assert turned[:, 0, 0].tolist() == pytest.approx([0, 255, 0], abs=6)
    still = render(red, plain(box=(0, 0, 4, 4), jitter=(("hue", 0.0),)), 4)
    assert still[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("sigma", [0.1, 0.8, 2.0])
def test_blur_by_hand(sigma: float) -> None:
    image = picture()
    weights = np.exp(-np.array([1, 0, 1]) / (2 * sigma**2))
    kernel = np.outer(weights, weights) / weights.sum() ** 2
    padded = np.pad(np.asarray(image).astype(float), ((1, 1), (1, 1), (0, 0)), mode="reflect")
    expected = np.zeros((32, 32, 3))
    for y, x in np.ndindex(3, 3):
        expected += kernel[y, x] * padded[y : y + 32, x : x + 32]
    got = render(image, plain(sigma=sigma), 32).transpose(1, 2, 0)
    assert np.abs(got - expected).max() <= 0.51


def test_clean_views() -> None:
    image = picture()
    assert np.array_equal(clean_view(image, 32).transpose(1, 2, 0), np.asarray(image))
    wide = Image.new("RGB", (64, 32), "red")
    wide.paste(image, (16, 0))
    assert np.array_equal(clean_view(wide, 32), clean_view(image, 32))
    assert np.array_equal(clean_view(wide.rotate(90, expand=True), 32)[0].shape, (32, 32))


def test_a_draw_is_pinned() -> None:
    # Cached features are found by seed and VERSION: when this draw changes, VERSION has to.
    draw = draw_view((32, 32), view_generator(0, 0, 0))
    assert (VERSION, draw.box, draw.flip, draw.grey) == (1, (1, 0, 28, 31), True, True)
