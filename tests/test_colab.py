"""The first cell of a notebook where there is nothing but the notebook: it fetches the course, as in Colab."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.copies import copy_course
from utils.course import start

CHAPTER = "01_linear_probes"
HIDDEN = (
    "einops",
    "jaxtyping",
)  # pure Python: a wheel of it is a zip of what is installed here
GIT = ("git", "-c", "user.name=A", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-c", "core.autocrlf=false")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A git repository with the course as it is now, as a file:// address."""
    folder = copy_course(tmp_path_factory.mktemp("published"))
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "The course"]):
        subprocess.run([*GIT, *command], cwd=folder, check=True, capture_output=True, timeout=120)
    return folder.as_uri()


@pytest.fixture(scope="module")
def colab_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with everything that is installed here but HIDDEN, torch among it, and where pip finds those."""
    folder, here = tmp_path_factory.mktemp("colab"), Path(nbformat.__file__).parent.parent
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=120)
    (there,) = (folder / "venv").glob("lib/python3*/site-packages")
    (folder / "venv" / "wheels").mkdir()
    parts = {name: [here / name, *here.glob(f"{name}-*.dist-info")] for name in HIDDEN}
    for package, info in parts.values():
        with zipfile.ZipFile(folder / "venv" / "wheels" / f"{info.stem}-py3-none-any.whl", "w") as wheel:
            for path in (path for part in (package, info) for path in part.rglob("*") if path.is_file()):
                wheel.write(path, path.relative_to(here))
    for path in here.iterdir():
        if path not in [part for pair in parts.values() for part in pair]:
            (there / path.name).symlink_to(path)
    return folder / "venv" / "bin" / "python"


def run(folder: Path, cells: list[str], python: Path | str = sys.executable, **environment: str) -> list[str]:
    """Execute cells in a kernel of this Python, in this folder; what each has shown, as text."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.create_kernel_manager()
    client.km.kernel_spec.argv[0] = str(python)
    only_files = {"HF_HUB_OFFLINE": "1", "GIT_ALLOW_PROTOCOL": "file"}
    try:
        client.execute(env=os.environ | only_files | environment)
    finally:
        run.said = ["".join(o.get("text", "") for o in cell.outputs) for cell in notebook.cells]  # also after an error
    return run.said


def first_cells(address: str) -> list[str]:
    """The first two code cells of the learner's notebook, as a course published at this address has them."""
    notebook = nbformat.read(start.ROOT / "chapters" / f"{CHAPTER}.ipynb", as_version=4)
    first, second = [cell.source for cell in notebook.cells if cell.cell_type == "code"][:2]
    assert first.count(start.course_address()) == 1
    return [first.replace(start.course_address(), address), second]


def test_a_notebook_alone_in_colab_fetches_the_course_and_installs_what_is_missing(address, colab_python, tmp_path):
    work, stub = tmp_path / "content", tmp_path / "stub"
    work.mkdir()
    (stub / "google" / "colab").mkdir(parents=True)
    (stub / "google" / "colab" / "__init__.py").touch()
    (torch,) = colab_python.parent.parent.glob("lib/python3*/site-packages/torch")
    colab = {"COLAB_NOTEBOOK_ID": "1"}  # the web page sets it, and plotly asks for it
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(colab_python.parent.parent / "wheels")}
    first, second = first_cells(address)
    which = "import plotly.io; print(plotly.io.renderers.default)"
    said = run(
        work, ["import google.colab", first, second, which, first], colab_python, PYTHONPATH=str(stub), **colab, **pip
    )
    assert re.search(r"Installs einops==\S+ jaxtyping==\S+ \(a minute or so, once\); torch \S+ stays\.", said[1]), said
    assert f"The course is in {work / start.FOLDER}" in said[1]
    assert said[3].strip() == "colab"
    assert not said[4].strip(), "running the first cell again says nothing"
    assert torch.is_symlink(), "pip has touched torch"
    assert [path.name for path in work.iterdir()] == [start.FOLDER]


def test_the_first_cell_is_silent_where_the_course_is(tmp_path: Path):
    course = copy_course(tmp_path)
    for folder in (course / "chapters", course, course / "utils" / "course", tmp_path):
        assert not run(folder, first_cells("file:///nowhere")[:1])[0]
    assert [path.name for path in tmp_path.iterdir()] == ["course"]


def test_without_a_network_the_first_cell_says_what_to_do_and_leaves_nothing(tmp_path: Path):
    with pytest.raises(CellExecutionError) as caught:
        run(tmp_path, first_cells((tmp_path / "nothing").as_uri())[:1])
    assert "Not fetched. Connect to a network, or run %cd PATH/TO/THE/COURSE" in run.said[0]
    assert caught.value.ename == "FileNotFoundError" and start.FOLDER in caught.value.evalue
    assert not list(tmp_path.iterdir())


def test_a_clone_that_was_killed_is_made_again(address: str, tmp_path: Path):
    (tmp_path / "course.part" / ".git").mkdir(parents=True)
    run(tmp_path, first_cells(address)[:1])
    assert [path.name for path in tmp_path.iterdir()] == [start.FOLDER]


def test_another_package_called_utils_does_not_get_in_the_way(address: str, tmp_path: Path):
    (tmp_path / "utils").mkdir()
    (tmp_path / "utils" / "__init__.py").write_text("")
    on_path = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
    shutil.copytree(start.ROOT / "utils" / "course", tmp_path / "course" / "utils" / "course")
    with pytest.raises(CellExecutionError) as caught:
        run(tmp_path, [f"{on_path}; import utils", *first_cells(address)[:1]])
    assert "restart the kernel" in caught.value.evalue
