"""Train sparse autoencoders on a stream of activations; several at once share one pass of the network.

    python -m utils.training.sae --name othello_4 --model othello_gpt --layer 4 --vectors 10e6 \\
        --saes topk:2048:16 topk:2048:64 batchtopk:2048:32 standard:2048:0.05 jumprelu:2048:0.002

An SAE is written ARCHITECTURE:D_SAE:SPARSITY; sparsity is k, or the weight of the penalty. Texts or games are fresh in
every step, so no activation is seen twice and memory stays bounded; the same command goes on where a run was stopped.

Activations are divided by one number, so that their mean square is 1 per dimension, and the finished SAE is given back
in model units. Decoder rows have length 1, always: otherwise an L1 penalty is lowered by small latents and long rows.
Adam, the rate falling to 0 over the last fifth.

- standard: squared error + weight * sum of latents (Bricken et al. 2023).
- topk: squared error; k latents in each vector; what is dead learns from the error that is left (Gao et al. 2024).
- batchtopk: the same with k per vector on average over a batch; the threshold for later is a running mean of the
  smallest latent that got through (Bussmann et al. 2024).
- jumprelu: squared error + weight * L0, whose gradient goes to the thresholds through a small window around them
  (Rajamanoharan et al. 2024).
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from utils.models import UNTRAINED
from utils.saes import save_sae
from utils.training import english
from utils.training.sae_cards import describe_text, export_sae, measure
from utils.training.sae_trainer import SAETrainer, Shape
from utils.training.streams import BATCH, Source, stream_acts
from utils.training.trainer import CHECKPOINT_SECONDS, CHECKPOINTS, describe_hardware, write_checkpoint

WARMUP_STEPS, DECAY_SHARE = 200, 0.2  # of rate and of penalties; of the rate alone
HELD_OUT_BATCHES, LOG_EVERY = 8, 250  # steps; what the log says is measured on few batches


def train(
    source: Source, shapes: list[Shape], vectors: int, folder: Path, *, minutes: float = float("inf"), seed: int = 0
) -> dict[str, SAETrainer]:
    """Train, or go on training, until so many vectors were seen or for so many minutes.

    Args:
        folder: where checkpoint.pt and log.jsonl live; one line of the log every LOG_EVERY steps.

    Raises:
        ValueError: If the folder holds a run of another source, other SAEs, or another length.
    """
    settings = {"source": asdict(source), "saes": [str(shape) for shape in shapes], "vectors": vectors, "seed": seed}
    if source.model.removesuffix(UNTRAINED) == "minilm":
        settings["text"] = english.describe_text()  # of the packages that are installed: a run goes on with the same
    held_out = [acts for acts, _ in zip(stream_acts(source, 0, held_out=True), range(HELD_OUT_BATCHES), strict=False)]
    first = next(stream_acts(source, 0))  # the first batch of training: nothing is fitted on held-out vectors
    scale = float(first.square().mean().sqrt())
    trainers = {str(shape): SAETrainer(shape, first, scale, seed) for shape in shapes}
    file, step, spent, steps = folder / "checkpoint.pt", 0, 0.0, vectors // BATCH
    if file.exists():
        state = torch.load(file, map_location="cpu", weights_only=True)
        if state["settings"] != settings:
            raise ValueError(
                f"settings must be those of {file}, {state['settings']}, got {settings}; take another name"
            )
        step, spent = state["step"], state.get("minutes")  # None: of a run that did not count them
        for name, trainer in trainers.items():
            trainer.load(state["saes"][name])
    folder.mkdir(parents=True, exist_ok=True)
    stream, begin = stream_acts(source, step), time.monotonic()
    last_save = begin

    def save() -> None:
        minutes_spent = None if spent is None else spent + (time.monotonic() - begin) / 60
        saes = {name: trainer.state() for name, trainer in trainers.items()}
        state = {"settings": settings, "step": step, "minutes": minutes_spent, "hardware": describe_hardware()}
        write_checkpoint(state | {"saes": saes}, file)

    with tqdm(desc=folder.name, total=steps, initial=step, unit=" steps", mininterval=5.0) as bar:
        while step < steps and time.monotonic() < begin + 60 * minutes:
            acts = next(stream)
            factor = min(1.0, (step + 1) / WARMUP_STEPS, (steps - step) / (DECAY_SHARE * steps))
            for trainer in trainers.values():
                trainer.train_step(acts, factor, min(1.0, (step + 1) / WARMUP_STEPS))
            step += 1
            bar.update()
            if step % LOG_EVERY == 0 or step == steps:
                found = {name: measure(trainer.finish(), held_out) for name, trainer in trainers.items()}
                with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
                    log.write(json.dumps({"step": step, "vectors": step * BATCH, "saes": found}) + "\n")
            if time.monotonic() - last_save > CHECKPOINT_SECONDS:
                save()
                last_save = time.monotonic()
        save()
    return trainers


def describe_run(folder: Path, *, minutes: float | None = None) -> dict:
    """What the cards of a run's SAEs say of it.

    Args:
        minutes: how long it took, if its checkpoint does not say.
    """
    state = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    settings, seen = state["settings"], state["step"] * BATCH
    source, name = Source(**settings["source"]), folder.name.removeprefix("sae_")
    saes = " ".join(":".join(shape.split("_")) for shape in settings["saes"])
    spent = state.get("minutes") or minutes
    text = {"text": describe_text(settings["text"], seen)} if "text" in settings else {}
    return {
        "command": f"python -m utils.training.sae --name {name} --model {source.model} --layer {source.layer} "
        f"--vectors {settings['vectors']} --seed {settings['seed']} --saes {saes}",
        "seed": settings["seed"],
        "vectors": seen,
        "vectors_planned": settings["vectors"],
        "minutes": spent and round(spent, 1),  # of the run: of all its SAEs together
        "hardware": state.get("hardware") or describe_hardware(),
    } | text


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="of the checkpoint folder, sae_NAME")
    parser.add_argument("--model", default="othello_gpt")
    parser.add_argument("--layer", type=int, required=True)
    parser.add_argument("--saes", type=Shape.parse, nargs="+", required=True, metavar="KIND:D_SAE:SPARSITY")
    parser.add_argument("--vectors", type=float, default=10e6, help="activation vectors of a whole run")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="length of this sitting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS)
    parser.add_argument("--out", type=Path, help="write the SAEs as they stand into folders of this one")
    parser.add_argument(
        "--export", type=Shape.parse, nargs="*", metavar="KIND:D_SAE:SPARSITY",
        help="ship these SAEs, or all, in utils/assets/saes, each with its card",
    )  # fmt: skip
    parser.add_argument("--minutes-spent", type=float, help="for the card of a run that did not count its minutes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    source, folder = Source(options.model, options.layer), options.checkpoints / f"sae_{options.name}"
    trainers = train(source, options.saes, int(options.vectors), folder, minutes=options.minutes, seed=options.seed)
    for name, trainer in trainers.items() if options.out else ():
        print(save_sae(trainer.finish(), options.out / name))
    if options.export is not None:
        for name in map(str, options.export or options.saes):
            run = describe_run(folder, minutes=options.minutes_spent)
            print(export_sae(trainers[name].finish(), source, name, run))


if __name__ == "__main__":
    main()
