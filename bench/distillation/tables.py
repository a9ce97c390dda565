"""Tables of a record, as Markdown: what README and docs show of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.distillation.grid import METHODS
from bench.distillation.summary import SETTINGS, teacher_maps

Record = Mapping[str, Any]
Line = tuple[str, ...]
_TITLES = {"sym_query": "student / student", "asym_query": "student / teacher"}
_MARK = {True: "pass", False: "**fail**", None: "reported"}


def markdown(lines: Sequence[Line]) -> str:
    """Head and lines as a Markdown table."""
    head, *rest = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([head, "|---" * len(lines[0]) + "|", *rest])


def scores(record: Record, settings: Sequence[str] = SETTINGS) -> str:
    """MAP@1000 on the queries, mean and spread over seeds: a row per method, a pair per setting."""
    shown = [s for s in settings if any(key.startswith(f"{s}/") for key in record["cells"])]
    head = ["MAP@1000, queries / database"]
    head += [f"{_setting(s)}: {title}" for s in shown for title in _TITLES.values()]
    lines = [tuple(head)]
    for method in METHODS:
        cells = [_cells(record, setting, method) for setting in shown]
        if any(cells):
            row = [_spread([c[name] for c in group]) for group in cells for name in _TITLES]
            lines.append((method, *row))
    teachers = [_spread(teacher_maps(record["teachers"], setting)) for setting in shown]
    lines.append(("teacher for both sides", *(x for t in teachers for x in (t, ""))))
    return f"{markdown(lines)}\n\n{protocol(record)}"


def best(record: Record) -> str:
    """The few rows that README shows: both students at 64 bits, by the tuned member of a family."""
    rows = [
        ("student alone, same head", "alone"),
        ("pointwise cosine, tuned", "pointwise"),
        ("bitwise cross-entropy, tuned", "bce"),
        ("BRCD as intended", "brcd intended"),
        ("our variant (preset brcd-unmasked)", "ours, alpha 0.5"),
    ]
    settings = [s for s in ("S64/64/linear", "S32/64/linear", "S64/16/linear") if _has(record, s)]
    lines = [("MAP@1000", *(f"{_setting(s)}: {t}" for s in settings for t in _TITLES.values()))]
    for title, method in rows:
        row = []
        for setting in settings:
            chosen = record["tuned"].get(setting, {}).get(method, method)
            group = _cells(record, setting, chosen)
            row += [_spread([c[name] for c in group]) for name in _TITLES]
        lines.append((title, *row))
    teachers = [_spread(teacher_maps(record["teachers"], s)) for s in settings]
    lines.append(("teacher for both sides", *(x for t in teachers for x in (t, ""))))
    return f"{markdown(lines)}\n\n{protocol(record)}"


def differences(record: Record) -> str:
    """Paired differences with their bootstrap intervals."""
    lines: list[Line] = [("setting", "difference", "seeds", *_TITLES.values())]
    for found in record.get("comparisons", []):
        cells = [_interval(found[p]) for p in ("sym", "asym")]
        names = f"{found['a']} - {found['b']}"
        lines.append((_setting(found["setting"]), names, str(len(found["seeds"])), *cells))
    return markdown(lines)


def verdicts(record: Record, name: str) -> str:
    """Bars with what was found; `name` is must_pass or ambitious."""
    lines: list[Line] = [("bar", "found", "")]
    lines += [(bar["name"], bar["found"], _MARK[bar["passed"]]) for bar in record.get(name, [])]
    return markdown(lines)


def teachers(record: Record) -> str:
    """What the teachers are like."""
    lines: list[Line] = [
        (
            "teacher / bits / seed",
            "MAP@1000",
            "stopped after epoch",
            "k-means purity",
            "mask density",
            "views that leave their cluster",
        )
    ]
    for key, one in sorted(record["teachers"].items(), key=_in_order):
        shares = [f"{one[name]:.3f}" for name in ("purity", "mask_share", "views_that_leave")]
        last = max(map(int, one["validation_curve"]))
        lines.append((key, f"{one['query']:.4f}", str(last), *shares))
    return markdown(lines)


def speed(record: Record) -> str:
    """Latency and size, and the share of the teacher's MAP that the best student keeps."""
    found = record.get("latency", [])
    base = {one["batch"]: one for one in found if one["tower"] == "T96"}
    lines: list[Line] = [
        ("encoder", "batch", "median", "images/s", "speed-up", "parameters", "MAP kept")
    ]
    for one in found:
        ratio = base[one["batch"]]["median_ms"] / one["median_ms"]
        towers = record.get("settings", {}).get("towers", {})
        name = "{} at {} px".format(*towers.get(one["tower"], (one["tower"], "?")))
        lines.append(
            (
                name,
                str(one["batch"]),
                f"{one['median_ms']:.1f} ms",
                f"{one['images_per_s']:.0f}",
                f"{ratio:.1f}x",
                f"{one['parameters'] / 1e6:.2f} M",
                _kept(record, one["tower"]),
            )
        )
    return markdown(lines)


