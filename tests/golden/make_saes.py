"""Write the golden SAEs with SAELens itself: what utils.saes must load, and what it must compute.

    python -m venv .venv-saelens && .venv-saelens/bin/pip install sae-lens==6.54.12 torch==2.13.0
    .venv-saelens/bin/python tests/golden/make_saes.py

SAELens needs TransformerLens < 4, so it has an environment of its own and is no dependency of the course.
"""

from pathlib import Path

import torch
from sae_lens import (
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    JumpReLUSAE,
    JumpReLUSAEConfig,
    StandardSAE,
    StandardSAEConfig,
    TopKSAE,
    TopKSAEConfig,
)
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
D_IN, D_SAE, K = 6, 20, 4


def main() -> None:
    """One folder for each architecture: cfg.json, sae_weights.safetensors, and expected.safetensors."""
    generator = torch.Generator().manual_seed(0)
    shape = {"d_in": D_IN, "d_sae": D_SAE}
    saes = {
        "standard": StandardSAE(StandardSAEConfig(**shape, apply_b_dec_to_input=False)),
        "topk": TopKSAE(TopKSAEConfig(**shape, k=K)),
        "jumprelu": JumpReLUSAE(JumpReLUSAEConfig(**shape)),
        "batchtopk": BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**shape, k=K)),  # is saved as a JumpReLU
    }
    acts = torch.randn(10, D_IN, generator=generator)
    for name, sae in saes.items():
        for weight in sae.parameters():
            weight.data = 0.5 * torch.randn(weight.shape, generator=generator)
        if name == "jumprelu":
            sae.threshold.data = sae.threshold.data.abs() + 0.2
        if name == "batchtopk":
            sae.topk_threshold = torch.tensor(0.4, dtype=sae.topk_threshold.dtype)
            sae.save_inference_model(str(HERE / name))
            sae = JumpReLUSAE.load_from_disk(HERE / name)
        else:
            sae.save_model(HERE / name)
        latents = sae.encode(acts).detach()
        latents = latents.to_dense() if latents.is_sparse else latents
        expected = {"acts": acts, "latents": latents, "reconstruction": sae.decode(latents).detach()}
        save_file(expected, HERE / name / "expected.safetensors")
        print(name, sae.cfg.to_dict())


if __name__ == "__main__":
    main()
