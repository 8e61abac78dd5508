"""The command ``course-losses``: check one's own notebooks, grade a class, release the pack."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from . import export
from .exercise import exercises, find
from .gradebook import Gradebook, OverridesError, read_overrides
from .judge import Verdict
from .pages import pages
from .progress import below, overview, own_slot, step
from .records import Records
from .release import release as release_exercise
from .report import Report, forgive_encodings, number
from .roster import Roster, RosterError, read_roster
from .rubric import RubricError
from .run import BusyError, Run, locked, points
from .sandbox import Limits, bubblewrap_fault
from .submissions import Submission, collect, exercise_name

if TYPE_CHECKING:
    from .cluster import Cluster

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help=__doc__,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
)
console = Console(highlight=False)
FORMATS: dict[str, Callable[[Gradebook, Path], None]] = {
    "csv": export.grades_csv,
    "gradescope": export.gradescope,
    "canvas": export.canvas,
    "moodle": export.moodle,
    "junit": export.junit,
    "html": pages,
}


def main() -> None:
    """Entry point of ``course-losses``."""
    forgive_encodings()
    app()


Jobs = Annotated[int | None, typer.Option(min=1, help="Notebooks at a time (all processors).")]


@app.command()
def check(
    notebook: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
) -> None:
    """Check one notebook against the public cases, for its author."""
    try:
        exercise = find(exercise_name(notebook.name, exercises()), notebook.resolve().parent)
    except FileNotFoundError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        slot = own_slot(exercise)
    except RubricError as error:
        console.print(escape(str(error)))
        raise typer.Exit(1) from None
    try:
        outcome = slot.grade(notebook.read_bytes())
    finally:
        slot.close()
    if outcome.verdicts:
        Report(exercise.name, [Verdict(**row) for row in outcome.verdicts]).show()
    else:
        console.print(f"{outcome.status}: {escape(outcome.detail)}")
    for raised in outcome.errors if outcome.verdicts else outcome.errors[1:]:
        told = f"Code cell {raised['cell']} raised {raised['type']}: {raised['text']}"
        console.print(escape(told))


@app.command()
def progress(
    folder: Annotated[
        Path | None, typer.Argument(exists=True, file_okay=False, help="Where your exercises are.")
    ] = None,
) -> None:
    """How far your own notebooks have come, and what to do next in each."""
    found = below(folder or Path()) or ([] if folder else list(exercises().values()))
    if not found:
        raise typer.BadParameter(
            f"no exercise lies in {(folder or Path()).resolve()}: NAME.ipynb, test_NAME.py and "
            "cases.json belong side by side"
        )
    steps = []
    with _bar("checking", len(found)) as advance:
        for exercise in found:
            steps.append(step(exercise))
            advance()
    console.print(overview(steps))
    console.print("A self-check on public cases. All criteria of one: course-losses check NOTEBOOK")


@app.command()
def grade(
    submissions: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="Where grades.csv, feedback and records go.")] = Path(
        "grades"
    ),
    exercise: Annotated[str | None, typer.Option(help="Grade only this exercise.")] = None,
    jobs: Jobs = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for one notebook.")] = 60.0,
    memory: Annotated[
        int, typer.Option(min=64, help="Megabytes for all processes of one notebook.")
    ] = 2048,
    rubric: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder of private test_NAME.py files."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Grade on the Dask scheduler at this address.")
    ] = None,
    roster: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="The class, as Canvas or Moodle exports it."
        ),
    ] = None,
    format: Annotated[str, typer.Option(help=f"Of {', '.join(FORMATS)}.")] = "csv,html",
    allow_unsandboxed: Annotated[
        bool, typer.Option("--allow-unsandboxed", help="Grade without bubblewrap where it fails.")
    ] = False,
) -> None:
    """Grade SUBMISSIONS/STUDENT/EXERCISE.ipynb; run again to resume or after a change."""
    if not hasattr(os, "fork"):
        raise typer.BadParameter("grading needs Linux or macOS; on Windows run it inside WSL")
    formats = _formats(format)
    students = _roster(roster)
    known = exercises(private=rubric.resolve() if rubric else None)
    if rubric:
        _own_rubrics(rubric, list(known))
    if exercise is not None and exercise not in known:
        raise typer.BadParameter(f"no exercise is called {exercise!r}: {', '.join(known)}")
    grid = _grid(cluster) if cluster else None
    fault = grid.fault() if grid else bubblewrap_fault()
    if fault and not allow_unsandboxed:
        raise typer.BadParameter(
            f"{fault}. With --allow-unsandboxed notebooks run in a process of their own with "
            "limits, but they can read your files and use the network."
        )
    if fault:
        console.print(
            f"Not sandboxed: {escape(fault)}. Notebooks can read files and use the network."
        )
    try:
        with locked(out):
            found, ignored = collect(submissions, known, out, exercise)
            run = Run(
                Records(out),
                known,
                not fault,
                Limits(timeout, memory),
                jobs or (grid.threads if grid else _processors()),
                grid.engine if grid else None,
            )
            overrides = read_overrides(out / "overrides.csv", list(known))
            _graded(run, found)
            wanted = {exercise} if exercise else {submission.exercise for submission in found}
            book = Gradebook(
                found,
                run.records,
                {name: points(known[name]) for name in sorted(wanted)},
                overrides,
                students,
                f"Cases drawn from seed {run.seed}; sandbox: {fault or 'bubblewrap'}.",
            )
            for name in dict.fromkeys(["csv", *formats]):
                FORMATS[name](book, out)
            export.ignored_csv(ignored, out)
            _summary(book, len(ignored), out)
    except (BusyError, OverridesError, RosterError) as error:
        raise typer.BadParameter(str(error)) from None
    except RubricError as error:
        console.print(escape(str(error)))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("Interrupted. Nothing is lost: the same command resumes.")
        raise typer.Exit(130) from None
    finally:
        if grid:
            grid.close()


@app.command()
def release(
    names: Annotated[
        list[str] | None, typer.Argument(help="Exercises; all when none is named.")
    ] = None,
) -> None:
    """Derive the learners' notebooks and public cases from the solutions."""
    known = exercises()
    for name in names or known:
        if name not in known:
            raise typer.BadParameter(
                f"no exercise is called {name!r}: {', '.join(known)}. "
                "A new one begins with exercises/NAME/test_NAME.py"
            )
        if not known[name].solution.is_file():
            console.print(f"{name}: skipped, there is no {escape(str(known[name].solution))}")
            continue
        try:
            changed = [path.name for path in release_exercise(known[name])]
        except RubricError as error:
            console.print(escape(f"{name}: left as it was. {error}"))
            raise typer.Exit(1) from None
        console.print(f"{name}: {', '.join(changed) or 'up to date'}")


