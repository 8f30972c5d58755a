"""The panel of chapter 06: drag a lie detector's threshold between the lies it catches and the honest it accuses.

It shows what a notebook has computed. Of science only counting is inside.
"""

from collections.abc import Mapping

import ipywidgets
import torch
from jaxtyping import Float
from torch import Tensor

from utils import svg
from utils.lie_detectors import tpr_at_fpr
from utils.style import BLUE, FAINT, GROUND, INK, ORANGE, QUIET, RULE
from utils.widgets.panel import Explorer, row, sentence, sheet, static_card, tile

N_STEPS, N_BINS, N_ROC = 200, 40, 200  # thresholds on the slider, bins of a histogram, points of a ROC curve
BASE_RATE = 0.01  # share of liars for which the precision is shown
_KINDS = {  # of documents -> their look in a histogram
    "honest": f'fill="{BLUE}" fill-opacity="0.55"',
    "lying": f'fill="{ORANGE}" fill-opacity="0.55"',
    "unrelated": f'fill="none" stroke="{FAINT}" stroke-width="1.5"',
}


def drag_threshold(
    scores: Mapping[str, tuple[Float[Tensor, " document"], Float[Tensor, " lie"]]],
    *,
    unrelated: Mapping[str, Float[Tensor, " unrelated"]],
    fpr: float = 0.01,
) -> ipywidgets.VBox:
    """A panel: drag the threshold of a lie detector and see what it catches and whom it accuses.

    An alarm is a score above the threshold. The precision supposes one liar in a hundred, and that all others are like
    the honest documents.

    Args:
        scores: name of a detector -> its scores of honest and of lying documents.
        unrelated: the same names -> its scores of honest texts of another kind.
        fpr: share of the unrelated texts that may raise an alarm when the button sets the threshold.

    Raises:
        ValueError: If the names differ, a detector lacks scores, or fpr is no share.
    """
    if not scores or set(scores) != set(unrelated):
        raise ValueError(f"scores and unrelated must name the same detectors, got {[*scores]} and {[*unrelated]}")
    if not 0 <= fpr < 1:
        raise ValueError(f"fpr must be from 0 to below 1, got {fpr}; 0.01 is usual")
    detectors = {name: _Detector(name, *scores[name], unrelated[name], fpr) for name in scores}
    which = ipywidgets.ToggleButtons(options=list(scores), style={"button_width": "auto"})
    threshold = ipywidgets.SelectionSlider(options=[0], description="threshold", layout={"width": "420px"})
    freeze = ipywidgets.Button(description=f"{100 * fpr:g} % of unrelated texts", layout={"width": "auto"})
    freeze.tooltip = "Set the threshold on unrelated honest texts alone"
    panel = ipywidgets.HTML()

    def refresh(_) -> None:
        panel.value = detectors[which.value].draw(threshold.value)

    def change_detector(_) -> None:
        steps = detectors[which.value].steps
        threshold.options = [(f"{step:.3g}", step) for step in steps]
        threshold.value = steps[len(steps) // 2]
        refresh(None)

    def set_threshold(_) -> None:
        threshold.value = detectors[which.value].frozen

    threshold.observe(refresh, "value")
    which.observe(change_detector, "value")
    freeze.on_click(set_threshold)
    change_detector(None)
    first, lines = next(iter(detectors.values())), []
    for name, detector in detectors.items():
        numbers = ", ".join(f"{what} {number}" for what, number, _ in detector.read(detector.frozen))
        lines.append(f"{name}: threshold {detector.frozen:.3g}, {numbers}")
    markup = "".join(map(sentence, lines)) + sheet(first.drawings(first.frozen), show=svg.as_img)
    return Explorer([which, row(threshold, freeze), panel], static_card(markup, lines))


class _Detector:
    """Scores of one detector: what a threshold makes of them, in numbers and drawn."""

    def __init__(self, name: str, honest: Tensor, lying: Tensor, unrelated: Tensor, fpr: float):
        sets = {"honest": honest, "lying": lying, "unrelated": unrelated}
        for kind, values in sets.items():
            if values.ndim != 1 or not len(values) or not values.isfinite().all():
                shape = tuple(values.shape)
                raise ValueError(f"{name}: {kind} must be finite scores, one for each text, got {shape}; drop NaN")
        self.name = name
        self.sorted = {kind: values.detach().double().cpu().sort().values for kind, values in sets.items()}
        everything = torch.cat(list(self.sorted.values()))
        edge = 0.02 * float(everything.max() - everything.min()) or 1.0
        self.low, self.high = float(everything.min()) - edge, float(everything.max()) + edge
        self.frozen, _ = tpr_at_fpr(self.sorted["unrelated"], self.sorted["lying"], fpr)
        grid = torch.linspace(self.low, self.high, N_STEPS, dtype=torch.float64).tolist()
        self.steps = sorted({*grid, self.frozen})
        below = everything.unique()
        thresholds = below[torch.linspace(0, len(below) - 1, min(N_ROC, len(below))).long()].tolist()
        self.roc = [(self.share("honest", t), self.share("lying", t)) for t in [self.low, *thresholds]]
        edges = torch.linspace(self.low, self.high, N_BINS + 1, dtype=torch.float64)
        counts = {kind: torch.histogram(values, edges).hist / len(values) for kind, values in self.sorted.items()}
        self.heights = {kind: (count / max(map(torch.max, counts.values()))).tolist() for kind, count in counts.items()}

    def alarms(self, kind: str, threshold: float) -> int:
        values = self.sorted[kind]
        return len(values) - int(torch.searchsorted(values, threshold, right=True))

    def share(self, kind: str, threshold: float) -> float:
        return self.alarms(kind, threshold) / len(self.sorted[kind])

    def read(self, threshold: float) -> list[tuple[str, str, str]]:
        """Name, number and explanation of everything that is read off at a threshold."""
        named = {"lying": "TPR", "honest": "FPR, honest", "unrelated": "FPR, unrelated"}
        rows = [
            (name, f"{self.share(kind, threshold):.3f}", f"{self.alarms(kind, threshold)} of {len(self.sorted[kind])}")
            for kind, name in named.items()
        ]
        caught = BASE_RATE * self.share("lying", threshold)
        accused = (1 - BASE_RATE) * self.share("honest", threshold)
        precision = f"{caught / (caught + accused):.2f}" if caught + accused else "–"
        return [*rows, ("precision", precision, f"if 1 in {1 / BASE_RATE:.0f} lies")]

    def draw(self, threshold: float) -> str:
        return sheet(self.drawings(threshold), tiles=[tile(*what) for what in self.read(threshold)])

    def drawings(self, threshold: float) -> list[str]:
        return [self._draw_histograms(threshold), self._draw_roc(threshold)]

    def _draw_histograms(self, threshold: float) -> str:
        """Shares of the scores in bins: honest and lying filled, unrelated as an outline."""
        left, top, width, height = 14, 30, 352, 200
        parts = []
        for kind, look in _KINDS.items():
            corners = [(left, top + height)]
            for i, share in enumerate(self.heights[kind]):
                y = top + height - 0.94 * height * share
                corners += [(left + width * i / N_BINS, y), (left + width * (i + 1) / N_BINS, y)]
            corners.append((left + width, top + height))
            parts.append(f'<path d="{svg.path(corners)}" {look}/>')
        x = left + width * (threshold - self.low) / (self.high - self.low)
        parts.append(svg.line(left, top + height, left + width, top + height, RULE))
        parts.append(svg.line(x, top - 6, x, top + height, INK, 2))
        anchor = "start" if x < left + width / 2 else "end"
        aside = 6 if anchor == "start" else -6
        parts.append(svg.text(x + aside, top + 2, f"{threshold:.3g}", anchor=anchor, fill=INK))
        for at, end, value in [(left, "start", self.low), (left + width, "end", self.high)]:
            parts.append(svg.text(at, top + height + 17, f"{value:.3g}", anchor=end))
        parts.append(svg.text(left + width / 2, top + height + 17, f"score of {self.name}", anchor="middle"))
        entries = [(f'<rect width="14" height="12" {look}/>', kind) for kind, look in _KINDS.items()]
        parts.append(svg.legend(entries, left, 268))
        return svg.draw(380, 286, parts, f"scores of {self.name}, threshold {threshold:.3g}")

    def _draw_roc(self, threshold: float) -> str:
        left, top, size = 40, 14, 200

        def place(fpr: float, tpr: float) -> tuple[float, float]:
            return left + size * fpr, top + size * (1 - tpr)

        x, y = place(self.share("honest", threshold), self.share("lying", threshold))
        chance, curve = svg.path([place(0, 0), place(1, 1)]), svg.path([place(*point) for point in self.roc])
        y_title = svg.text(0, 0, "TPR, lies caught", anchor="middle")
        parts = [
            f'<rect x="{left}" y="{top}" width="{size}" height="{size}" fill="none" stroke="{RULE}"/>',
            f'<path d="{chance}" stroke="{QUIET}" stroke-dasharray="4 4" fill="none"/>',
            f'<path d="{curve}" stroke="{ORANGE}" stroke-width="2.5" fill="none"/>',
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{INK}" stroke="{GROUND}" stroke-width="2"/>',
            svg.text(left + size / 2, top + size + 34, "FPR, honest documents", anchor="middle"),
            f'<g transform="translate(14,{top + size / 2}) rotate(-90)">{y_title}</g>',
            svg.text(left + 0.55 * size, top + 0.62 * size, "chance"),
        ]
        for value in (0, 1):
            parts.append(svg.text(left + size * value, top + size + 17, str(value), anchor="middle"))
            parts.append(svg.text(left - 8, top + size * (1 - value) + 5, str(value), anchor="end"))
        return svg.draw(256, 286, parts, f"ROC curve of {self.name}")
