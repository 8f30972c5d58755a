"""Fixtures that several of the tests here share."""

import importlib
import importlib.util
import os

import pytest
import torch
from threadpoolctl import threadpool_limits

from utils.models import load_model


@pytest.fixture(scope="module")
def one_thread():
    """Work this small gains nothing from a second thread, and loses much on a busy machine."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):  # scikit-learn's
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def minilm():
    return load_model("minilm")


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def sae_weights() -> dict[str, torch.Tensor]:
    """W_enc, b_enc, W_dec, b_dec of an SAE with d_model 6 and d_sae 15."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"W_enc": (6, 15), "b_enc": (15,), "W_dec": (15, 6), "b_dec": (6,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.fixture
def sae_acts() -> torch.Tensor:
    return 2 + torch.randn(40, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def method_scores() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Validation and test scores [task method], some not run, and which are SAE methods."""
    generator = torch.Generator().manual_seed(0)
    validation, test = 0.5 + 0.05 * torch.randn(2, 500, 12, generator=generator)
    validation[torch.rand(500, 12, generator=generator) < 0.1] = torch.nan
    return validation, test, torch.arange(12) % 3 == 1


@pytest.fixture
def distributed():
    """Dask's package for clusters; where there is none, the test is skipped, except in CI."""
    if importlib.util.find_spec("distributed") is None:
        message = "needs the package distributed; run `.venv/bin/pip install distributed`"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(message)
    return importlib.import_module("distributed")
