"""Notebooks run in their own kernel without a network: solutions to the end, learners' to the first stub."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import nbformat
import pytest
import tokenizers
import torch
import transformers
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.copies import copy_course
from utils.course import build
from utils.models import load_model
from utils.saes import SAE, save_sae

CHAPTERS = build.chapter_names()
SECONDS_PER_CELL = 900  # far more than any cell needs; only a hang takes longer
# What the tokenizers of the stand-ins have read, so that the words that At scale cells compare are tokens of their own
READ = ["The city of Paris is in France. TRUE FALSE", "d3 c5 f6 e2 a1 b8 g7 h4", "I", "Yes", "No"]
READ += ["A great, wonderful, lovely, excellent thing, and an awful, terrible, horrible, bad one"]
# Runs in the kernel before the first cell: a connection to anything but this machine raises.
NO_NETWORK = """
import socket as _socket
_connect = _socket.socket.connect
def _guarded(self, address):
    if self.family in (_socket.AF_INET, _socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"no network here, but something connects to {address}")
    return _connect(self, address)
_socket.socket.connect = _guarded
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the course, so that nothing a notebook writes (such as progress) reaches the real one."""
    return copy_course(tmp_path_factory.mktemp("copy"))


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with MiniLM's tokenizer, on disk: it stands for the hub models of the At scale cells."""
    folder, tokenizer = tmp_path_factory.mktemp("encoder"), load_model("minilm").tokenizer
    shape = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=len(tokenizer), **shape)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def qwen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen2, whose tokenizer pads with its end of text and puts nothing in front."""
    folder = tmp_path_factory.mktemp("qwen")
    tokenizer = tokenizers.ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(READ, min_frequency=1, special_tokens=["<|endoftext|>"])
    ends = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, **ends).save_pretrained(folder)
    shape = {"hidden_size": 16, "num_hidden_layers": 4, "intermediate_size": 32, "bos_token_id": 0, "eos_token_id": 0}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}  # grouped, as in the large one
    config = transformers.Qwen2Config(vocab_size=tokenizer.get_vocab_size(), **shape, **heads)
    transformers.Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def decoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-2 with a tokenizer of its kind, which has no padding token."""
    folder = tmp_path_factory.mktemp("decoder")
    tokenizer = tokenizers.ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(READ, min_frequency=1, special_tokens=["<|endoftext|>"])
    ends = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, **ends).save_pretrained(folder)
    shape = {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 1024, "bos_token_id": 0, "eos_token_id": 0}
    transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=tokenizer.get_vocab_size(), **shape)
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sae_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sparse autoencoder with random weights that fits the tiny decoder."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"W_enc": (16, 24), "b_enc": (24,), "W_dec": (24, 16), "b_dec": (16,)}
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return save_sae(SAE("topk", **weights, k=8), tmp_path_factory.mktemp("sae"))


def run(path: Path, folder: Path, at_scale: Sequence[Path] = (), sae: Path | None = None) -> nbformat.NotebookNode:
    """Execute a notebook in a folder; raises CellExecutionError at the first cell that does.

    Args:
        at_scale: local models that take the place of the hub's, one after the other: what loads one runs once for each.
        sae: a sparse autoencoder that takes the place of the hub's.
    """
    notebook, call = nbformat.read(path, as_version=4), re.compile(r'\bload_if_possible\("[^"]+"')
    for cell in [cell for cell in notebook.cells if call.search(cell.source)] if at_scale else []:
        loads = [call.sub(f'load_if_possible("{model.as_posix()}"', cell.source) for model in at_scale]
        if sae is not None:
            call_sae = rf'\1("{sae.as_posix()}"'
            loads = [re.sub(r'\b(load_sae_if_possible)\("[^"]+"', call_sae, source) for source in loads]
        cell.source = loads[0]
        after = notebook.cells.index(cell) + 1
        notebook.cells[after:after] = [nbformat.v4.new_code_cell(source) for source in loads[1:]]
    notebook.cells.insert(0, nbformat.v4.new_code_cell(NO_NETWORK))
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    client = NotebookClient(notebook, timeout=SECONDS_PER_CELL, resources={"metadata": {"path": str(folder)}})
    try:
        client.execute(env=environment)
    finally:
        run.last = notebook  # what there was until an error, for the tests below
    return notebook


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_solution_notebook_runs_from_top_to_bottom(
    name: str, course: Path, encoder_folder, decoder_folder, qwen_folder, sae_folder
):
    stand_ins = {"google-bert": encoder_folder, "openai-community": decoder_folder, "Qwen": qwen_folder}
    (owner,) = set(re.findall(r'load_if_possible\("([\w-]+)/', (course / "solutions" / f"{name}.py").read_text()))
    at_scale = [stand_ins[owner], qwen_folder if owner == "openai-community" else decoder_folder]
    notebook = run(course / "solutions" / f"{name}.ipynb", course / "solutions", at_scale=at_scale, sae=sae_folder)
    errors = [o for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "error"]
    assert not errors
    warned = [o.text for cell in notebook.cells for o in cell.get("outputs", []) if o.get("name") == "stderr"]
    noise = [text for text in warned if "%|" not in text]  # progress bars are written there
    assert not noise, f"something is written to stderr: {noise[0][:300]}"
    said = [o.get("text", "") for cell in notebook.cells for o in cell.get("outputs", [])]
    assert not any("At scale is skipped" in text for text in said)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_learners_notebook_stops_at_its_first_exercise(name: str, course: Path):
    chapter = build.load_chapter(name)
    first = next(iter(chapter.exercises))
    with pytest.raises(CellExecutionError) as caught:
        run(course / "chapters" / f"{name}.ipynb", course / "chapters")
    assert "NotWritten" in str(caught.value.ename) and first in caught.value.evalue
    ran = [cell.source for cell in run.last.cells if cell.cell_type == "code" and cell.execution_count]
    assert ran[-1] == f"check({first})"
