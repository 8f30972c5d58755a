"""Grading for instructors: collect notebooks, run their functions in a sandbox, check them, report.

    python -m utils.grading run SUBMISSIONS... --out report/

collect (files -> submissions) -> run (batch) -> server (one warm process: checks; its twin forks what runs submitted
code, inside sandbox) -> results (one model) -> report, gradescope (writers). similarity compares submissions.
"""


class UsageError(ValueError):
    """A command that cannot be carried out: one line that says the cure."""
