"""docs/protocols.md says what the code does."""

import re
from pathlib import Path

import pytest

from distill.data.protocols import PROTOCOLS, PublishedSplit
from distill.data.registry import NAMES
from distill.metrics.scores import TOPN_DEPTHS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "protocols.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip("`"): cells[1:]
    for line in PAGE.splitlines()
    if line.startswith("| `") and not line.startswith("| `--")
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
}


@pytest.mark.parametrize("split", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_every_protocol_stands_with_its_sizes(split: PublishedSplit) -> None:
    dataset, pairs, sizes, order, _ = ROWS[split.name]
    assert dataset == split.dataset
    assert pairs.startswith(f"{split.n_pairs:,}, ")
    rest = split.n_pairs - split.n_query
    assert sizes == f"{split.n_query:,} / {split.n_train:,} / {rest:,}"
    assert order == ("as in the file" if split.order == "file" else f"seed {split.seed}")


def test_no_protocol_or_layout_is_made_up() -> None:
    layouts = {name for name, cells in ROWS.items() if cells[0].startswith("`--")}
    assert layouts == {"dcmh", "mat", "coco", "nuswide", "features", "wikipedia", "manifest"}
    assert layouts <= set(NAMES)
    assert set(ROWS) - layouts == set(PROTOCOLS)


def test_the_depths_of_topn_precision() -> None:
    steps = f"{TOPN_DEPTHS[0]}, {TOPN_DEPTHS[1]}, ..., {TOPN_DEPTHS[-1]:,}"
    assert re.search(rf"\b{steps}", PAGE)
