"""Tables that come along, compared with their cards before anything is read from them.

    table = read_table(ASSETS / "places.csv", ("city", "country"))      # column -> its fields, row by row

A table is read and compared once per process.
"""

import csv
import hashlib
import io
import json
from functools import cache
from pathlib import Path


@cache  # a table is read and verified once per process
def read_table(path: Path, columns: tuple[str, ...] | None = None) -> dict[str, tuple[str, ...]]:
    """Read a CSV table column by column, after comparing it with its card: sha256, column names, number of rows.

    Args:
        columns: names that the header must have; whatever the header says if None.
    """
    card_path = path.with_suffix(".card.json")
    name = f"utils/assets/{path.name}"
    cure = f"run: git checkout -- {name} utils/assets/{card_path.name} (or rebuild: python -m utils.training.tables)"
    for file in (path, card_path):
        if not file.is_file():
            raise ValueError(f"{name} and its card must both be there, got no {file.name}; {cure}")
    data = path.read_bytes()
    try:
        card = json.loads(card_path.read_bytes())
        expected = card["sha256"], card["rows"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{card_path.name} must be JSON with sha256 and rows, got {error!r}; {cure}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != expected[0]:
        raise ValueError(f"{name} is damaged or edited: expected sha256 {expected[0]}, got {found}; {cure}")

    header, *rows = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)
    columns = tuple(header) if columns is None else columns
    if tuple(header) != columns:
        raise ValueError(f"{name} must have the columns {', '.join(columns)}, got {', '.join(header)}; {cure}")
    if len(rows) != expected[1] or any(len(row) != len(columns) for row in rows):
        raise ValueError(
            f"{name} must have {expected[1]} rows of {len(columns)} fields, got {len(rows)} rows of "
            f"{sorted({len(row) for row in rows})} fields; {cure}"
        )
    return dict(zip(columns, zip(*rows, strict=True), strict=True))
