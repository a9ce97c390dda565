import io

import pytest
from rich.console import Console

from distill import progress


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_shows_rate_and_time_left_on_a_terminal_only(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()

    def console(*, stderr: bool) -> Console:
        assert stderr
        return Console(file=out, force_terminal=terminal, width=120)

    monkeypatch.setattr(progress, "Console", console)
    with progress.progress_bar("image features", 10, unit="images") as advance:
        advance(5)
        advance(5, note="loss 0.5")
    shown = out.getvalue()
    if not terminal:
        assert not shown.strip()
        return
    for part in ("image features", "10/10", "images/s", "0:00:0", "loss 0.5"):
        assert part in shown
