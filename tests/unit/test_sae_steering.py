"""Latents to steer with: planted ones are found by activation, and by output as brute force finds them."""

import pytest
import torch
from torch.testing import assert_close

from utils.models import load_model
from utils.othello import MINE, YOURS
from utils.othello_edits import draw_edit_cases
from utils.othello_prefixes import cache_prefixes, continue_from
from utils.sae_steering import SquareLatents, latents_by_activation, latents_by_output
from utils.saes import SAE

pytestmark = pytest.mark.usefixtures("one_thread")
LAYER = 1


def test_planted_latents_are_found_with_their_colour_and_size():
    generator = torch.Generator().manual_seed(0)
    boards = torch.randint(3, (600, 4), generator=generator)
    boards[:, 3] = MINE  # never yours
    latents = 0.1 * torch.rand(600, 9, generator=generator)
    latents[:, 5] = 2.0 * (boards[:, 1] == MINE)
    latents[:, 7] = 3.0 * (boards[:, 1] == YOURS)
    groups = latents_by_activation(latents, boards, k=2)
    assert set(groups) == {0, 1, 2}
    mine, yours, mine_values, yours_values = groups[1]
    assert mine.tolist() == [5] and yours.tolist() == [7]
    assert_close(mine_values, torch.tensor([2.0]))
    assert_close(yours_values, torch.tensor([3.0]))
    assert len(torch.cat(latents_by_activation(latents, boards, k=6)[0][:2])) == 6


def test_by_output_the_latents_are_those_that_brute_force_finds():
    model = load_model("othello_gpt_6x6")
    cases = draw_edit_cases(400, 6, moves=(4, 20), seed=3)
    prefixes = cache_prefixes(model, cases.tokens, cases.pos)
    generator = torch.Generator().manual_seed(1)
    d_model, d_sae = model.cfg.d_model, 12
    rows = 3 * torch.randn(d_sae, d_model, generator=generator)
    sae = SAE("standard", rows.T / 100, torch.zeros(d_sae), rows, torch.zeros(d_model))
    square = int(cases.squares.mode().values)
    mine, yours = torch.full((7,), 2.0), torch.full((5,), 4.0)
    candidates = {square: SquareLatents(torch.arange(7), torch.arange(7, 12), mine, yours)}
    found = latents_by_output(model, sae, LAYER, candidates, cases, prefixes, 3, n_histories=100)[square]

    values, resid = torch.cat([mine, yours]), prefixes.resid[LAYER]
    latents = sae.encode(resid)
    clean = continue_from(model, prefixes, LAYER, resid).softmax(dim=-1)
    for to_mine, chosen, given in ((True, found.mine, found.mine_values), (False, found.yours, found.yours_values)):
        new, gone = cases.legal_after & ~cases.legal, cases.legal & ~cases.legal_after
        used = (cases.squares == square) & (cases.to_mine == to_mine) & new.any(dim=1) & gone.any(dim=1)
        effects = []
        for i in range(d_sae):
            edited = resid + (values[i] - latents[:, [i]]) * rows[i]
            gain = continue_from(model, prefixes, LAYER, edited).softmax(dim=-1) - clean
            effects.append(float(((gain * new).sum(dim=1) - (gain * gone).sum(dim=1))[used].sum()))
        assert used.any() and chosen.tolist() == torch.tensor(effects).topk(3).indices.tolist()
        assert torch.equal(given, values[chosen])