def _graded(run: Run, found: Sequence[Submission]) -> None:
    with _bar("grading", len(found)) as advance:
        for _ in run.grade(found):
            advance()


@contextmanager
def _bar(doing: str, total: int) -> Iterator[Callable[[], None]]:
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # No thread may refresh the bar: grading processes are forked from this one.
    with Progress(
        *columns,
        console=console,
        auto_refresh=False,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.update(task, advance=1, refresh=True)


def _summary(book: Gradebook, ignored: int, out: Path) -> None:
    statuses: dict[str, Counter[str]] = {}
    scores: dict[str, list[float]] = {}
    for row in book:
        statuses.setdefault(row.exercise, Counter())[row.outcome.status] += 1
        scores.setdefault(row.exercise, []).append(row.outcome.score)
    table = Table("exercise", "submissions", "mean", "statuses")
    for name, counts in sorted(statuses.items()):
        mean = sum(scores[name]) / len(scores[name])
        told = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        table.add_row(name, str(len(scores[name])), number(mean), told)
    console.print(table)
    if ignored:
        place = escape(str(out / "ignored.csv"))
        files = "1 other file is" if ignored == 1 else f"{ignored} other files are"
        console.print(f"{files} listed in {place}.")
    for remark in book.remarks():
        console.print(escape(remark))
    console.print(escape(book.source))
    console.print(f"Grades: {escape(str(out / 'grades.csv'))}")


def _own_rubrics(folder: Path, known: Sequence[str]) -> None:
    names = [path.stem.removeprefix("test_") for path in sorted(folder.glob("test_*.py"))]
    if not names:
        raise typer.BadParameter(f"{folder} holds no test_NAME.py of {', '.join(known)}")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise typer.BadParameter(f"{folder}: no exercise is called {', '.join(unknown)}")


def _grid(address: str) -> Cluster:
    try:
        from .cluster import Cluster, ClusterError
    except ImportError:
        raise typer.BadParameter(
            "--cluster needs Dask: pip install 'course-losses[cluster]'"
        ) from None
    try:
        return Cluster(address)
    except ClusterError as error:
        raise typer.BadParameter(str(error)) from None


def _roster(path: Path | None) -> Roster | None:
    try:
        return read_roster(path) if path else None
    except RosterError as error:
        raise typer.BadParameter(str(error)) from None


def _formats(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise typer.BadParameter(f"--format takes {', '.join(FORMATS)}; got {text!r}")
    return names


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
