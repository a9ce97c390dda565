"""The report's curves as inline SVG whose colours follow the page, light or dark."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# matplotlib knows no CSS variables: these stand-ins are replaced in the SVG it writes.
_INK, _GRID = "#010203", "#040506"
_SERIES = ("#3a7fc8", "#d5762a", "#2a9a76", "#b4559f", "#8a70d6", "#a08a1f", "#d0524f", "#5f8fa0")
_DASHES = ("-", "--", "-.", (0, (1.5, 1.5)))
_CROWDED = 12
"""Points of a curve from which they are drawn small."""
_BROAD = 28
"""Characters of a name of which three stand in a line."""
_NARROW = 3
"""Characters of a name of which six do."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.7,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}

Curve = tuple[Sequence[float], Sequence[float]]
"""Values along x, values along y."""


def loss_curves(name: str, curves: Mapping[str, Curve]) -> Markup:
    """Draw loss terms over epochs, on a logarithmic scale where every value is positive."""
    logarithmic = all(y > 0 for _, ys in curves.values() for y in ys)
    figure, axes = _drawn(curves)
    axes.set(xlabel="epoch", ylabel="mean over the epoch")
    axes.xaxis.set_major_locator(_whole_numbers())
    if logarithmic:
        axes.set(yscale="log", ylabel="mean over the epoch, logarithmic")
        axes.yaxis.set_major_formatter("{x:g}")
    return _inline_svg(figure, f"{name}: loss terms over epochs")


def validation_curves(name: str, curves: Mapping[str, Curve]) -> Markup:
    """Draw validation MAP over epochs."""
    figure, axes = _drawn(curves, marker="o")
    axes.set(xlabel="epoch", ylabel="validation MAP")
    axes.xaxis.set_major_locator(_whole_numbers())
    return _inline_svg(figure, f"{name}: MAP on the validation slice over epochs")


def precision_recall_curves(
    curves: Mapping[str, Curve], *, chance: float | None, of: str | None = None
) -> Markup:
    """Draw precision over recall; `chance` is a flat line, `of` names what all curves share."""
    figure, axes = _drawn(curves, marker=".", chance=chance)
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return _inline_svg(figure, _titled("precision over recall, by Hamming radius", of))


def precision_at_curves(
    curves: Mapping[str, Curve],
    *,
    chance: float | None,
    of: str | None = None,
    linear: bool = False,
) -> Markup:
    """Draw precision over the number of ranks n, on a logarithmic scale of n unless `linear`."""
    crowded = any(len(xs) > _CROWDED for xs, _ in curves.values())
    figure, axes = _drawn(curves, marker="." if crowded else "o", chance=chance)
    axes.set(ylabel="precision", ylim=(-0.02, 1.02))
    if linear:
        axes.set(xlabel="first N")
    else:
        axes.set(xlabel="first n, logarithmic", xscale="log")
        axes.xaxis.set_major_formatter("{x:g}")
    return _inline_svg(figure, _titled("precision over the number of ranks looked at", of))


def numbers_of_clusters(curves: Mapping[str, Curve]) -> Markup:
    """Draw measures of a clustering over the number of clusters."""
    figure, axes = _drawn(curves, marker="o")
    axes.set(xlabel="number of clusters")
    axes.xaxis.set_major_locator(_whole_numbers())
    return _inline_svg(figure, "inertia and silhouette over the number of clusters")


def sorted_bars(title: str, ylabel: str, values: Mapping[str, Sequence[float]]) -> Markup:
    """Draw one value per bit, in descending order for each name."""
    curves = {
        name: (range(1, len(each) + 1), sorted(each, reverse=True)) for name, each in values.items()
    }
    figure, axes = _drawn(curves)
    axes.set(xlabel="bits, in descending order", ylabel=ylabel, ylim=(-0.02, 1.02))
    return _inline_svg(figure, title)


def heat_map(title: str, values: Any, *, xlabel: str, ylabel: str) -> Markup:
    """Draw a matrix of values in [0, 1], light for 0."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 3.5), layout="constrained")
        axes = figure.subplots()
        axes.grid(visible=False)
        shown = axes.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.xaxis.set_major_locator(_whole_numbers())
        axes.yaxis.set_major_locator(_whole_numbers())
        figure.colorbar(shown, ax=axes)
    return _inline_svg(figure, title)


def _drawn(
    curves: Mapping[str, Curve], *, marker: str | None = None, chance: float | None = None
) -> tuple[Figure, Axes]:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 3.5), layout="constrained")
        axes = figure.subplots()
        for i, (name, (xs, ys)) in enumerate(curves.items()):
            mark = marker or ("o" if len(xs) == 1 else None)  # a line of one point is none
            # Dashes tell curves apart that lie close, also without colour.
            turn, place = divmod(i, len(_SERIES))
            colour, dashes = _SERIES[place], _DASHES[(place + turn) % len(_DASHES)]
            axes.plot(xs, ys, label=name, color=colour, linestyle=dashes, marker=mark, ms=4)
        if chance is not None:
            axes.axhline(chance, color=_INK, linewidth=1, linestyle=(0, (4, 3)), label="chance")
        longest = max(map(len, curves), default=0)
        columns = 6 if longest <= _NARROW else 3 if longest <= _BROAD else 1
        legend = figure.legend(loc="outside lower center", ncols=columns)
        for text in legend.get_texts():
            text.set_parse_math(False)  # a $ is a $
    return figure, axes


def _titled(title: str, of: str | None) -> str:
    return f"{title}: {of}" if of else title


def _whole_numbers() -> MaxNLocator:
    return MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10])


def _inline_svg(figure: Figure, title: str) -> Markup:
    """Return the figure as an `<svg>` element that scales and can be read aloud.

    Only clip paths and markers keep their ids, which differ between figures by the hash salt.
    """
    file = io.StringIO()
    metadata: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": title}):
        figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' id="[^"]*_[0-9]+"', "", svg)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r" font-family: [^;]*;", "", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg)
    svg = svg.replace(_INK, "var(--ink)").replace(_GRID, "var(--line)")
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1))
