"""The tables of bench/semisupervised.py on made-up records, and as blocks of a page."""

from collections.abc import Mapping
from typing import Any

import pytest

from bench import readme, semisupervised
from bench import semisupervised_tables as tables

TWO = ("image_to_text", "text_to_image", "image_to_image", "text_to_text")
THREE = ("image_to_text", "image_to_other", "other_to_image", "other_to_other", "text_to_image")
SEEDS = (0, 1, 2)


def run(row: str, labelled: float, bits: int, seed: int, maps: Mapping[str, float]) -> dict:
    quality = {"items": 1000, "precision": 0.5, "recall": 0.25 + seed / 10}
    pseudo = {"pseudo": {**quality, "given": 1.5, "true": 2.5}} if row == tables.SKDCH else {}
    about = {"row": row, "labelled": labelled, "bits": bits, "seed": seed}
    about["chance"] = {name: 0.2 if "other" in name else 0.1 for name in maps}
    spent = {"seconds": 3.0 + seed, "epochs": {"a": 10, "b": 20 + seed}}
    return {**about, "map": dict(maps), **spent, **pseudo}


def record(bits: tuple[int, ...] = (16, 64), directions: tuple[str, ...] = TWO) -> dict[str, Any]:
    """SKDCH is .2 above its student alone, give or take; DCMH knows two modalities."""
    results = []
    for length in bits:
        for seed in SEEDS:
            off = (seed - 1) / 100
            for row, share, value in (
                (tables.SKDCH, 0.1, 0.5 + off),
                (tables.SKDCH, 0.25, 0.6),
                (tables.ALONE, 0.1, 0.3),
                (tables.ALONE, 0.25, 0.6 + off),
                (tables.UPPER, 1.0, 0.7),
                (tables.DCMH, 0.25, 0.4),
            ):
                names = TWO if row == tables.DCMH else directions
                maps = {d: value + length / 1000 * (d == "image_to_text") for d in names}
                results.append(run(row, share, length, seed, maps))
    shares = [{"labelled": s, "train": n} for s, n in ((0.1, 134), (0.25, 336), (1.0, 1345))]
    return {
        "bits": list(bits),
        "seeds": list(SEEDS),
        "jobs": 2,
        "protocol": "made up, 7 items: 2 queries; text and labels",
        "hidden": 512,
        "batch_size": 128,
        "shares": shares,
        "facts": {"cpu": "a CPU"},
        "results": results,
    }


def test_the_main_table_is_by_code_length_and_share() -> None:
    short, long = tables.main_tables(record())
    assert short[0] == ("16 bits, MAP", "labelled", "image → text", "text → image")
    assert short[1] == ("chance", "", "0.100", "0.100")
    assert [line[:2] for line in short[2:]] == [
        (tables.SKDCH, "10 %"),
        (tables.ALONE, "10 %"),
        (tables.SKDCH, "25 %"),
        (tables.ALONE, "25 %"),
        (tables.DCMH, "25 %"),
        (tables.UPPER, "100 %"),
    ]
    assert short[2][2:] == ("0.516±0.010", "0.500±0.010")
    assert long[2][2:] == ("0.564±0.010", "0.500±0.010")


def test_a_method_of_two_modalities_leaves_the_others_blank() -> None:
    (table,) = tables.main_tables(record((16,), THREE))
    assert len(table[0]) == 2 + 4
    dcmh = next(line for line in table if line[0] == tables.DCMH)
    blank = [head for head, cell in zip(table[0], dcmh, strict=True) if not cell]
    assert blank == ["image → other", "other → image"]
    # Where items lack a modality, chance is not that of all items.
    assert table[1] == ("chance", "", "0.100", "0.200", "0.200", "0.100")


def test_the_short_table_is_of_what_all_rows_can() -> None:
    (table,) = tables.short_tables(record((16, 64), THREE))
    assert table[0] == ("64 bits, MAP", "10 %", "25 %", "100 %")
    assert table[1] == (tables.SKDCH, "0.532±0.010", "0.632±0.000", "")
    assert table[3] == (tables.UPPER, "", "", "0.732±0.000")