def share(record: Record) -> str:
    """What students keep that learn from the whole database, and at what speed."""
    found = record.get("share")
    if not found:
        return ""
    towers = record["settings"]["towers"]
    student = "{} at {} px".format(*towers[found["student"]])
    lines: list[Line] = [("student's loss", "symmetric", "asymmetric", "")]
    for name in dict.fromkeys(key.rsplit("/", 1)[0] for key in found["cells"]):
        kept = _shares(found, name)
        chosen = "chosen on validation queries" if name == found["chosen"] else ""
        lines.append((name, f"{kept['sym']:.1%}", f"{kept['asym']:.1%}", chosen))
    faster = [
        f"{one['images_per_s'] / base['images_per_s']:.1f}x at batch {one['batch']}"
        for one in record.get("latency", [])
        for base in record["latency"]
        if one["tower"] == found["student"]
        and base["tower"] == "T96"
        and base["batch"] == one["batch"]
    ]
    speed_up = f" It encodes {' and '.join(faster)} as fast as the teacher." if faster else ""
    return (
        f"{markdown(lines)}\n\nShare of the teacher's symmetric MAP@1000, {found['bits']} bits, "
        f"mean of {len(found['teachers'])} seeds, test queries; {student}, {found['head']}, "
        f"learned from {found['views']} views and the clean picture of all {found['images']:,} "
        "images of the database, without labels."
        f"{speed_up}"
    )


def synthetic(record: Record) -> str:
    """The behavioural tests on drawn features."""
    lines: list[Line] = [("test", "found", "")]
    for one in record.get("synthetic", []):
        lines.append((one["name"], one["found"], _MARK[one["passed"]]))
    return markdown(lines)


BLOCKS: dict[str, Callable[[Record], str]] = {
    "scores": lambda record: scores(record, SETTINGS[:3]),
    "others": lambda record: scores(record, SETTINGS[3:]),
    "best": best,
    "differences": differences,
    "must_pass": lambda record: verdicts(record, "must_pass"),
    "ambitious": lambda record: verdicts(record, "ambitious"),
    "teachers": teachers,
    "speed": speed,
    "share": share,
    "synthetic": synthetic,
}
"""What a page may show, by name."""


def everything(record: Record) -> str:
    """All tables that the record has the numbers for."""
    parts = []
    if record.get("cells"):
        parts += [scores(record), teachers(record), differences(record)]
        parts += [verdicts(record, "must_pass"), verdicts(record, "ambitious")]
    if record.get("latency"):
        parts.append(speed(record))
    if record.get("share"):
        parts.append(share(record))
    if record.get("synthetic"):
        parts.append(synthetic(record))
    return "\n\n".join(parts)


def protocol(record: Record) -> str:
    """One sentence on what the numbers hold for."""
    settings = record["settings"]
    towers = {name: f"{model} at {size} px" for name, (model, size) in settings["towers"].items()}
    return (
        f"{record['protocol']} Teacher: {towers['T96']}; students: S64 = {towers['S64']}, S32 = "
        f"{towers['S32']}; all frozen with ImageNet weights, one hash head trained on "
        f"{settings['views']} cached views; {settings['student']['epochs']} epochs. Mean ± "
        "standard deviation over seeds (number in brackets). MAP@1000 averages over the relevant "
        "items among the first 1,000, ties in database order. Comparable with no published table."
    )


def _shares(found: Record, name: str) -> dict[str, float]:
    """Mean share of the teacher's symmetric MAP on the test queries, by paradigm."""
    return {
        paradigm: statistics.mean(
            found["cells"][f"{name}/{seed}"][paradigm]["query"] / teacher["query"]
            for seed, teacher in found["teachers"].items()
        )
        for paradigm in ("sym", "asym")
    }


def _cells(record: Record, setting: str, method: str) -> list[Mapping[str, float]]:
    cells = record["cells"].items()
    return [cell for key, cell in cells if key.rsplit("/", 1)[0] == f"{setting}/{method}"]


def _has(record: Record, setting: str) -> bool:
    return any(key.startswith(f"{setting}/") for key in record["cells"])


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread} ({len(values)})"


def _in_order(item: tuple[str, Any]) -> tuple[str, int, int]:
    kind, bits, seed = item[0].split("/")
    return kind, int(bits), int(seed)


def _interval(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['mean']:+.4f} [{low:+.4f}, {high:+.4f}]"


def _setting(name: str) -> str:
    student, bits, head = name.split("/")
    tower, _, teacher = student.partition(" ")
    others = {"": "", "labelled": ", teacher with labels", "bihalf": ", Bi-half teacher"}
    return f"{tower}, {bits} bits{', MLP' if head == 'mlp' else ''}{others[teacher]}"


def _kept(record: Record, tower: str) -> str:
    """Share of the teacher's symmetric MAP at 64 bits, of the variant chosen by validation."""
    setting = f"{tower}/64/linear"
    chosen = record.get("tuned", {}).get(setting, {}).get("brcd")
    group = _cells(record, setting, chosen) if chosen else []
    teachers = teacher_maps(record["teachers"], setting)
    if not group or not teachers:
        return ""
    whole = statistics.mean(teachers)
    shares = [statistics.mean([c[name] for c in group]) / whole for name in _TITLES]
    return f"{shares[0]:.0%} symmetric, {shares[1]:.0%} asymmetric ({chosen})"
