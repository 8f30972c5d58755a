"""What sparse autoencoders and probes are used for: steering, finding wrong labels, finding an unknown difference.

    steered = sae_edit(resid, latents, sae.W_dec, off, on, values)      # the SAE's error stays in the stream
    effects = output_effects(logits_clean, logits_steered, wanted, unwanted)
    suspicion = find_mislabelled(acts, labels)                         # acts or latents; read the highest first
    ranking = rank_latents(latents_first, latents_second)              # two piles of texts, and no labels

All of them take and return numbers: whoever runs the network calls them in between.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import softplus

from utils.probes import fit_logistic_regression_probe
from utils.splits import split_folds

# Steering


def sae_edit(
    resid: Float[Tensor, "batch d_model"],
    latents: Float[Tensor, "batch latent"],
    W_dec: Float[Tensor, "latent d_model"],
    off: Int[Tensor, " n_off"],
    on: Int[Tensor, " n_on"],
    values: Float[Tensor, " n_on"],
) -> Float[Tensor, "batch d_model"]:
    """Set some latents to 0 and others to given values, and add the change of the reconstruction to the stream.

    What the SAE does not explain, its error, stays in the stream: an edit of no latent returns resid. (Replacing the
    stream by the edited reconstruction would add the effect of losing the error to that of the edit.)

    Args:
        resid: in model units, where the SAE was trained.
        latents: those of resid, 0 or above.
        W_dec: a direction for each latent, as long as it is; b_dec is in both reconstructions and falls out.
        off: indices of latents that become 0.
        on: indices of latents that become values, whatever they were, in all rows; a latent in both is on.

    Returns:
        A new tensor.

    Raises:
        ValueError: If the shapes do not fit, or an index is not one of a latent.
    """
    if latents.ndim != 2 or resid.shape != (len(latents), *W_dec.shape[1:]) or W_dec.shape[:1] != latents.shape[1:]:
        raise ValueError(
            f"resid must be [batch d_model], latents [batch latent] and W_dec [latent d_model], got "
            f"{tuple(resid.shape)}, {tuple(latents.shape)} and {tuple(W_dec.shape)}; use sae.encode(resid), sae.W_dec"
        )
    if off.ndim != 1 or on.ndim != 1 or values.shape != on.shape:
        raise ValueError(
            f"off must be [n_off], on and values [n_on], got {tuple(off.shape)}, {tuple(on.shape)} and "
            f"{tuple(values.shape)}; one value for each latent in on, the same for all rows"
        )
    touched = torch.cat([off, on])
    if len(touched) and not 0 <= int(touched.min()) <= int(touched.max()) < len(W_dec):
        raise ValueError(
            f"off and on must be indices in 0..{len(W_dec) - 1}, got {int(touched.min())}..{int(touched.max())}; they "
            "count latents, not rows"
        )
    edited = latents.clone()
    edited[:, off] = 0
    edited[:, on] = values.to(latents.dtype)
    return resid + (edited - latents) @ W_dec


def output_effects(
    logits_clean: Float[Tensor, " token"],
    logits_steered: Float[Tensor, "latent token"],
    wanted: Bool[Tensor, " token"],
    unwanted: Bool[Tensor, " token"],
) -> Float[Tensor, " latent"]:
    """Score each latent by its output: probability gained by the wanted tokens minus that gained by the unwanted.

    Arad et al. 2025, arXiv:2505.20063, choose latents for steering by what they do to the output, and not by what
    makes them active. Their score is another one; this one is about tokens that you name.

    Args:
        logits_clean: next-token logits without steering.
        logits_steered: with each latent steered alone, a row each.
        wanted, unwanted: tokens whose total probability should grow, and shrink; a token in both counts for neither.

    Returns:
        From -2 to 2; 0 where steering changes nothing.

    Raises:
        ValueError: If the shapes do not fit, or no token is wanted or unwanted.
    """
    if logits_steered.ndim != 2 or logits_clean.shape != logits_steered.shape[1:]:
        raise ValueError(
            f"logits_clean must be [token] and logits_steered [latent token], got {tuple(logits_clean.shape)} and "
            f"{tuple(logits_steered.shape)}; take the logits at one position"
        )
    for name, marked in (("wanted", wanted), ("unwanted", unwanted)):
        if marked.shape != logits_clean.shape or marked.dtype != torch.bool or not marked.any():
            raise ValueError(
                f"{name} must be bool [token] {tuple(logits_clean.shape)} with a True or more, got {marked.dtype} "
                f"{tuple(marked.shape)} with {int(marked.sum())}; mark the tokens to count"
            )
    gain = logits_steered.softmax(dim=1) - logits_clean.softmax(dim=0)  # [latent token]
    return gain @ (wanted.to(gain.dtype) - unwanted.to(gain.dtype))


# Labels


def find_mislabelled(
    acts: Float[Tensor, "example dim"],
    labels: Bool[Tensor, " example"],
    n_folds: int = 5,
    seed: int = 0,
    *,
    l2: float = 0.1,
) -> Float[Tensor, " example"]:
    """How suspicious each label is: its log-loss under a probe that was fitted on the other folds.

    For activations and for latents alike. A label's own probe must not have seen it: with more dimensions than
    examples, a probe learns wrong labels by heart. Folds are dealt by lot, without regard to labels and groups.

    Args:
        n_folds: more of them leave more examples to fit, and take longer.
        seed: another seed deals other folds.
        l2: as for fit_logistic_regression_probe.

    Returns:
        0 or above, in nats; a guess costs log 2 = 0.69.

    Raises:
        ValueError: If the shapes do not fit, there are fewer examples than folds, or the training part of a fold has
            one class only.
    """
    if acts.ndim != 2 or labels.shape != acts.shape[:1] or labels.dtype != torch.bool:
        raise ValueError(
            f"acts must be [example dim] and labels bool [example], got {tuple(acts.shape)} and {labels.dtype} "
            f"{tuple(labels.shape)}; take one layer, and a single label for each example"
        )
    logits = acts.new_zeros(len(acts))
    for train, test in split_folds(torch.arange(len(acts)), n_folds=n_folds, seed=seed):
        logits[test] = fit_logistic_regression_probe(acts[train], labels[train], l2=l2)(acts[test])
    return softplus(torch.where(labels, -logits, logits))


def inject_label_noise(labels: Bool[Tensor, " example"], share: float, seed: int = 0) -> Bool[Tensor, " example"]:
    """Flip the same share of labels in both classes, round(share * n_class) of each, at places drawn by lot.

    So the number of wrong labels is exact, and balanced labels stay balanced.

    Args:
        share: from 0 to 1.
        seed: another seed flips others; torch's global random state is left alone.

    Returns:
        A new tensor.

    Raises:
        ValueError: If labels are not bool [example], or share is not from 0 to 1.
    """
    if labels.ndim != 1 or labels.dtype != torch.bool:
        raise ValueError(
            f"labels must be bool [example], got {labels.dtype} {tuple(labels.shape)}; use labels > 0 or labels.bool()"
        )
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, got {share}; 0.1 flips one label in ten")
    generator, flip = torch.Generator().manual_seed(seed), torch.zeros_like(labels)
    for members in (labels.nonzero()[:, 0], (~labels).nonzero()[:, 0]):
        order = torch.randperm(len(members), generator=generator)
        flip[members[order[: round(share * len(members))]]] = True
    return labels ^ flip


# No labels


def rank_latents(
    latents_first: Float[Tensor, "text latent"],
    latents_second: Float[Tensor, "text latent"],
    min_share: float = 0.01,
) -> Int[Tensor, " latent"]:
    """Rank latents by how differently often they are on in two piles of texts, the largest difference first.

    A blind search: read the texts of the first few latents to learn what tells the piles apart. With many latents some
    differ by chance; compare with piles that were shuffled.

    Args:
        latents_first, latents_second: one vector for each text, such as the maximum over its tokens; on is above 0.
        min_share: latents that are on in a smaller share of all texts, both piles together, come last.

    Returns:
        All indices of latents; among equals, and among the rare ones, in ascending order.

    Raises:
        ValueError: If the shapes do not fit, or a pile is empty.
    """
    piles = latents_first, latents_second
    if any(pile.ndim != 2 or not len(pile) for pile in piles) or latents_first.shape[1] != latents_second.shape[1]:
        raise ValueError(
            f"latents_first and latents_second must be [text latent], of one SAE and a text or more, got "
            f"{tuple(latents_first.shape)} and {tuple(latents_second.shape)}; pool over tokens first"
        )
    n_first, n_second = ((pile > 0).sum(dim=0).double() for pile in piles)  # [latent]
    difference = (n_first / len(latents_first) - n_second / len(latents_second)).abs()
    share = (n_first + n_second) / (len(latents_first) + len(latents_second))
    return difference.masked_fill(share < min_share, -1).argsort(descending=True, stable=True)
