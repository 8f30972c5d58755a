"""All that the panel of latents shows of one latent, as HTML.

The strongest examples alone mislead (Bolukbasi et al. 2021, arXiv:2104.07143), so examples from the middle of the
values stand beside them. Of science only counting and sorting are inside.
"""

import html
from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from utils.othello import square_name
from utils.style import FAINT, GROUND, INK, TEAL
from utils.svg import as_img
from utils.widgets.latent_drawings import draw_cosines, draw_histogram, draw_map, draw_small_board
from utils.widgets.latent_views import LatentView, check_view
from utils.widgets.panel import WIDTH, legend, tile

N_STRONGEST, QUANTILES = 4, (0.8, 0.6, 0.4, 0.2)  # examples: the strongest, and one at each quantile of the values
WINDOW = 14  # tokens on either side of a position
_STYLE = f"""<style>
.course-latent {{ background: {GROUND}; color: {INK}; border-radius: 8px; margin: 4px 0; max-width: {WIDTH}px;
  box-sizing: border-box; padding: 10px 14px; overflow: hidden; font-size: 13px; line-height: 1.4 }}
.course-latent-outer {{ container-type: inline-size; max-width: {WIDTH}px }}
.course-latent .course-tiles, .course-latent .course-grid, .course-latent .course-maps {{
  display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 8px 16px }}
.course-latent .course-maps {{ display: flex }}
.course-latent .course-maps > div {{ flex: 190 1 0; max-width: 200px }}
.course-latent .course-maps > div.course-wide {{ flex: 292 1 0; max-width: 300px }}
.course-latent h5 {{ margin: 12px 0 4px; font-size: 14px; font-weight: 600; color: {INK} }}
.course-latent svg, .course-latent img {{ display: block; height: auto; margin: 0 }}
.course-latent .course-maps svg, .course-latent .course-grid svg,
.course-latent .course-maps img, .course-latent .course-grid img {{ width: 100% }}
.course-latent .course-legend {{ margin-top: 8px }}
.course-latent .course-sentence {{ display: flex; gap: 10px; margin: 3px 0; align-items: baseline }}
.course-latent .course-sentence > span {{ flex: 0 0 10.5em; color: {FAINT} }}
.course-latent .course-sentence mark {{ color: {INK}; border-radius: 3px; padding: 0 2px }}
@container (max-width: 500px) {{
  .course-latent .course-tiles, .course-latent .course-grid {{ grid-template-columns: repeat(2, minmax(0, 1fr)) }}
  .course-latent .course-grid > div {{ max-width: 200px }}
  .course-latent .course-maps {{ flex-flow: row wrap }}
  .course-latent .course-maps > div {{ flex: 1 1 110px }}
  .course-latent .course-sentence {{ flex-flow: column; gap: 0 }}
  .course-latent .course-sentence > span {{ flex: none }}
  .course-latent .course-maps > div.course-wide {{ flex: 1 1 100% }}
}}
</style>"""


