"""Writes the figures of README.md and docs/ from bench/results, so that none is typed in.

python bench/readme.py           rewrite the blocks between the markers, and the figure
python bench/readme.py --check   exit 1 if a block differs from its result file

A block is `<!-- KIND FILE.json [SUITE] -->` to `<!-- end -->`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

if not __package__:  # run as a file: find the package, and let an installed `hamming` come first
    sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

from bench import (
    evaluation_page,
    gpu_page,
    index_page,
    recall_tables,
    report,
    retrieval_tables,
    scale_page,
    semisupervised_tables,
    targets,
    training,
)
from bench.distillation import tables as distillation
from bench.suites import SUITES
from hamming.io import write_whole

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
_DOCS = ("performance", "gpu", "methods", "brcd", "skdch", "soda", "protocols")
_DOCS += ("two-stage", "scale")
PAGES = (ROOT / "README.md", *(DOCS / f"{name}.md" for name in _DOCS))
FIGURE = ROOT / "docs" / "batch_size.png"
BLOCK = re.compile(r"<!-- (\w+) (\S+\.json)(?: (\w+))? -->\n.*?<!-- end -->", re.DOTALL)

# The rows of README: names of the suite topk.
SHORT = (
    *("64 bits, N=1e6, Q=1, k=10", "64 bits, N=1e7, Q=1, k=10", "256 bits, N=1e6, Q=1, k=10"),
    *(f"{n_bits} bits, N=1e6, Q=100, k=10" for n_bits in (32, 64, 128, 256, 512, 1024)),
    "64 bits, N=1e7, Q=100, k=10",
    "64 bits, N=1e6, Q=100, k=1000",
    "64 bits, N=1e6, Q=100, k=10, avx2",
)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Head and lines as a Markdown table."""
    head, *rest = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([head, "|---" * len(lines[0]) + "|", *rest])


def retrieval(record: dict, which: str | None = None) -> str:
    """The table of bench/retrieval.py, or of "worth" the one of its ablations, and the protocol."""
    if which == "worth":
        return markdown(retrieval_tables.worth_table(record))
    protocol = record["protocol"].split(";")[0]
    note = f"Mean ± standard deviation of {len(record['seeds'])} seeds. {protocol}."
    return f"{markdown(retrieval_tables.main_table(record))}\n\n{note}"


def semisupervised(record: dict, which: str | None = None) -> str:
    """Tables of bench/semisupervised.py; without a name MAP by code length, and the protocol."""
    which = which or "main"
    parts = [markdown(lines) for lines in semisupervised_tables.TABLES[which](record)]
    return "\n\n".join(filter(None, [*parts, semisupervised_tables.note(record, which)]))


def latency(record: dict, _: str | None = None) -> str:
    """README's short form of the suites topk and threads, and where they were measured."""
    head, *lines = report.summary(report.rows_of(record, "topk"))
    short = [head, *sorted((line for line in lines if line[0] in SHORT), key=_place)]
    return f"{markdown(short)}\n\n{where(record)}\n\n{_threads(record)}{_reached(record)}"


def _place(line: Sequence[str]) -> int:
    return SHORT.index(line[0])


def where(record: dict) -> str:
    """Machine, versions, threads, command, load, and how to read the tables."""
    machine, versions = record["machine"], record["machine"]["versions"]
    names = ("faiss-cpu", "usearch", "numpy", "torch")
    with_versions = ", ".join(f"{name} {versions[name]}" for name in names if versions.get(name))
    threads = f"{record['threads']} thread{'s' * (record['threads'] != 1)}"
    # Where the record went is no part of what was measured; other sizes want a file of their own.
    words = re.sub(r" --out \S+", "", " ".join(record["command"]))
    words += " --out FILE.json" * ("--seconds" in words)
    command = f"`python {words}`"
    return (
        f"{machine['cpu']}, {machine['logical_cpus']} CPUs of which others used "
        f"{record['other_processes_cpus']:.1f}, {threads}, commit {machine['git']['commit'][:7]}, "
        f"{with_versions}, `OMP_WAIT_POLICY={machine['environment'].get('OMP_WAIT_POLICY', '')}`; "
        f"{command}. One query: p50 / p90; batches: 1e9 code comparisons a second. The others: "
        "their least process CPU time over ours, on the same data in the same process. The ceiling "
        "is the lesser of what the machine compares in L1 (popcount) and what it reads of a buffer "
        f"of the database's size (memory; {record['ceilings']['read']['gb_per_s']:.0f} GB/s beyond "
        "the caches)."
    )


def _threads(record: dict) -> str:
    rows = [row for row in report.rows_of(record, "threads") if row["shape"]["n_queries"] > 1]
    parts = [
        f"{row['ratios']['hamming, 1 thread']['wall']:.1f}x our one thread and "
        f"{row['ratios']['faiss, 2 threads']['wall']:.1f}x faiss on two at {row['name']}"
        for row in rows
        if "faiss, 2 threads" in row["ratios"]
    ]
    return f"Two threads, by wall time: {'; '.join(parts)}. " if parts else ""


def _reached(record: dict) -> str:
    words = [_verdict(target, record) for target in targets.TARGETS]
    missed = sum(word.startswith("missed") for word in words)
    met = sum(word.startswith("met") for word in words)
    return (
        f"Of the {len(words)} targets set beforehand {met} are met and {missed} missed: "
        "[docs/performance.md](docs/performance.md) has all of them, and the other suites."
    )


