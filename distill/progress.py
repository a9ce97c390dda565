"""One progress bar for all slow work: rate and time left on a terminal, silence elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Advance = Callable[..., None]
"""advance(n, note=""): n more units are done; the note stands at the end of the line."""


class _Rate(ProgressColumn):
    """Units per second, over the recent past."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields["unit"]
        number = f"{speed:,.0f}" if speed else "-"
        return Text(f"{number} {unit}/s", style="progress.data.speed")


@contextmanager
def progress_bar(description: str, total: int, *, unit: str = "items") -> Iterator[Advance]:
    """Show a bar on stderr while the block runs; nothing at all when stderr is not a terminal.

    Args:
        description: what is being done.
        total: number of units.
        unit: plural name of a unit.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total, unit=unit, note="")

        def advance(n: int = 1, *, note: str | None = None) -> None:
            progress.update(task, advance=n)
            if note is not None:
                progress.update(task, note=note)

        yield advance