def test_parts_of_the_database_stand_beside_each_other() -> None:
    made = record((16, 64))
    for one in made["results"]:
        if one["row"] in (tables.SKDCH, tables.ALONE) and one["labelled"] == 0.1:
            parts = {"labelled": 0.0, "hidden": 0.1, "unseen": 0.2}
            one["parts"] = {p: {d: m + x for d, m in one["map"].items()} for p, x in parts.items()}
    (table,) = tables.parts_tables(made)
    head, *lines = table
    assert head == ("64 bits, MAP", "labelled", "database", "image → text", "text → image")
    assert [line[:3] for line in lines] == [
        (row, "10 %", part)
        for part in ("labelled", "hidden", "unseen")
        for row in (tables.SKDCH, tables.ALONE)
    ]
    assert lines[2][3:] == ("0.664±0.010", "0.600±0.010")
    assert lines[5][3:] == ("0.564±0.000", "0.500±0.000")


def test_differences_are_judged_seed_by_seed_at_the_same_share() -> None:
    (table,) = tables.worth_tables(record())
    assert table[0][2:4] == ("16 bits", "64 bits")
    lines = {line[:2]: line[2:] for line in table[1:]}
    unlabelled = tables.QUESTIONS[0].words
    # Student's t with two degrees of freedom: 4.303 * 0.01 / sqrt(3).
    earned = ("+0.200±0.010", "+0.200±0.010", "+0.200 ± 0.025", "better")
    assert lines[unlabelled, "10 %"] == earned
    assert lines[unlabelled, "25 %"][-1] == "no difference"
    missing = next(words for words, _ in lines if words.startswith("what is missing"))
    assert lines[missing, "25 %"][-2:] == ("-0.100 ± 0.000", "worse")
    assert lines["SKDCH - DCMH", "25 %"][-1] == "better"
    # Of DCMH there is no run with a tenth of the labels, of SODA none at all.
    assert ("SKDCH - DCMH", "10 %") not in lines
    assert not any("SODA" in words for words, _ in lines)


def test_differences_from_a_method_of_two_modalities_are_of_those() -> None:
    three = record((16,), THREE)
    for one in three["results"]:
        if "other_to_image" in one["map"]:
            one["map"]["other_to_image"] = 0.0
    (table,) = tables.worth_tables(three)
    assert next(line[2] for line in table if line[0] == "SKDCH - DCMH") == "+0.200±0.000"


def test_pseudo_labels_and_epochs() -> None:
    (pseudo,) = tables.pseudo_tables(record())
    assert pseudo[1] == ("10 %", "16", "1,000", "0.500±0.000", "0.350±0.100", "1.50", "2.50")
    assert [line[:2] for line in pseudo[2:]] == [("10 %", "64"), ("25 %", "16"), ("25 %", "64")]
    (epochs,) = tables.epochs_tables(record())
    assert epochs[0] == ("epochs", "10 %", "25 %", "100 %")
    assert epochs[1] == (tables.SKDCH, "31", "31", "")


def test_every_question_is_about_rows_that_are_trained() -> None:
    shares = {row.name: row.shares for row in semisupervised.ROWS}
    for question in tables.QUESTIONS:
        other = set(shares[question.other])
        here = {question.other_share or share for share in shares[question.row]}
        assert other & here, question.words


@pytest.mark.parametrize("which", [None, *tables.TABLES])
def test_the_blocks_of_a_page(which: str | None) -> None:
    made = readme.BLOCKS["semisupervised"](record(), which)
    assert made.startswith("| ")
    if which in (None, "main", "short"):
        assert "134, 336, 1,345 of them" in made
        assert "of 3 seeds of one split. made up, 7 items: 2 queries." in made
    if which == "short":
        assert "Mean of image → text and text → image, by share" in made
    n_tables = sum(line.startswith("|---") for line in made.splitlines())
    assert n_tables == (2 if which in (None, "main") else 1)
