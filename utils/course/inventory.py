"""What the course holds: `python -m utils.course.inventory [--json]`."""

import argparse
import json

from rich.console import Console
from rich.table import Table

from utils.course.build import chapter_names, load_chapter
from utils.course.mutants import read_mutants


def inventory() -> dict:
    """Chapters -> exercises -> points, minutes, checks, mutants, alternatives."""
    chapters = []
    for name in chapter_names():
        chapter = load_chapter(name)
        mutants, alternatives = read_mutants(name)
        exercises = [
            {
                "name": exercise.name,
                "number": exercise.number,
                "optional": exercise.optional,
                "points": exercise.points,
                "minutes": exercise.minutes,
                "checks": exercise.checks,
                "mutants": sum(mutant.exercise == exercise.name for mutant in mutants),
                "alternatives": sum(other.exercise == exercise.name for other in alternatives),
            }
            for exercise in chapter.exercises.values()
        ]
        chapters.append({"name": name, "title": chapter.title, "exercises": exercises})
    return {"version": 1, "chapters": chapters}


def main() -> None:
    """Print the inventory, as a table or as JSON."""
    parser = argparse.ArgumentParser(prog="python -m utils.course.inventory", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    found = inventory()
    if parser.parse_args().json:
        print(json.dumps(found, indent=1))
        return
    table = Table("exercise", "points", "minutes", "checks", "mutants", "alternatives")
    for chapter in found["chapters"]:
        table.add_section()
        table.add_row(f"[bold]{chapter['title']}")
        for e in chapter["exercises"]:
            numbers = (e["points"], e["minutes"], len(e["checks"]), e["mutants"], e["alternatives"])
            table.add_row(f"{e['number']} {e['name']}", *map(str, numbers))
    Console().print(table)


if __name__ == "__main__":
    main()
