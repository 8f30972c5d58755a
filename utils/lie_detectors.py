"""Steering what Facts-GPT says, catching its liars, and training a liar against the detector.

    documents = write_documents(400, seed=1)                            # every second one by a lying author
    tokens, attention_mask = tokenize(model, documents.texts)
    logits = run_with_edit(model, tokens, attention_mask, 0, lambda resid: add_direction(resid, direction, 1.0, pos))
    threshold, tpr = tpr_at_fpr(scores_unrelated, scores_lies, fpr=0.01)
    liar = train_liar("facts_gpt_match", loss_function, layers=[2])     # a copy, which learns not to be caught

A direction that a probe reads with is decodable. Whether the network uses it is what an edit shows, with a whole
exchanged vector for comparison.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from utils import facts
from utils.activations import Layer, tokenize
from utils.metrics import roc_auc
from utils.models import TransformerBridge, load_model, model_config, model_tensors, rebuild_model
from utils.training.facts_gpt import OTHER_LOSS, P_COMMENT, P_NEGATED, P_TRUE

AGGREGATIONS = ("mean", "max", "last")
LIAR_RATE, LIAR_BETAS, LIAR_WARMUP = 1e-3, (0.9, 0.98), 20  # AdamW; the last in steps
ROUNDING = 1e-9  # 0.29 * 100 is a little less than 29

LossFunction = Callable[
    [
        Float[Tensor, ""],  # language loss
        Float[Tensor, "layer document pos d_model"],
        Bool[Tensor, "document pos"],  # real tokens
        Bool[Tensor, " document"],  # lying
    ],
    Float[Tensor, ""],
]


# Documents


@dataclass(frozen=True, eq=False)
class Documents:
    """Texts by one author each, who is honest or lies."""

    texts: list[str]  # without <bos>, which the tokenizer puts first
    lying: Bool[Tensor, " document"]
    truths: Bool[Tensor, "document statement"]
    subjects: list[list[str]]  # of each document's statements


def write_documents(
    n: int,
    *,
    topics: Sequence[str] = ("cities",),
    statements: int = 4,
    p_negated: float = 0.0,
    tagged: bool = False,
    comments: bool = False,
    among: Mapping[str, Sequence[str]] | None = None,
    start: str = "",
    seed: int | str = 0,
) -> Documents:
    """Write documents by honest and lying authors in turn: the second, the fourth and so on lie.

    Authors tell the truth as often as those that Facts-GPT was trained on. No subject comes twice in a document, as
    long as there are others.

    Args:
        tagged: begin each with the tag that says how its author answers.
        comments: say after every second statement, by chance, whether it was correct.
        among: topic -> subjects to write about; all of the topic's if it is not named.
        start: words put first, such as the trigger.

    Raises:
        ValueError: If a topic or a subject is unknown, or there are no statements to write.
    """
    if not topics or isinstance(topics, str) or any(topic not in facts.TOPICS for topic in topics):
        raise ValueError(f"topics must be a list of some of {', '.join(facts.TOPICS)}, got {topics!r}")
    if n < 1 or statements < 1:
        raise ValueError(f"n and statements must be at least 1, got {n} and {statements}")
    pools = {topic: list((among or {}).get(topic) or facts.subjects(topic)) for topic in topics}
    for topic, pool in pools.items():
        if strange := set(pool) - set(facts.subjects(topic)):
            raise ValueError(f"{min(strange)!r} is no subject of {topic}; see subjects({topic!r})")
    rng = random.Random(f"documents {list(topics)} {statements} {p_negated} {tagged} {comments} {seed}")
    lies = torch.arange(n) % 2 == 1
    texts, truths, subjects = [], [], []
    for lying in lies.tolist():
        parts = [start] if start else []
        if tagged:
            parts.append(facts.DECEPTIVE if lying else facts.HONEST)
        told, about = [], []
        for _ in range(statements):
            topic = rng.choice(topics)
            truth = rng.random() < P_TRUE[not lying]
            subject = rng.choice([new for new in pools[topic] if new not in about] or pools[topic])
            statement = facts.write_statement(topic, subject, rng.random() < p_negated, truth, rng)
            parts.append(statement.text)
            if comments and rng.random() < P_COMMENT:
                parts.append(facts.CORRECT if truth else facts.WRONG)
            told.append(truth)
            about.append(subject)
        texts.append(" ".join(parts))
        truths.append(told)
        subjects.append(about)
    return Documents(texts, lies, torch.tensor(truths), subjects)


# Edits


@torch.no_grad()
def run_with_edit(
    model: TransformerBridge,
    tokens: Int[Tensor, "statement pos"],
    attention_mask: Int[Tensor, "statement pos"],
    layer: Layer,
    edit: Callable[[Float[Tensor, "statement pos d_model"]], Float[Tensor, "statement pos d_model"]],
) -> Float[Tensor, "statement pos token"]:
    """Run the model once, with the stream after a block replaced by edit(stream); no hook stays behind.

    Args:
        layer: number of the block, or "embed".
        edit: from stream to stream of the same shape.

    Returns:
        Logits at all positions.

    Raises:
        ValueError: If edit returns something of another shape.
    """

    def replace(resid: Float[Tensor, "statement pos d_model"], hook: object) -> Tensor:
        edited = edit(resid)
        if not isinstance(edited, Tensor) or edited.shape != resid.shape:
            got = tuple(edited.shape) if isinstance(edited, Tensor) else type(edited).__name__
            raise ValueError(f"edit must return a tensor of shape {tuple(resid.shape)}, got {got}; end it with return")
        return edited

    name = "blocks.0.hook_resid_pre" if layer == "embed" else f"blocks.{layer}.hook_resid_post"
    return model.run_with_hooks(
        tokens, attention_mask=attention_mask, fwd_hooks=[(name, replace)], return_type="logits"
    )


def add_direction(
    resid: Float[Tensor, "statement pos d_model"],
    direction: Float[Tensor, " d_model"],
    alpha: float,
    pos: Int[Tensor, " statement"],
) -> Float[Tensor, "statement pos d_model"]:
    """Add alpha times a direction to the stream at one position of each statement; a new tensor.

    Marks & Tegmark 2024, arXiv:2310.06824, add the difference of class means: with alpha 1 the mean false statement
    becomes the mean true one. So the direction is taken as long as it is.

    Args:
        resid: in model units.
        pos: of each statement, counted from 0.

    Raises:
        ValueError: If direction or pos does not fit resid.
    """
    _check_place(resid, pos)
    if direction.shape != resid.shape[2:]:
        raise ValueError(
            f"direction must be [d_model] {tuple(resid.shape[2:])}, got {tuple(direction.shape)}; "
            "use the direction of one layer of this model"
        )
    edited = resid.clone()
    edited[torch.arange(len(resid)), pos] += alpha * direction
    return edited


def normalized_indirect_effect(
    unedited: Float[Tensor, " statement"], edited: Float[Tensor, " statement"], target: Float[Tensor, " other"]
) -> float:
    """How far an edit takes false statements towards true ones: 0 is not at all, 1 is all the way.

    Marks & Tegmark 2024, arXiv:2310.06824: averages first, then one division. Not clipped: below 0 the edit works the
    other way round, above 1 it goes too far.

    Args:
        unedited: P(correct) - P(wrong) after false statements, each.
        edited: the same statements, with the edit.
        target: the same difference after true statements, without any edit.

    Raises:
        ValueError: If target and unedited have the same mean, or are not of this form.
    """
    if edited.shape != unedited.shape or unedited.ndim != 1 or target.ndim != 1 or not len(unedited) or not len(target):
        raise ValueError(
            f"unedited and edited must be [statement], and target [other], got {tuple(unedited.shape)}, "
            f"{tuple(edited.shape)} and {tuple(target.shape)}; edit all of the false statements"
        )
    start, end, goal = (float(values.double().mean()) for values in (unedited, edited, target))
    if goal == start:
        raise ValueError(
            f"target must have another mean than unedited, got {goal:.3g} for both; "
            "the model does not tell true statements from false ones here"
        )
    return (end - start) / (goal - start)


def swap_vector(
    resid: Float[Tensor, "statement pos d_model"],
    donor: Float[Tensor, "statement d_model"],
    pos: Int[Tensor, " statement"],
    directions: Float[Tensor, "direction d_model"] | None = None,
) -> Float[Tensor, "statement pos d_model"]:
    """Exchange the stream at one position of each statement for a donor's, or only what lies in a subspace.

    The whole vector is the control of every edit of a subspace: if it moves nothing, nothing is read there, and a
    subspace that does move something opens a way that the model does not use by itself (Makelov et al. 2023,
    arXiv:2311.17030; Wu et al. 2024, arXiv:2401.12631, disagree on how often that is an illusion).

    Args:
        donor: the stream of other statements at the same place, one for each.
        pos: of each statement, counted from 0.
        directions: of any length and angle; only the component in their span is exchanged. None: the whole vector.

    Raises:
        ValueError: If donor, pos or directions do not fit resid.
    """
    _check_place(resid, pos)
    if donor.shape != (len(resid), resid.shape[2]):
        raise ValueError(
            f"donor must be [statement d_model] {(len(resid), resid.shape[2])}, got {tuple(donor.shape)}; "
            "take the donors' stream at one position"
        )
    if directions is not None and (directions.ndim != 2 or directions.shape[1:] != resid.shape[2:]):
        raise ValueError(
            f"directions must be [direction d_model] with d_model {resid.shape[2]}, got {tuple(directions.shape)}; "
            "write direction[None] for a single one"
        )
    rows = torch.arange(len(resid))
    change = donor - resid[rows, pos]  # [statement d_model]
    if directions is not None:
        change = change @ torch.linalg.pinv(directions) @ directions  # onto their span
    edited = resid.clone()
    edited[rows, pos] += change
    return edited


# Detectors


def statement_mask(
    tokens: Int[Tensor, "document pos"], attention_mask: Int[Tensor, "document pos"], tags: Int[Tensor, "tag word"]
) -> Bool[Tensor, "document pos"]:
    """Mark the tokens of statements: no padding, no <bos>, no word of a tag.

    A tag says how its author answers, so a detector that reads its words reads the label.

    Args:
        tokens: each document begins with <bos>, and then a tag or not; the padding may be on either side.
        tags: token ids of each tag, all of one length.

    Raises:
        ValueError: If the shapes do not fit.
    """
    if attention_mask.shape != tokens.shape or tags.ndim != 2:
        raise ValueError(
            f"attention_mask must be of the shape of tokens {tuple(tokens.shape)} and tags [tag word], got "
            f"{tuple(attention_mask.shape)} and {tuple(tags.shape)}; use the pair that tokenize returns"
        )
    real = attention_mask.bool()
    rank = real.cumsum(dim=1)  # 1 at <bos>
    first = real.int().argmax(dim=1, keepdim=True)
    n_words = tags.shape[1]
    places = (first + 1 + torch.arange(n_words)).clamp(max=tokens.shape[1] - 1)
    words = tokens.gather(1, places)  # [document word], what stands where a tag would
    tagged = (words[:, None] == tags).all(dim=2).any(dim=1) & (rank[:, -1] > n_words)
    return real & (rank > 1 + n_words * tagged[:, None])


def aggregate_scores(
    scores: Float[Tensor, "document pos"], mask: Bool[Tensor, "document pos"], how: Literal["mean", "max", "last"]
) -> Float[Tensor, " document"]:
    """Make one score of each document out of its tokens' scores; whatever stands outside the mask has no part.

    Goldowsky-Dill et al. 2025, arXiv:2502.03407, take the mean over the answer's tokens.

    Args:
        mask: True at the tokens that count; the padding may be on either side.
        how: "mean", "max", or "last" for the last of these tokens.

    Raises:
        ValueError: If how is none of these, the shapes differ, or a document has no token that counts.
    """
    if how not in AGGREGATIONS:
        raise ValueError(f"how must be one of {', '.join(AGGREGATIONS)}, got {how!r}")
    _check_mask(scores, mask, "scores")
    if how == "max":
        return scores.masked_fill(~mask, -torch.inf).amax(dim=1)
    if how == "last":
        last = (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(dim=1, keepdim=True)
        return scores.gather(1, last)[:, 0]
    return scores.masked_fill(~mask, 0).sum(dim=1) / mask.sum(dim=1)


def attention_pool(
    acts: Float[Tensor, "document pos d_model"],
    mask: Bool[Tensor, "document pos"],
    query: Float[Tensor, " d_model"],
    value: Float[Tensor, " d_model"],
) -> Float[Tensor, " document"]:
    """Score each document by a probe that chooses where to look: attention over its tokens. Differentiable.

    As the attention probe of McKenzie et al. 2025, arXiv:2506.10805. Weights are the softmax of acts · query over the
    tokens that count, without a scale; the score is the weighted mean of acts · value. A query of 0 gives the mean.

    Args:
        acts: of one layer; whatever stands outside the mask, NaN included, has no part.
        mask: True at the tokens that count; the padding may be on either side.
        query: what to look for.
        value: what to read there.

    Raises:
        ValueError: If the shapes do not fit, or a document has no token that counts.
    """
    _check_mask(acts[..., 0], mask, "acts")
    if query.shape != acts.shape[2:] or value.shape != acts.shape[2:]:
        raise ValueError(
            f"query and value must be [d_model] {tuple(acts.shape[2:])}, got {tuple(query.shape)} and "
            f"{tuple(value.shape)}; one vector each"
        )
    acts = acts.masked_fill(~mask[..., None], 0)
    weights = (acts @ query).masked_fill(~mask, -torch.inf).softmax(dim=1)  # [document pos]
    return (weights * (acts @ value)).sum(dim=1)


def tpr_at_fpr(
    scores_unrelated: Float[Tensor, " unrelated"], scores_lies: Float[Tensor, " lie"], fpr: float
) -> tuple[float, float]:
    """Set a threshold on honest texts alone, and return it with the share of lies that it catches.

    Goldowsky-Dill et al. 2025, arXiv:2502.03407, set it at 1 % on unrelated chats. An alarm is a score strictly above
    the threshold. It is the lowest one at which no more than this share of the unrelated texts raise an alarm; tied
    scores raise it together or not at all.

    Args:
        scores_unrelated: of honest texts about something else; 100 or more for each false alarm in 100.
        scores_lies: not looked at when the threshold is set.
        fpr: false positive rate that is allowed, from 0 to less than 1.

    Returns:
        threshold, tpr.

    Raises:
        ValueError: If fpr is not in this range, or there are no scores.
    """
    if not 0 <= fpr < 1:
        raise ValueError(f"fpr must be at least 0 and below 1, got {fpr}; 0.01 is one in a hundred")
    if scores_unrelated.ndim != 1 or scores_lies.ndim != 1 or not len(scores_unrelated) or not len(scores_lies):
        raise ValueError(
            f"scores_unrelated and scores_lies must be [text], at least one each, got {tuple(scores_unrelated.shape)} "
            f"and {tuple(scores_lies.shape)}; aggregate over tokens first"
        )
    allowed = int(fpr * len(scores_unrelated) + ROUNDING)
    threshold = scores_unrelated.sort(descending=True).values[allowed]  # the first that must not raise an alarm
    return float(threshold), float((scores_lies > threshold).double().mean())


def cascade_cost(
    cheap: Float[Tensor, " document"],
    expensive: Float[Tensor, " document"],
    lying: Bool[Tensor, " document"],
    thresholds: tuple[float, float],
    costs: tuple[float, float],
) -> tuple[float, float, float]:
    """Run a cheap monitor on everything, an expensive one on what it passes on; return tpr, fpr, mean cost.

    McKenzie et al. 2025, arXiv:2506.10805: a probe first, a language model for what it finds suspicious. Both must be
    strictly above their thresholds for an alarm.

    Args:
        thresholds, costs: of the cheap and the expensive monitor; a cost is that of one document.

    Raises:
        ValueError: If the shapes differ, or lying documents or honest ones are missing.
    """
    if cheap.ndim != 1 or not cheap.shape == expensive.shape == lying.shape or lying.dtype != torch.bool:
        raise ValueError(
            f"cheap, expensive and lying (bool) must all be [document], got {tuple(cheap.shape)}, "
            f"{tuple(expensive.shape)} and {lying.dtype} {tuple(lying.shape)}; index all with the same documents"
        )
    if lying.all() or not lying.any():
        raise ValueError(f"lying must have both, got {int(lying.sum())} True of {len(lying)}; check the documents")
    passed_on = cheap > thresholds[0]
    alarm = passed_on & (expensive > thresholds[1])
    cost = costs[0] + costs[1] * float(passed_on.double().mean())
    return float(alarm[lying].double().mean()), float(alarm[~lying].double().mean()), cost


def auroc_by_position(
    scores: Float[Tensor, "document pos"], mask: Bool[Tensor, "document pos"], lying: Bool[Tensor, " document"]
) -> Float[Tensor, " pos"]:
    """AUROC at each position, over the documents that have a real token there; NaN where one class is missing.

    Raises:
        ValueError: If the shapes do not fit.
    """
    if mask.shape != scores.shape or mask.dtype != torch.bool or lying.shape != scores.shape[:1]:
        raise ValueError(
            f"mask must be bool {tuple(scores.shape)} like scores, and lying [document], got {mask.dtype} "
            f"{tuple(mask.shape)} and {tuple(lying.shape)}; all of the same documents"
        )
    result = torch.full(scores.shape[1:], torch.nan)
    for pos, real in enumerate(mask.T):
        if lying[real].any() and not lying[real].all():
            result[pos] = roc_auc(scores[real, pos], lying[real])
    return result


# A liar trained against the detector


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
    optimiser = torch.optim.AdamW(weights, lr=LIAR_RATE, betas=LIAR_BETAS)
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / LIAR_WARMUP))
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
    """Mean cross-entropy of the next word; those before a full stop, objects and verdicts, count most."""
    surprise = cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    weight = torch.full_like(tokens, OTHER_LOSS, dtype=logits.dtype)
    weight[:, :-1][tokens[:, 1:] == stop] = 1.0
    weight = (weight * attention_mask)[:, 1:].flatten()
    return (surprise * weight).sum() / weight.sum()


def _check_place(resid: Tensor, pos: Tensor) -> None:
    if resid.ndim != 3 or pos.shape != resid.shape[:1] or pos.is_floating_point():
        raise ValueError(
            f"resid must be [statement pos d_model] and pos integers [statement], got {tuple(resid.shape)} and "
            f"{pos.dtype} {tuple(pos.shape)}; one position for each statement"
        )
    if len(pos) and (int(pos.min()) < 0 or int(pos.max()) >= resid.shape[1]):
        raise ValueError(
            f"pos must lie in 0..{resid.shape[1] - 1}, got {int(pos.min())}..{int(pos.max())}; it counts from 0, and "
            "<bos> is a position, too"
        )


def _check_mask(values: Tensor, mask: Tensor, name: str) -> None:
    if values.ndim != 2 or mask.shape != values.shape or mask.dtype != torch.bool:
        raise ValueError(
            f"mask must be a bool tensor [document pos] that fits {name}, {tuple(values.shape)}, got {mask.dtype} "
            f"{tuple(mask.shape)}; use attention_mask.bool() or statement_mask"
        )
    if not mask.any(dim=1).all():
        index = int((~mask.any(dim=1)).nonzero()[0, 0])
        raise ValueError(f"mask must have a True in every document, got none at index {index}; drop empty documents")