def target_table(record: dict, _: str | None = None) -> str:
    """Each target of the design, the prototype's figure, ours, and why where it is missed."""
    lines = [("shape", "prototype", "to reach", "measured", "")]
    for target in targets.TARGETS:
        found = targets.figures(target, record["rows"])
        measured = ", ".join(figure.words for figure in found)
        lines.append(
            (target.name, target.prototype, target.words, measured, _verdict(target, record))
        )
    return f"{markdown(lines)}\n\n{where(record)}"


def _verdict(target: targets.Target, record: dict) -> str:
    found = targets.figures(target, record["rows"])
    if len(found) < len(target.shapes):
        return "not measured"
    verdicts = {figure.verdict for figure in found}
    if "missed" in verdicts:
        reason = targets.REASONS.get(target.name, "**the reason is not written yet**")
        missed = {figure.name for figure in found if figure.verdict == "missed"}
        rows = report.rows_of(record, "topk")
        shown = [targets.evidence(row) for row in rows if row["name"] in missed]
        return f"missed: {'; '.join([*shown, reason])}"
    return max(verdicts, key=len)  # "met within 10%" if any is


def suite(record: dict, name: str | None) -> str:
    """All rows of a suite, the configuration of its contenders, and where it was measured."""
    rows = report.rows_of(record, name or "topk")
    notes = "\n".join(f"- {line}" for line in report.contenders(rows))
    title = SUITES[rows[0]["suite"]].title
    return f"{title}.\n\n{markdown(report.summary(rows))}\n\n{notes}"


def ceilings(record: dict, _: str | None = None) -> str:
    """What the machine was measured to do at best."""
    found = record["ceilings"]
    lines = [("what", "at best")]
    lines += [
        (f"read of {report.size(int(n_bytes))}", f"{rate:.0f} GB/s")
        for n_bytes, rate in found["read_gb_per_s"].items()
    ]
    lines += [
        (
            f"xor, popcount, min and compare in L1, {name}",
            one.get("missing") or f"{one['gcmp_per_s']:.3g} Gcmp/s, {one['instructions']}",
        )
        for name, one in found["popcount"].items()
    ]
    return markdown(lines)


def batch_size(record: dict, _: str | None = None) -> str:
    """The figure, for README."""
    rows = report.rows_of(record, "batch_size")
    code = " and ".join(f"{n}" for n in sorted({row["shape"]["n_bits"] for row in rows}))
    return f"![Throughput against batch size at {code} bits](docs/{FIGURE.name})"


def gpu(record: dict, name: str | None) -> str:
    """A table of bench/gpu_page.py, and the card where it is known."""
    notes = {"targets": gpu_page.where, "peers": gpu_page.unanswered}
    note = notes.get(name or "targets", lambda _: "")(record)
    table = markdown(gpu_page.TABLES[name or "targets"](record))
    return f"{table}\n\n{note}" if note else table


def evaluation_table(record: dict, _: str | None = None) -> str:
    """The table of bench/evaluation.py, and where it was measured."""
    return f"{markdown(evaluation_page.table(record['rows']))}\n\n{evaluation_page.note(record)}"


def scale(record: dict, name: str | None) -> str:
    """A table of bench/scale_page.py, and where it was measured."""
    name = name or "measured"
    table = markdown(scale_page.TABLES[name](record))
    return f"{table}\n\n{scale_page.NOTES[name](record)}" if name in scale_page.NOTES else table


def recall(record: dict, name: str | None) -> str:
    """A table of bench/recall.py, and what it is of."""
    name = name or "times"
    return f"{markdown(recall_tables.TABLES[name](record))}\n\n{recall_tables.note(record, name)}"


def index(record: dict, which: str | None) -> str:
    """Tables of bench/index.py for a kind of ids; without one what they mean, and where."""
    if which is None:
        return "\n\n".join(filter(None, [index_page.note(record), index_page.sizes(record)]))
    parts = index_page.parts(record, which)
    tables = [f"{index_page.title(part)}:\n\n{markdown(index_page.table(part))}" for part in parts]
    return "\n\n".join(tables)


BLOCKS: dict[str, Callable[[dict, str | None], str]] = {
    "retrieval": retrieval,
    "semisupervised": semisupervised,
    "latency": latency,
    "targets": target_table,
    "suite": suite,
    "ceilings": ceilings,
    "where": lambda record, _: where(record),
    "figure": batch_size,
    "training": lambda record, _: training.sentence(record),
    "gpu": gpu,
    "scale": scale,
    "index": index,
    "evaluation": evaluation_table,
    "recall": recall,
    "brcd": lambda record, name: distillation.BLOCKS[name or "best"](record),
}


def rendered(text: str, page: str = "README.md") -> str:
    """A page with every block made anew."""

    def block(match: re.Match[str]) -> str:
        kind, name, of = match.groups()
        path = ROOT / "bench" / "results" / name
        if not path.is_file():
            sys.exit(f"{page}: expected {path}, got no such file; measure it, or drop the block")
        body = BLOCKS[kind](json.loads(path.read_text()), of)
        argument = f" {of}" if of else ""
        return f"<!-- {kind} {name}{argument} -->\n{body}\n<!-- end -->"

    return BLOCK.sub(block, text)


def main() -> None:
    """The command line."""
    check = "--check" in sys.argv[1:]
    for page in PAGES:
        old = page.read_text()
        new = rendered(old, page.name)
        if check and new != old:
            sys.exit(f"{page.name}: run python bench/readme.py")
        if new != old:
            write_whole(page, lambda temporary, text=new: temporary.write_text(text))
    if not check:
        figure = re.search(r"<!-- figure (\S+\.json) -->", PAGES[0].read_text())
        if figure:
            from bench.figure import save

            save(json.loads((ROOT / "bench" / "results" / figure[1]).read_text()), FIGURE)


if __name__ == "__main__":
    main()
