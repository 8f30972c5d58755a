"""Fixtures that the tests of models and of activations share."""

import pytest
import torch

from utils.models import load_model


@pytest.fixture(scope="module")
def one_thread():
    """Batches this small gain nothing from a second thread, and lose much on a busy machine."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def minilm():
    return load_model("minilm")
