"""What grading costs: processor seconds of a right Tversky submission, against plain pytest.

    python tests/benchmarks/grader.py [SUBMISSIONS]

The grader's whole run is counted, every process of it. Beside it, in the same minutes, each of a
few submissions gets a pytest process of its own that runs its cells and asks the same questions.
"""

import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOLUTION = (ROOT / "solutions" / "tversky.ipynb").read_text(encoding="utf-8")
COMMAND = Path(sys.executable).parent / "course-losses"
PLAIN = 5
TEST = """
from pathlib import Path
from course_losses.grading.answers import Drawn
from course_losses.grading.exercise import exercises
from course_losses.grading.notebook import solution_names
from course_losses.grading.session import Session
from course_losses.grading.student import here

def test_submission():
    exercise = exercises(Path({root!r}))["tversky"]
    session = Session(exercise.rubrics)
    answers = Drawn(0, exercise.solution, session.mistakes)
    verdicts = session.run(here(solution_names(Path({notebook!r}))), answers)
    assert all(verdict.earned for verdict in verdicts)
"""


def handed_in(folder: Path, count: int) -> Path:
    """A class of right solutions, no two files alike."""
    for number in range(count):
        place = folder / f"student{number:05}"
        place.mkdir(parents=True)
        text = SOLUTION.replace("Your turn", f"Your turn, student {number}")
        (place / "tversky.ipynb").write_text(text, encoding="utf-8")
    return folder


def cost(*command: object) -> tuple[float, float, int]:
    """Processor seconds of a command and all its processes, seconds on the clock, peak in kB."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    here = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(list(map(str, command)), cwd=ROOT, env=here, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.perf_counter() - start, after.ru_maxrss


def graded(folder: Path, count: int) -> tuple[float, float, int]:
    found = cost(COMMAND, "grade", handed_in(folder / "in", count), "--out", folder / "out")
    with (folder / "out" / "grades.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count
    assert all(row["score"] == row["max_score"] == "10" for row in rows)
    return found


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few = max(count // 5, 2)
        small = graded(folder / "small", few)
        large = graded(folder / "large", count)
        plain = []
        for number in range(PLAIN):
            test = folder / f"test_plain_{number}.py"
            notebook = folder / "small" / "in" / f"student{number % few:05}" / "tversky.ipynb"
            test.write_text(TEST.format(root=str(ROOT), notebook=str(notebook)))
            pytest = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", folder]
            plain.append(cost(*pytest, test)[0])
    each = large[0] / count
    further = (large[0] - small[0]) / (count - few)
    memory = max(large[2] - small[2], 0) / (count - few)
    alone = sum(plain) / PLAIN
    print(f"{count} right Tversky submissions on {os.cpu_count()} processors: {large[1]:.1f} s")
    print(f"processor time of each, everything counted: {1000 * each:.0f} ms")
    print(f"processor time of each further one:         {1000 * further:.0f} ms")
    print(f"peak memory of the largest process: {large[2] / 1024:.0f} MB")
    print(f"memory of each further one:         {memory:.1f} kB")
    print(f"plain pytest, a process for each:   {1000 * alone:.0f} ms")
    print(f"which is {alone / each:.0f} times as much")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
