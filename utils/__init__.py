"""The shared package of the course: a few small modules for each arrow of the data flow, one subject each.

    datasets ── texts or games, labels ──┐                         ┌─► metrics ── score, interval, control ──► plots
                                         ├─► activations ─► probes ┤
    models ──── TransformerBridge ───────┘    resid_post    probe  └─► interventions ─► models (run again) ──► metrics

A learner reads the modules; nobody has to open the sub-packages: `course` builds notebooks and checks exercises,
`training` holds the scripts that made everything in `assets`, `widgets` the panels to play with.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the course's folder
ASSETS = ROOT / "utils" / "assets"  # weights and tables, each with its card
