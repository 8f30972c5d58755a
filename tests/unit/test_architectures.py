"""Whatever architecture TransformerBridge boots, activations are those of Hugging Face, also padded and rounded."""

from pathlib import Path

import pytest
import tokenizers
import torch
import transformers
from torch.testing import assert_close

from utils.activations import cache_pooled, cache_resid_post
from utils.at_scale import load_if_possible
from utils.tokens import tokenize

pytestmark = pytest.mark.usefixtures("one_thread")

N_LAYERS = 3
SHAPE = {"hidden_size": 16, "num_hidden_layers": N_LAYERS, "num_attention_heads": 4, "intermediate_size": 32}
GROUPED = {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 4}  # every second layer sees four positions
CONFIGS = {
    "BERT": transformers.BertConfig(**SHAPE),
    "GPT-2": transformers.GPT2Config(n_embd=16, n_layer=N_LAYERS, n_head=2),
    "Pythia": transformers.GPTNeoXConfig(**SHAPE),
    "Llama": transformers.LlamaConfig(num_key_value_heads=2, **SHAPE),
    "Gemma 2": transformers.Gemma2Config(**GROUPED, **SHAPE),
    "Gemma 3": transformers.Gemma3TextConfig(**GROUPED, **SHAPE),
    "Qwen 2.5": transformers.Qwen2Config(num_key_value_heads=2, **SHAPE),
}
TEXTS = ["red", "a rather longer name of a colour", "deep blue"]
LAYERS = ["embed", *range(N_LAYERS)]


@pytest.fixture(scope="module", params=CONFIGS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of one architecture, all weights random, and a tokenizer with a token to begin with, or without."""
    folder, config = tmp_path_factory.mktemp("model"), CONFIGS[request.param]
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(TEXTS, special_tokens=["<pad>", "<s>", "</s>"])
    special = {"pad_token": "<pad>", "eos_token": "</s>"}
    if request.param != "Qwen 2.5":
        special["bos_token"] = "<s>"
    transformers.PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, **special).save_pretrained(folder)
    config.update({"vocab_size": trained.get_vocab_size(), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2})
    kind = transformers.AutoModelForMaskedLM if request.param == "BERT" else transformers.AutoModelForCausalLM
    model, generator = kind.from_config(config), torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(float(parameter.ndim == 1), 0.3, generator=generator)
    model.save_pretrained(folder)
    return folder


def hugging_face(folder: Path, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What enters the first block and leaves each one, by hooks of PyTorch: hidden_states end after the final norm."""
    masked = "Bert" in (folder / "config.json").read_text()
    kind = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
    model = kind.from_pretrained(folder, attn_implementation="eager").eval()
    base = model.base_model
    blocks = base.encoder.layer if masked else base.h if hasattr(base, "h") else base.layers
    found = []
    blocks[0].register_forward_pre_hook(
        lambda module, args, kwargs: found.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    for block in blocks:
        block.register_forward_hook(lambda *call: found.append(call[2][0] if isinstance(call[2], tuple) else call[2]))
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)  # given, because some count the padding, too
    with torch.no_grad():
        model(tokens, attention_mask=mask, position_ids=positions)
    return torch.stack(found)


@pytest.mark.parametrize("left", [False, True], ids=["padded right", "padded left"])
def test_every_layer_equals_hugging_face(folder: Path, left: bool):
    model = load_if_possible(str(folder), device="cpu")
    lengths = torch.tensor([9, 5, 2])
    tokens = torch.randint(3, model.cfg.d_vocab, (3, 9), generator=torch.Generator().manual_seed(1))
    real = torch.arange(9) < lengths[:, None]
    real = real.flip(1) if left else real
    acts = cache_resid_post(model, tokens, real.long(), LAYERS)
    assert_close(acts[:, real], hugging_face(folder, tokens, real.long())[:, real], atol=1e-4, rtol=1e-4)
    for row in range(3):
        alone = tokens[row : row + 1, real[row]]
        expected = cache_resid_post(model, alone, torch.ones_like(alone), LAYERS)[:, 0]
        assert_close(acts[:, row, real[row]], expected, atol=1e-4, rtol=1e-4)


def test_pooled_are_the_word_pieces_and_nothing_else(folder: Path):
    """Also a text of one piece: what a tokenizer puts around it is left out, and not a piece more."""
    model = load_if_possible(str(folder), device="cpu")
    pooled = cache_pooled(model, TEXTS, LAYERS)
    for index, text in enumerate(TEXTS):
        tokens, mask = tokenize(model, [text])
        pieces = [i for i, token in enumerate(tokens[0].tolist()) if token > 2]
        assert tokens.shape[1] == len(pieces) + ("bos_token" in (folder / "tokenizer_config.json").read_text())
        expected = cache_resid_post(model, tokens, mask, LAYERS)[:, 0, pieces].mean(dim=1)
        assert_close(pooled[:, index], expected, atol=1e-4, rtol=1e-4)


def test_half_precision_is_near(folder: Path):
    exact = cache_pooled(load_if_possible(str(folder), device="cpu"), TEXTS, LAYERS)
    model = load_if_possible(str(folder), device="cpu", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    rounded = cache_pooled(model, TEXTS, LAYERS)
    assert rounded.dtype == torch.float32 and not torch.equal(rounded, exact)
    assert (rounded - exact).norm() < 0.05 * exact.norm()  # 3 significant digits, three layers
