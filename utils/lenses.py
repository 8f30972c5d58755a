"""What the parts of a model write and say: neurons against directions, any layer read as the last one, one patch.

    cosines = neuron_board_weights(model, 5, directions)                # [neuron square]
    logits = logit_lens(model, resid)                                   # of any layer
    probe = fit_tuned_lens(resid, final)                                # logit_lens(model, probe(resid)) says more
    logits = patch_resid(model, tokens, source, layer=4, pos=10)        # [batch token], after the last move

Only patch_resid changes what the model computes, and only while it runs.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cosine_similarity

from utils.activations import cache_resid_post
from utils.models import TransformerBridge
from utils.probes import LinearProbe, fit_ridge_probe
from utils.steering import run_with_edit


@torch.no_grad()
def neuron_board_weights(
    model: TransformerBridge, layer: int, directions: Float[Tensor, "square d_model"]
) -> Float[Tensor, "neuron square"]:
    """Return the cosine of what each neuron of a layer writes with each square's direction."""
    return cosine_similarity(model.blocks[layer].mlp.W_out[:, None], directions[None], dim=-1)


@torch.no_grad()
def logit_lens(
    model: TransformerBridge, resid: Float[Tensor, "*layer position d_model"]
) -> Float[Tensor, "*layer position token"]:
    """Read the stream of any layer as if it were the last: final LayerNorm, then the unembedding.

    nostalgebraist 2020, "interpreting GPT: the logit lens".
    """
    return model.unembed(model.ln_final(resid))


def fit_tuned_lens(
    resid: Float[Tensor, "position d_model"], final: Float[Tensor, "position d_model"], *, l2: float = 1.0
) -> LinearProbe:
    """Fit an affine map from the stream of a layer to that of the last one: identity plus a penalised update.

    After Belrose et al. 2023, arXiv:2303.08112, who minimise the divergence of the logits by gradient descent. Least
    squares on the stream has a closed form.

    Returns:
        Probe with weight [d_model d_model]; probe(resid) is what the last layer is expected to hold.
    """
    update = fit_ridge_probe(resid, final - resid, l2=l2)
    return LinearProbe(weight=update.weight + torch.eye(resid.shape[1], device=resid.device), bias=update.bias)


@torch.no_grad()
def patch_resid(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch token_pos"],
    source: Int[Tensor, "batch token_pos"],
    layer: int,
    pos: int,
) -> Float[Tensor, "batch token"]:
    """Run tokens with the stream after one block, at one position, taken from a run on source; logits at the end.

    Activation patching: Vig et al. 2020, arXiv:2004.12265; Meng et al. 2022, arXiv:2202.05262; how to measure it:
    Zhang & Nanda 2023, arXiv:2309.16042.

    Raises:
        ValueError: If tokens and source differ in shape.
    """
    if tokens.shape != source.shape:
        raise ValueError(f"source must be of the shape of tokens {tuple(tokens.shape)}, got {tuple(source.shape)}")
    given = cache_resid_post(model, source, torch.ones_like(source), [layer])[0, :, pos]  # [batch d_model]

    def put(resid: Float[Tensor, "batch token_pos d_model"]) -> Tensor:
        resid = resid.clone()
        resid[:, pos] = given
        return resid

    return run_with_edit(model, tokens, torch.ones_like(tokens), layer, put)[:, -1]
