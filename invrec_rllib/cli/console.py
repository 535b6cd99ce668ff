"""Where output goes: results to standard output, progress and messages to standard error."""

from __future__ import annotations

import inspect
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from invrec_rllib.errors import InputError

# Files and pipes have no width: wide enough that nothing wraps.
_FILE_WIDTH = 240


def results() -> Console:
    """The console of standard output."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)


def messages() -> Console:
    """The console of standard error."""
    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _FILE_WIDTH)


def say(text: str, *, style: str = "") -> None:
    """Print a message to standard error, brackets and all."""
    messages().print(Text(text, style=style), soft_wrap=True)


def print_error(text: str) -> None:
    """Print what went wrong, in red where there is colour."""
    say(f"Error: {text}", style="red")


def print_json(data: Any) -> None:
    """Print JSON, and nothing else, to standard output; NaN is refused."""
    sys.stdout.write(json.dumps(data, indent=2, allow_nan=False) + "\n")


def check_free(path: Path | None, *, force: bool) -> None:
    """See that a file may be written, before the work that fills it.

    Raises:
        InputError: it exists, and `force` is false.
    """
    if path is not None and path.expanduser().exists() and not force:
        raise InputError(f"{path} exists: choose another file, or overwrite it with --force")


def examples(*commands: str) -> str:
    """The end of a help text, one example per line."""
    return "\n\n".join(["Examples:", *(f"  {command}" for command in commands)])


def help_of(command: Callable[..., object]) -> str:
    """A command's docstring with one line per paragraph, so that it wraps at the terminal's width."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: ``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class FractionProgress:
    """Progress of named pieces of equal work: a bar on a terminal, else a line for each piece done.

    Args:
        work: what is counted, such as "episodes".
        amount: of work per piece.
        others: pieces of other work, by name: what is counted, and how much of it.
    """

    def __init__(
        self, *, work: str, amount: int, others: Mapping[str, tuple[str, int]] | None = None
    ) -> None:
        self._usual, self._others = (work, amount), dict(others or {})
        self._progress: Progress | None = None
        self._started: dict[str, float] = {}
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> FractionProgress:
        console = messages()
        if console.is_terminal:
            self._progress = new_progress(console)
            self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, name: str, fraction: float) -> None:
        """Report that a fraction in (0, 1] of a piece is done."""
        now = time.monotonic()
        begun = self._started.setdefault(name, now)
        work, amount = self._others.get(name, self._usual)
        done = fraction * amount
        rate = f"{done / (now - begun):,.0f} {work}/s" if now > begun else ""
        if self._progress is not None:
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(name, total=amount, rate="")
            self._progress.update(self._tasks[name], completed=done, rate=rate)
        elif fraction >= 1.0:
            say(f"{name}: {amount:,} {work} in {clock(now - begun)}{rate and f', {rate}'}")


def new_progress(console: Console) -> Progress:
    """Bars with a rate (the task's field `rate`) and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
        console=console,
        refresh_per_second=2,
        # The remaining time follows the mean of the last ten minutes, not the jitter of single steps.
        speed_estimate_period=600.0,
    )


@contextmanager
def working(text: str) -> Iterator[None]:
    """Tell that something without a known length goes on: a spinner on a terminal, else a line."""
    console = messages()
    if console.is_terminal:
        with console.status(Text(text)):
            yield
    else:
        say(text)
        yield
