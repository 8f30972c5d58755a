"""What the course holds: `python -m utils.course.inventory [--json]`.

Beside the minutes that a chapter states for an exercise stand those of a formula, so that outliers are seen. It counts
words to read, lines to write and checks to pass, at round speeds for which the sums over the course nearly agree.
Neither is a measurement.
"""

import argparse
import json
import re

from rich.console import Console
from rich.table import Table

from utils.course.build import chapter_names, load_chapter
from utils.course.chapter import BEGIN, END, Chapter
from utils.course.mutants import read_mutants

WORDS_PER_MINUTE, MINUTES_PER_LINE, MINUTES_PER_CHECK = 200, 1.0, 1.0
OUTLIER = (0.6, 1.6)  # of the formula's minutes to the stated ones
SOLUTION = re.compile(f"{BEGIN}\n(.*?){END}", re.DOTALL)
FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)  # hints: not everyone opens them


def inventory() -> dict:
    """Chapters -> exercises -> points, minutes and those of the formula, checks, mutants, alternatives."""
    chapters = []
    for name in chapter_names():
        chapter = load_chapter(name)
        by_formula = estimate_minutes(chapter)
        mutants, alternatives = read_mutants(name)
        exercises = [
            {
                "name": exercise.name,
                "number": exercise.number,
                "optional": exercise.optional,
                "points": exercise.points,
                "minutes": exercise.minutes,
                "minutes_by_formula": round(by_formula[exercise.name], 1),
                "checks": exercise.checks,
                "mutants": sum(mutant.exercise == exercise.name for mutant in mutants),
                "alternatives": sum(other.exercise == exercise.name for other in alternatives),
            }
            for exercise in chapter.exercises.values()
        ]
        chapters.append({"name": name, "title": chapter.title, "exercises": exercises})
    return {"version": 1, "chapters": chapters}


def estimate_minutes(chapter: Chapter) -> dict[str, float]:
    """Minutes of each exercise by the formula: reading from the check before it to its own, writing it, its checks."""
    minutes: dict[str, float] = {}
    n_words = n_lines = 0
    for cell in chapter.cells:
        if cell.kind == "markdown" and "solution" not in cell.tags:
            n_words += len(re.findall(r"\w+", FOLDED.sub("", cell.source)))
        if cell.exercise:
            lines = [line.strip() for block in SOLUTION.findall(cell.source) for line in block.splitlines()]
            n_lines = sum(bool(line) and not line.startswith("#") for line in lines)
        if cell.check:
            n_checks = len(chapter.exercises[cell.check].checks)
            work = MINUTES_PER_LINE * n_lines + MINUTES_PER_CHECK * n_checks
            minutes[cell.check] = n_words / WORDS_PER_MINUTE + work
            n_words = 0
    return minutes


def main() -> None:
    """Print the inventory, as a table or as JSON."""
    parser = argparse.ArgumentParser(prog="python -m utils.course.inventory", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    found = inventory()
    if parser.parse_args().json:
        print(json.dumps(found, indent=1))
        return
    table = Table("exercise", "points", "minutes", "by formula", "checks", "mutants", "alternatives")
    for chapter in found["chapters"]:
        table.add_section()
        table.add_row(f"[bold]{chapter['title']}")
        for e in chapter["exercises"]:
            low, high = (e["minutes"] * ratio for ratio in OUTLIER)
            formula = f"{e['minutes_by_formula']:.0f}"
            formula = formula if low <= e["minutes_by_formula"] <= high else f"[red]{formula}"
            numbers = (e["points"], e["minutes"], formula, len(e["checks"]), e["mutants"], e["alternatives"])
            table.add_row(f"{e['number']} {e['name']}", *map(str, numbers))
    Console().print(table)


if __name__ == "__main__":
    main()
