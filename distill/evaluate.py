"""`python -m distill.evaluate RUN`: score a run's codes in every direction under its protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import rich.box
import rich.table
import tyro
from rich.console import Console
from rich.markup import escape

from distill import image_encoder, image_runs
from distill.checkpoint import Run, load_run, save_metrics
from distill.command import one_sentence
from distill.config import DataConfig
from distill.data import ImageTextDataset
from distill.evaluation import Evaluation
from distill.inputs import load_dataset
from distill.metrics.scores import Table
from distill.report import Entry, check_out, write_comparison, write_report
from distill.report.compared import overview
from distill.report.comparison import SPREAD
from distill.report.groups import check_distinct, grouped
from distill.run_evaluation import evaluate_run
from distill.types import DistillError

_NAME_WIDTH = 15
"""Characters that the first column keeps on a narrow terminal."""


@dataclass(frozen=True)
class Evaluate:
    """Score trained runs: MAP with both cut-offs, precision, lookup, chance, in every direction.

    Writes metrics.json into each run folder. Several runs also give mean and spread over seeds.
    """

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN ...")]
    """Run folders, as written by python -m distill.train."""
    report: tyro.conf.FlagCreatePairsOff[bool] = False
    """Also write report.html into each run folder."""
    compare: Annotated[Path | None, tyro.conf.arg(metavar="OUT")] = None
    """Also write the runs beside each other, to OUT.html or to the tables OUT.md. Runs that differ
    only in their seeds are one row; differences are from the first run's row."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    with one_sentence():
        _evaluate_all(tyro.cli(Evaluate, args=arguments, prog="python -m distill.evaluate"))


def _evaluate_all(options: Evaluate) -> None:
    if not options.runs:
        raise DistillError("runs: expected at least one run folder, got none; name one")
    if options.compare:
        check_out(options.compare)
    console = Console(emoji=False)
    entries = []
    for run, dataset in _opened(options.runs):
        evaluation = _evaluated(run, dataset)
        entries.append(Entry(run, dataset, evaluation))
        console.print(f"[bold]{escape(str(run.path))}[/bold]", escape(evaluation.statement))
        if evaluation.directions:
            _print(console, evaluation.table())
        save_metrics(run, evaluation.to_json())  # after the scores: a folder may be read-only
        if options.report:
            page = write_report(run.path, run.path / "report.html")
            console.print(escape(str(page)), soft_wrap=True)
    if len(entries) > 1:
        console.print(f"[bold]MAP over the whole ranking[/bold]. {escape(SPREAD)}")
        _print(console, overview(grouped(entries)))
    if options.compare:
        page = write_comparison(entries, options.compare)
        console.print(escape(str(page)), soft_wrap=True)


def _opened(paths: Sequence[Path]) -> list[tuple[Run, ImageTextDataset]]:
    """Open every run with its dataset, so that a wrong one is told before anything is written.

    Runs on the same data share one dataset.
    """
    datasets: dict[DataConfig, ImageTextDataset] = {}
    opened = []
    runs = [load_run(path) for path in paths]
    check_distinct(runs)
    for run in runs:
        if run.config.data not in datasets:
            datasets[run.config.data] = load_dataset(run.config)
        dataset = datasets[run.config.data]
        run.check_dataset(dataset)
        for modality in _modalities(run):
            run.codes(modality)
        opened.append((run, dataset))
    return opened


def _evaluated(run: Run, dataset: ImageTextDataset) -> Evaluation:
    """The scores of a run's codes."""
    codes = {name: run.codes(name) for name in _modalities(run)}
    images_alone = run.config.method in image_encoder.METHODS
    score = image_runs.evaluate_image_run if images_alone else evaluate_run
    return score(run, dataset, codes)


def _modalities(run: Run) -> tuple[str, ...]:
    """Whose codes a run has."""
    if run.config.method in image_encoder.METHODS:
        return image_encoder.models_of(run.config)
    return run.modalities


def _print(console: Console, table: Table) -> None:
    shown = rich.table.Table(box=rich.box.HORIZONTALS, padding=(0, 1, 0, 0), pad_edge=False)
    rows = [[cell.replace(" ± ", "±") for cell in row] for row in table.rows]
    for i, column in enumerate(table.columns):
        # On a narrow terminal heads and names take lines; figures are neither cut nor folded.
        widest = max((len(row[i]) for row in rows), default=0)
        shown.add_column(
            column,
            justify="right" if i else "left",
            overflow="fold",
            min_width=widest if i else min(widest, _NAME_WIDTH),
        )
    for row in rows:
        shown.add_row(*map(escape, row))
    # What does not fit goes on in the next line of the terminal rather than being lost.
    least = console.measure(shown).minimum
    console.print(shown, width=max(console.width, least), crop=False)


if __name__ == "__main__":
    main()