class LatentBook:
    """The latents of one sparse autoencoder, sorted when they are asked for, and drawn."""

    def __init__(self, name: str, view: LatentView):
        check_view(name, view)
        self.name, self.view = name, view
        self.latents = view.latents.detach().cpu()
        self.n_vectors, self.d_sae = self.latents.shape
        self.counts = (self.latents > 0).sum(dim=0)  # [latent]
        self.cosines = {kind: values.detach().float().cpu() for kind, values in (view.cosines or {}).items()}
        flat = [values.abs().nan_to_num(0).reshape(self.d_sae, -1).amax(dim=1) for values in self.cosines.values()]
        self.nearest = torch.stack(flat).amax(dim=0) if flat else torch.zeros(self.d_sae)  # [latent]
        self.reach = float(self.nearest.max())  # one scale of colours for all latents, so that they compare
        self._orders, self._places = {}, {}

    def order(self, kind: str) -> list[int]:
        """All latents in an order; those that are never on come last, except by number."""
        if kind not in self._orders:
            never = (self.counts == 0).float()
            keys = {
                "density": -self.counts.double(),
                "rarest": self.counts + never * (self.n_vectors + 1),
                "cosine": never * 2 - self.nearest.double(),
                "number": torch.arange(self.d_sae),
            }
            self._orders[kind] = keys[kind].argsort(stable=True).tolist()
            self._places[kind] = {latent: place for place, latent in enumerate(self._orders[kind])}
        return self._orders[kind]

    def place(self, kind: str, latent: int) -> int:
        self.order(kind)
        return self._places[kind][latent]

    def says(self) -> str:
        """The whole in one line."""
        n_dead, l0 = int((self.counts == 0).sum()), float(self.counts.sum()) / self.n_vectors
        return f"{self.d_sae:,} latents, {l0:.1f} on in a vector, {n_dead:,} never on"

    @cached_property
    def rows_of_texts(self) -> dict[tuple[str, ...], dict[int, int]]:
        """Tokens of a text -> position -> vector, so that a text shows all positions that are known of it."""
        rows: dict[tuple[str, ...], dict[int, int]] = {}
        for row, (tokens, position) in enumerate(zip(self.view.texts, self.view.positions, strict=True)):
            rows.setdefault(tuple(tokens), {})[int(position)] = row
        return rows

    def draw(self, latent: int, *, static: bool = False) -> str:
        """Everything about a latent as HTML; drawings are images where no SVG may be let in."""
        show = as_img if static else str
        column = self.latents[:, latent].float()
        rows = column.nonzero().flatten()
        rows = rows[column[rows].argsort(descending=True, stable=True)]  # from the strongest on
        values = column[rows].tolist()
        head = f"<b>{html.escape(f'{self.name}, latent {latent}')}</b>"
        parts = [f'{head} <span class="course-faint">{self.says()}</span>', self._tiles(latent, values)]
        wide = [draw_histogram(values)] if values else []
        if self.view.boards is not None:
            maps = [
                draw_map(kind, values[latent], _tidy(self.reach), f"cosines of latent {latent}, {kind}")
                for kind, values in self.cosines.items()
            ]
        else:
            named = {kind: float(values[latent]) for kind, values in self.cosines.items()}
            wide += [draw_cosines(named, _tidy(self.reach))] if named else []
            maps = []
        cells = [f'<div class="course-wide">{show(drawing)}</div>' for drawing in wide]
        parts.append(f'<div class="course-maps">{"".join(cells + [f"<div>{show(each)}</div>" for each in maps])}</div>')
        if values:
            parts += self._examples(column, rows.tolist(), values, show)
        else:
            parts.append("<p>This latent is on in none of these vectors: it may be dead, or rare.</p>")
        return f'{_STYLE}<div class="course-latent-outer"><div class="course-latent">{"".join(parts)}</div></div>'

    def _tiles(self, latent: int, values: Sequence[float]) -> str:
        n, place = len(values), self.place("density", latent) + 1
        share = 100 * n / self.n_vectors
        tiles = [
            ("density", f"{share:.3g} %", f"on in {n:,} of {self.n_vectors:,} vectors"),
            ("rank by density", f"{place:,}", f"of {self.d_sae:,} latents"),
        ]
        if values:
            tiles.append(("when on", f"{sum(values) / n:.3g}", f"on average, at most {values[0]:.3g}"))
        if self.reach:
            tiles.append(("largest |cosine|", f"{float(self.nearest[latent]):.2f}", html.escape(self._nearest(latent))))
        return f'<div class="course-tiles" style="margin:6px 0 10px">{"".join(tile(*what) for what in tiles)}</div>'

    def _nearest(self, latent: int) -> str:
        """Which probe direction a latent is nearest to, such as "mine − yours, c4"."""
        best = {kind: values[latent].reshape(-1).abs().nan_to_num(0) for kind, values in self.cosines.items()}
        kind = max(best, key=lambda kind: float(best[kind].max()))
        if self.view.boards is None:
            return kind
        return f"{kind}, {square_name(int(best[kind].argmax()), round(len(best[kind]) ** 0.5))}"

    def _examples(self, column: Tensor, rows: list[int], values: list[float], show: Callable[[str], str]) -> list[str]:
        strongest = list(range(min(N_STRONGEST, len(rows))))
        middle = [min(round((1 - share) * len(rows)), len(rows) - 1) for share in QUANTILES]
        captions = {place: f"value {values[place]:.3g}" for place in {*strongest, *middle}}
        groups = [("The strongest", [(place, captions[place]) for place in strongest])]
        if len(rows) > N_STRONGEST:
            spread = [
                (place, f"{100 * share:.0f} % quantile, {captions[place].removeprefix('value ')}")
                for share, place in zip(QUANTILES, middle, strict=True)
            ]
            groups.append(("From the middle of its values: does the story of the strongest still hold?", spread))
        parts, drawings = [], []
        for head, chosen in groups:
            parts.append(f"<h5>{head}</h5>")
            if self.view.boards is None:
                parts += [self._sentence(column, rows[place], values[0], caption) for place, caption in chosen]
                continue
            drawn = [self._board(rows[place], caption) for place, caption in chosen]
            drawings += drawn
            cells = "".join(
                f'<div><span class="course-faint">{caption}</span>{show(drawing)}</div>'
                for (_, caption), drawing in zip(chosen, drawn, strict=True)
            )
            parts.append(f'<div class="course-grid">{cells}</div>')
        if drawings:
            parts.append(legend(drawings, show=show))
        return parts

    def _board(self, row: int, caption: str) -> str:
        last = -1 if self.view.last_moves is None else int(self.view.last_moves[row])
        return draw_small_board(self.view.boards[row].tolist(), last, f"board, {caption}")

    def _sentence(self, column: Tensor, row: int, largest: float, caption: str) -> str:
        """The tokens around a position; each is tinted by how strongly the latent is on there, as far as is known."""
        tokens, position = self.view.texts[row], int(self.view.positions[row])
        known = self.rows_of_texts[tuple(tokens)]
        low, high = max(position - WINDOW, 0), min(position + WINDOW + 1, len(tokens))
        words = []
        for i in range(low, high):
            value = float(column[known[i]]) if i in known else 0.0
            value = float(column[row]) if i == position else value
            token = html.escape(tokens[i].strip() or "␣")
            if value <= 0:
                words.append(token)
                continue
            tint = f"background:rgba(33,145,140,{0.1 + 0.55 * value / largest:.2f})"
            frame = f";outline:2px solid {TEAL};margin:0 3px;font-weight:600" if i == position else ""
            words.append(f'<mark style="{tint}{frame}" title="{value:.3g}">{token}</mark>')
        before, after = "… " if low else "", " …" if high < len(tokens) else ""
        return f'<div class="course-sentence"><span>{caption}</span><div>{before}{" ".join(words)}{after}</div></div>'


def _tidy(reach: float) -> float:
    """The end of a scale of cosines: the next tenth."""
    return min(max(-(-reach * 10 // 1) / 10, 0.1), 1.0)
