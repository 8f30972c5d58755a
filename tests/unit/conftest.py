"""Fixtures that several of the tests here share."""

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
