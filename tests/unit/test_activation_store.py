"""Activations on disk are those in memory, whole or not there, and never all in memory."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from utils import ROOT, activation_store
from utils.activation_store import read_acts, write_acts
from utils.activations import cache_pooled, stream_pooled

pytestmark = pytest.mark.usefixtures("one_thread")
LAYERS = ["embed", 2, 5]
TEXTS = ["rust", "deep blue", "a rather longer description of a colour between green and grey", "off white", "sea"]


def draw(n_rows: int = 10, batch: int = 3, seed: int = 0) -> tuple[torch.Tensor, list]:
    """Activations [layer row d_model], and the same in batches of rows in any order."""
    generator = torch.Generator().manual_seed(seed)
    acts = torch.randn(len(LAYERS), n_rows, 4, generator=generator)
    return acts, [(rows, acts[:, rows]) for rows in torch.randperm(n_rows, generator=generator).split(batch)]


def read_whole(file: Path, layers: list, n_rows: int = 4) -> torch.Tensor:
    rows, parts = zip(*read_acts(file, layers, n_rows=n_rows), strict=True)
    assert torch.equal(torch.cat(rows), torch.arange(len(torch.cat(rows))))
    return torch.cat(parts, dim=1)


def test_a_models_activations_come_back_as_they_are_cached(minilm, tmp_path: Path):
    file, batches = tmp_path / "acts.safetensors", stream_pooled(minilm, TEXTS, LAYERS, max_tokens=8)
    write_acts(file, batches, layers=LAYERS, n_rows=len(TEXTS))
    expected = cache_pooled(minilm, TEXTS, LAYERS, max_tokens=8)
    assert torch.equal(read_whole(file, LAYERS, 2), expected)
    assert torch.equal(read_whole(file, [5, "embed"], 100), expected[[2, 0]])
    assert [path.name for path in tmp_path.iterdir()] == ["acts.safetensors"]


@pytest.mark.parametrize("dtype", list(activation_store.DTYPES))
@pytest.mark.parametrize("batch", [1, 3, 10])
def test_the_file_is_one_that_safetensors_reads(dtype: torch.dtype, batch: int, tmp_path: Path):
    acts, batches = draw(batch=batch)
    write_acts(tmp_path / "acts", batches, layers=LAYERS, n_rows=10, dtype=dtype)
    names = ["blocks.0.hook_resid_pre", "blocks.2.hook_resid_post", "blocks.5.hook_resid_post"]
    tensors = load_file(tmp_path / "acts")
    assert sorted(tensors) == names and all(
        torch.equal(tensors[n], a.to(dtype)) for n, a in zip(names, acts, strict=True)
    )
    assert torch.equal(read_whole(tmp_path / "acts", LAYERS), acts.to(dtype))


def test_there_is_no_file_until_it_is_whole(tmp_path: Path):
    batches = draw()[1]
    write_acts(tmp_path / "acts", batches, layers=LAYERS, n_rows=10)
    before = (tmp_path / "acts").read_bytes()

    def broken():
        yield from batches[:2]
        assert len(list(tmp_path.iterdir())) == 2 and (tmp_path / "acts").read_bytes() == before
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_acts(tmp_path / "acts", broken(), layers=LAYERS, n_rows=10)
    assert [path.name for path in tmp_path.iterdir()] == ["acts"] and (tmp_path / "acts").read_bytes() == before


def test_a_killed_process_leaves_nothing_under_the_name(tmp_path: Path):
    code = """
import os, signal, sys, torch
from utils.activation_store import write_acts
def batches():
    yield torch.arange(3), torch.zeros(1, 3, 4)
    os.kill(os.getpid(), signal.SIGKILL)
write_acts(sys.argv[1], batches(), layers=[0], n_rows=10)
"""
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "acts")], cwd=ROOT, capture_output=True)
    assert ended.returncode == -9, ended.stderr
    assert not (tmp_path / "acts").exists()
    assert [path.suffix for path in tmp_path.iterdir()] == [".unfinished"]


def test_a_full_disk_is_one_line_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(activation_store.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**9))
    batches = iter([(torch.arange(2), torch.zeros(1, 2, 1000)), None])
    with pytest.raises(ValueError, match=r"acts needs 4\.0 GB of disk, 1\.0 GB are free in .*; take fewer layers"):
        write_acts(tmp_path / "acts", batches, layers=[0], n_rows=10**6)
    assert not list(tmp_path.iterdir()) and next(batches) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(n_rows=11), "every row, got 10 of 11"),
        (dict(n_rows=9), r"rows must lie in 0\.\.8 and come once"),
        (dict(layers=["embed", 2]), "with 2 layers and d_model 4, got"),
        (dict(layers=["embed", 2, 2]), "layers must be different"),
        (dict(dtype=torch.int8), "dtype must be one of torch.float32"),
        (dict(batches=[]), "at least one, got none"),
        (dict(batches=[*draw()[1], draw()[1][0]]), "come once, got"),
    ],
)
def test_what_does_not_fit_is_named(change: dict, words: str, tmp_path: Path):
    arguments = {"batches": draw()[1], "layers": LAYERS, "n_rows": 10} | change
    with pytest.raises(ValueError, match=words):
        write_acts(tmp_path / "acts", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"acts must be a file that write_acts has written"):
        next(read_acts(tmp_path / "acts", [0]))
    (tmp_path / "acts").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"acts must be a file that write_acts has written"):
        next(read_acts(tmp_path / "acts", [0]))
    write_acts(tmp_path / "acts", draw()[1], layers=LAYERS, n_rows=10)
    with pytest.raises(ValueError, match=r"must hold blocks\.1\.hook_resid_post, got only blocks\.0"):
        next(read_acts(tmp_path / "acts", ["embed", 1]))


def test_the_data_are_larger_than_what_is_held(tmp_path: Path):
    """50,000 vectors at 4 layers are 205 MB. What is held is a batch, and the sums of the probe."""
    code = """
import resource, sys, torch
from utils.activation_store import read_acts, write_acts
from utils.probe_statistics import ProbeStatistics
n_rows, layers, d_model = 50_000, list(range(4)), 256
labels = torch.arange(n_rows) % 2 == 0
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def batches():
    for rows in torch.arange(n_rows).split(1000):
        yield rows, torch.randn(len(layers), len(rows), d_model)
statistics = ProbeStatistics.zeros(len(layers), d_model)
for rows, acts in batches():  # what torch needs once is there after one batch
    statistics.add(acts, labels[rows])
    break
before = peak()
write_acts(sys.argv[1], batches(), layers=layers, n_rows=n_rows)
for rows, acts in read_acts(sys.argv[1], layers, n_rows=1000):
    statistics.add(acts, labels[rows])
statistics.mass_mean_probe()
print((peak() - before) * 1024)
"""
    if sys.platform != "linux":
        pytest.skip("ru_maxrss is in other units")
    command = [sys.executable, "-c", code, str(tmp_path / "acts")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    size = (tmp_path / "acts").stat().st_size
    assert size > 200e6 and int(ended.stdout) < size / 4, f"{int(ended.stdout) / 1e6:.0f} MB for {size / 1e6:.0f}"
