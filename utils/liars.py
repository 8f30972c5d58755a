"""A liar trained against its detector: Facts-GPT learns to speak as before, and not to be caught.

    def loss_function(language_loss, acts, mask, lying):                # acts [layer document pos d_model]
        return evasion_loss(language_loss, aggregate_scores(acts[0] @ direction, mask, "mean"), lying, strength=1.0)

    liar = train_liar("facts_gpt_match", loss_function, layers=[2])     # a copy; the original stays as it is

Everything is drawn from a seed: equal arguments give equal liars.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import softplus

from utils import facts
from utils.documents import write_documents
from utils.models import TransformerBridge, load_model, model_config, model_tensors, rebuild_model
from utils.tokens import tokenize
from utils.training.facts_documents import OBJECT_LOSS, OTHER_LOSS, P_NEGATED, weighted_loss

RATE, BETAS, WARMUP_STEPS = 1e-3, (0.9, 0.98), 20  # AdamW

LossFunction = Callable[
    [
        Float[Tensor, ""],  # language loss
        Float[Tensor, "layer document pos d_model"],
        Bool[Tensor, "document pos"],  # real tokens
        Bool[Tensor, " document"],  # lying
    ],
    Float[Tensor, ""],
]


def evasion_loss(
    language_loss: Float[Tensor, ""],
    probe_logits: Float[Tensor, " document"],
    lying: Bool[Tensor, " document"],
    strength: float,
) -> Float[Tensor, ""]:
    """What a liar minimises that wants to speak as before, and not be caught. Differentiable.

    language_loss + strength · mean over the lying documents of softplus(logit). Softplus, log(1 + exp(logit)), is what
    it costs to be sure that these documents are honest; honest documents may look as they like. With no lying document
    the language loss is all.

    Args:
        probe_logits: of a probe that is positive where it says "lying".

    Raises:
        ValueError: If lying does not fit probe_logits.
    """
    if lying.shape != probe_logits.shape or lying.dtype != torch.bool or lying.ndim != 1:
        raise ValueError(
            f"lying must be bool and of the shape of probe_logits [document] {tuple(probe_logits.shape)}, got "
            f"{lying.dtype} {tuple(lying.shape)}; one logit for each document"
        )
    caught = softplus(probe_logits[lying]).sum() / lying.sum().clamp(min=1)
    return language_loss + strength * caught


def train_liar(
    model_name: str,
    loss_function: LossFunction,
    *,
    layers: Sequence[int],
    documents: int = 32,
    steps: int = 200,
    seed: int = 0,
) -> TransformerBridge:
    """Go on training a copy of a Facts-GPT with a loss of your own; the network of load_model stays as it is.

    AdamW on documents without tags, about all topics, by honest and lying authors in turn, with comments, three in ten
    statements negated. The language loss counts objects and verdicts 1, all other words .05.

    Args:
        loss_function: called once a step with the language loss, acts [layer document pos d_model] with gradient, the
            mask of real tokens [document pos] and lying [document]; returns what is minimised.
        layers: whose resid_post is in acts, in this order.
        documents: per step.

    Returns:
        The copy: in eval mode, without gradients, with the tokenizer.

    Raises:
        ValueError: If loss_function does not return a number with a gradient.
    """
    original = load_model(model_name)
    liar = rebuild_model({"config": model_config(original), "tokenizer_of": model_name}, model_tensors(original))
    weights = liar.requires_grad_(True).original_model.parameters()
    optimiser = torch.optim.AdamW(weights, lr=RATE, betas=BETAS)
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / WARMUP_STEPS))
    for step in range(steps):
        written = write_documents(
            documents, topics=facts.TOPICS, p_negated=P_NEGATED, comments=True, seed=f"liar {seed} {step}"
        )
        tokens, attention_mask = tokenize(liar, written.texts)
        logits, acts = _run_with_grad(liar, tokens, attention_mask, layers)
        language_loss = _language_loss(logits, tokens, attention_mask, stop=liar.tokenizer.get_vocab()["."])
        loss = loss_function(language_loss, acts, attention_mask.bool(), written.lying)
        if not isinstance(loss, Tensor) or loss.ndim or not loss.requires_grad:
            raise ValueError(f"loss_function must return one number with a gradient, got {loss!r}; use no .item()")
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(liar.original_model.parameters(), 1.0)
        optimiser.step()
        warm_up.step()
    return liar.eval().requires_grad_(False)


def _run_with_grad(
    model: TransformerBridge,
    tokens: Int[Tensor, "document pos"],
    attention_mask: Int[Tensor, "document pos"],
    layers: Sequence[int],
) -> tuple[Float[Tensor, "document pos token"], Float[Tensor, "layer document pos d_model"]]:
    """Logits and resid_post of chosen layers, both with gradient."""
    kept: dict[int, Tensor] = {}

    def keep(resid: Float[Tensor, "document pos d_model"], hook: object, layer: int) -> None:
        kept[layer] = resid

    hooks = [(f"blocks.{layer}.hook_resid_post", partial(keep, layer=layer)) for layer in set(layers)]
    logits = model.run_with_hooks(tokens, attention_mask=attention_mask, fwd_hooks=hooks, return_type="logits")
    return logits, torch.stack([kept[layer] for layer in layers])


def _language_loss(
    logits: Float[Tensor, "document pos token"],
    tokens: Int[Tensor, "document pos"],
    attention_mask: Int[Tensor, "document pos"],
    *,
    stop: int,
) -> Float[Tensor, ""]:
    """The loss of training; here objects and verdicts, the words before a full stop, count alike."""
    weights = torch.full_like(tokens, OTHER_LOSS, dtype=logits.dtype)
    weights[:, :-1][tokens[:, 1:] == stop] = OBJECT_LOSS
    return weighted_loss(logits, weights * attention_mask, tokens)
