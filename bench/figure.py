"""The figure of README: throughput against batch size, with the machine's ceilings drawn in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hamming.io import write_whole

# Colours of Okabe and Ito, which stay apart for most eyes; ours is black and thick.
_STYLES: dict[str, dict[str, Any]] = {
    "hamming": {"color": "#000000", "marker": "o", "linewidth": 2.4, "zorder": 5},
    "faiss": {"color": "#0072b2", "marker": "s"},
    "faiss counting": {"color": "#56b4e9", "marker": "D"},
    "numpy": {"color": "#e69f00", "marker": "^"},
    "usearch": {"color": "#cc79a7", "marker": "v"},
    "torch": {"color": "#d55e00", "marker": "P"},
}
_CEILING = {"color": "#666666", "linewidth": 1.2, "zorder": 1}


def save(record: dict, path: Path) -> None:
    """Draws the rows of the suite `batch_size`, a panel a code length; the suffix is the format."""
    import matplotlib
    from matplotlib.figure import Figure

    rows = [row for row in record["rows"] if row["suite"] == "batch_size"]
    widths = sorted({row["shape"]["n_bits"] for row in rows})
    figure = Figure(figsize=(5.2 * len(widths) + 0.6, 4.8), layout="constrained", dpi=150)
    panels = figure.subplots(1, len(widths), sharey=True, squeeze=False)[0]
    for panel, n_bits in zip(panels, widths, strict=True):
        _panel(panel, record, [row for row in rows if row["shape"]["n_bits"] == n_bits])
    panels[0].set_ylabel("1e9 code comparisons a second")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    threads = f"{record['threads']} thread{'s' * (record['threads'] != 1)}"
    figure.suptitle(f"Exact top-10, {threads}, {record['machine']['cpu']}", fontsize=10)
    # No date, version or random names inside: the same results make the same file.
    with matplotlib.rc_context({"svg.hashsalt": path.suffix}):
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        form = path.suffix.removeprefix(".")
        write_whole(path, lambda part: figure.savefig(part, format=form, metadata=metadata))


def _panel(panel: Any, record: dict, rows: list[dict]) -> None:
    shape = rows[0]["shape"]
    batches = [row["shape"]["n_queries"] for row in rows]
    for name in rows[0]["contenders"]:
        points = [
            (row["shape"]["n_queries"], row["contenders"][name]["rate"])
            for row in rows
            if "rate" in row["contenders"][name]
        ]
        if points:
            panel.plot(*zip(*points, strict=True), label=name, **_styled(name))
    _ceilings(panel, record, rows[0], max(batches))
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter("{x:g}")
    panel.set_xticks(batches, [str(n) for n in batches])
    panel.set_title(f"{shape['n_bits']} bits, {shape['n_codes']:,} codes", fontsize=10)
    panel.set_xlabel("queries a call")
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)


def _styled(name: str) -> dict[str, Any]:
    return {"linewidth": 1.3, "markersize": 4.5, **_STYLES.get(name, {})}


def _ceilings(panel: Any, record: dict, row: dict, most: int) -> None:
    """A level line for comparing in L1, and a rising one for reading the database once a batch."""
    n_bits, n_bytes = row["shape"]["n_bits"], row["shape"]["n_bits"] // 8
    db_bytes = row["shape"]["n_codes"] * n_bytes
    ceilings = record["ceilings"]
    compare = ceilings["popcount"].get(f"{row['backend']}, {n_bits} bits", {}).get("gcmp_per_s")
    read = ceilings["read_gb_per_s"].get(str(min(db_bytes, ceilings["read"]["array_bytes"])))
    top = compare or max(c["rate"] for c in row["contenders"].values() if "rate" in c) * 100
    if compare:
        panel.axhline(compare, linestyle="--", **_CEILING)
        _label(panel, f"popcount in L1: {compare:.1f}", (most, compare), "right")
    if read:
        end = min(most, top * n_bytes / read)  # where the two cross
        start = 0.5**0.5  # left of one query, so that the line is seen where it crosses at once
        if end <= start:
            return
        panel.plot(
            [start, end], [start * read / n_bytes, end * read / n_bytes], linestyle=":", **_CEILING
        )
        _label(panel, f"memory: {read:.0f} GB/s", (end, end * read / n_bytes), "center")


def _label(panel: Any, text: str, at: tuple[float, float], side: str) -> None:
    """Over the point, where no contender can be."""
    style = {"ha": side, "fontsize": 8, "color": _CEILING["color"]}
    panel.annotate(text, at, xytext=(0, 3), textcoords="offset points", **style)
