"""Muon for the matrices of a GPT-2's blocks, AdamW for the rest, bf16 where it is fast, and one file to go on from.

GPT-2 stores query, key and value as one fused matrix; Muon gets the three parts, as views, because it makes every
matrix it is given orthogonal (torch.optim.Muon, torch >= 2.9).
"""

import copy
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

CHECKPOINTS = Path.home() / ".cache" / "probing_course" / "training"
CHECKPOINT_SECONDS = 300


class Schedule(Protocol):
    """A dataclass that says how the learning rate goes."""

    def factor(self, step: int, tokens: int) -> float:
        """What the rates are multiplied with."""


class MuonTrainer:
    """Weights, optimisers and counters of one run, and their one file, if it has one.

    Minutes are counted from the making of the trainer to its last step, batches and evaluations in between included.

    Args:
        settings: a dataclass; a file goes on only under equal settings.
        file: read if it is there.
        rates: of Muon and of AdamW.
    """

    def __init__(
        self,
        model: GPT2LMHeadModel,
        settings: object,
        schedule: Schedule,
        file: Path | None = None,
        *,
        rates: tuple[float, float],
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        self.settings, self.schedule, self.file = settings, schedule, file
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bf16 = self.device.type == "cuda" or _capabilities().get("avx512_bf16", False)  # elsewhere fp32 is faster
        self.model = model.to(self.device)
        self.forward = self.model  # or torch.compile of it
        self.parts = [part for block in self.model.transformer.h for part in _matrices(block)]
        self.views = [nn.Parameter(weight.detach()[:, columns].T) for weight, columns in self.parts]  # [out in] each
        rest = [weight for weight in self.model.parameters() if all(weight is not part for part, _ in self.parts)]
        muon = torch.optim.Muon(self.views, lr=rates[0], momentum=0.95, weight_decay=weight_decay)
        adamw = torch.optim.AdamW(rest, lr=rates[1], betas=betas, weight_decay=weight_decay)
        self.optimisers = {"muon": (muon, rates[0]), "adamw": (adamw, rates[1])}
        self.counters = {"step": 0, "tokens": 0, "minutes": 0.0, "cpu_minutes": 0.0}
        self.clock = time.monotonic(), time.process_time()  # at the end of the last step
        if self.file and self.file.exists():
            self._load()

    def train_step(
        self, tokens: Int[Tensor, "batch pos"], target: Tensor, loss_function: Callable[[Tensor, Tensor], Tensor]
    ) -> float:
        """Take one step; return its loss, measured before the step.

        Args:
            loss_function: of logits [batch pos token] and target.
        """
        tokens, target = tokens.to(self.device), target.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.forward(tokens).logits
        loss = loss_function(logits, target)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for view, (weight, columns) in zip(self.views, self.parts, strict=True):
            view.grad = weight.grad[:, columns].T
        factor = self.schedule.factor(self.counters["step"], self.counters["tokens"])
        for optimiser, rate in self.optimisers.values():
            optimiser.param_groups[0]["lr"] = rate * factor
            optimiser.step()
        self.model.zero_grad()
        self.counters["step"] += 1
        self.counters["tokens"] += int((tokens != 0).sum())
        before, self.clock = self.clock, (time.monotonic(), time.process_time())
        self.counters["minutes"] += (self.clock[0] - before[0]) / 60
        self.counters["cpu_minutes"] += (self.clock[1] - before[1]) / 60
        return loss.item()

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "settings": asdict(self.settings),
            "schedule": asdict(self.schedule),
            "counters": self.counters,
            "model": self.model.state_dict(),
            **{name: optimiser.state_dict() for name, (optimiser, _) in self.optimisers.items()},
        }
        write_checkpoint(state, self.file)

    def _load(self) -> None:
        state = torch.load(self.file, map_location=self.device, weights_only=True)
        if state["settings"] != asdict(self.settings):
            raise ValueError(
                f"settings must be those of {self.file}, {state['settings']}, got {asdict(self.settings)}; "
                "repeat its options, or choose another --name"
            )
        self.model.load_state_dict(state["model"])  # copies into the same memory, so that Muon's views stay views
        for name, (optimiser, _) in self.optimisers.items():
            optimiser.load_state_dict(state[name])
        self.schedule = type(self.schedule)(**state["schedule"])
        self.counters = state["counters"]


def write_checkpoint(state: dict, file: Path) -> None:
    """Write a file beside the old one, then rename it: a kill leaves one or the other whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, file)


def export_weights(trainer: MuonTrainer, folder: Path) -> GPT2LMHeadModel:
    """Write a run's weights as an ordinary Hugging Face folder, in half precision.

    Returns:
        A copy of the model with the weights as they are there: rounded, in float32, on the CPU.
    """
    model = copy.deepcopy(trainer.model).cpu().half()
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    return model.float()


def write_card(trainer: MuonTrainer, folder: Path, card: dict) -> None:
    """Write card.json beside exported weights: what the script knows of them, and how they were trained."""
    training = {
        "steps": trainer.counters["step"],
        "tokens_seen": trainer.counters["tokens"],
        "minutes": round(trainer.counters["minutes"], 1),
        "cpu_minutes": round(trainer.counters["cpu_minutes"], 1),
        "hardware": describe_hardware(trainer.device),
        "precision": "bf16 autocast" if trainer.bf16 else "fp32",
        "licence": "MIT",
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
    }
    card = {"name": folder.name} | card | training
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def describe_hardware(device: torch.device | None = None) -> str:
    """On what a run is trained: by default on the CPU."""
    name = torch.cuda.get_device_name() if device and device.type == "cuda" else _capabilities().get("cpu_name", "CPU")
    return f"{name}, {torch.get_num_threads()} CPU thread(s), torch {torch.__version__}"


def _capabilities() -> dict[str, object]:
    """What PyTorch knows about the CPU (nothing if it is too old to tell)."""
    return getattr(torch.cpu, "get_capabilities", dict)()


def _matrices(block: nn.Module) -> Iterator[tuple[nn.Parameter, slice]]:
    """Yield the six matrices of a block as (weight [in out], columns): query, key, value apart."""
    fused, d_model = block.attn.c_attn.weight, block.attn.c_attn.weight.shape[0]
    for first in range(0, 3 * d_model, d_model):
        yield fused, slice(first, first + d_model)
    for layer in (block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj):
        yield layer.weight, slice(None)
