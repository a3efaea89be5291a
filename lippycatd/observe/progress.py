"""The progress bar for files, on a terminal: one bar for each pass over the input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from typing import TextIO

_PASSES = {1: ("reading",), 2: ("deciding", "selecting")}


class Bars:
    """Draws what `Line.progress` gives; without a terminal it draws nothing. It has no thread of its own."""

    def __init__(self, stream: TextIO, *, wanted: bool) -> None:
        self._progress: Progress | None = None
        if wanted and stream.isatty():
            columns = (TextColumn("{task.description:<9}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
            self._progress = Progress(*columns, console=Console(file=stream), auto_refresh=False, transient=True)
        self._tasks: dict[int, TaskID] = {}

    def start(self) -> None:
        """Shows the bars."""
        if self._progress:
            self._progress.start()

    def update(self, state: tuple[int, int, int, int]) -> None:
        """Moves the bar of the pass: (pass from 1, passes, bytes done, bytes in total or 0)."""
        number, passes, done, total = state
        if self._progress is None or not number:
            return
        if number not in self._tasks:
            for earlier in self._tasks.values():
                task = self._progress.tasks[self._progress.task_ids.index(earlier)]
                self._progress.update(earlier, completed=task.total or task.completed)
            words = _PASSES.get(passes, ())
            word = words[number - 1] if number <= len(words) else f"pass {number}"
            self._tasks[number] = self._progress.add_task(word, total=total or None)
        self._progress.update(self._tasks[number], completed=done, total=total or None)
        self._progress.refresh()

    def stop(self) -> None:
        """Removes the bars."""
        if self._progress:
            self._progress.stop()
