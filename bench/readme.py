"""Writes the figures of README.md from bench/results, so that none is typed in.

python bench/readme.py           rewrite the blocks between the markers
python bench/readme.py --check   exit 1 if a block differs from its result file
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

if not __package__:  # run as a file: find the package, and let an installed `hamming` come first
    sys.path[:] = [*sys.path[1:], str(Path(__file__).resolve().parent.parent)]

from bench import report
from bench.retrieval import table_of

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"<!-- (\w+) (\S+\.json) -->\n.*?<!-- end -->", re.DOTALL)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Head and lines as a Markdown table."""
    head, *rest = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([head, "|---" * len(lines[0]) + "|", *rest])


def retrieval(path: Path) -> str:
    """The table of bench/retrieval.py and its protocol."""
    data = json.loads(path.read_text())
    protocol = data["results"][0]["protocol"].split(";")[0]
    note = f"Mean ± standard deviation of {len(data['seeds'])} seeds. {protocol}."
    return f"{markdown(table_of(data['results']))}\n\n{note}"


def latency(path: Path) -> str:
    """The shapes of bench/latency.py, and where they were measured."""
    record = json.loads(path.read_text())
    machine, versions = record["machine"], record["machine"]["versions"]
    where = f"{machine['cpu']}, {record['threads']} thread, commit {machine['git']['commit'][:7]}"
    note = (
        f"{where}, faiss-cpu {versions['faiss-cpu']}, NumPy {versions['numpy']}. Single queries: "
        "p50 / p90; batches: 1e9 code comparisons a second; the others: their minimum process CPU "
        "time over ours, on the same data in the same process."
    )
    return f"{markdown(report.summary(record))}\n\n{note}"


BLOCKS: dict[str, Callable[[Path], str]] = {"retrieval": retrieval, "latency": latency}


def rendered(text: str) -> str:
    """README with every block made anew."""

    def block(match: re.Match[str]) -> str:
        kind, name = match.groups()
        path = ROOT / "bench" / "results" / name
        if not path.is_file():
            sys.exit(f"README.md: expected {path}, got no such file; measure it, or drop the block")
        body = BLOCKS[kind](path)
        return f"<!-- {kind} {name} -->\n{body}\n<!-- end -->"

    return BLOCK.sub(block, text)


def main() -> None:
    """The command line."""
    old = README.read_text()
    new = rendered(old)
    if "--check" in sys.argv[1:]:
        sys.exit("README.md: run python bench/readme.py" if new != old else 0)
    README.write_text(new)


if __name__ == "__main__":
    main()
