"""The panel of chapter 07: what a latent of a sparse autoencoder is on for, and which probes its direction is near.

It shows what a notebook has computed. Of science only counting and sorting are inside. The strongest examples alone
mislead (Bolukbasi et al. 2021, arXiv:2104.07143), so examples from the middle of the values stand beside them.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import ipywidgets
import torch
from jaxtyping import Float, Int
from plotly.colors import sample_colorscale
from torch import Tensor

from utils.boards import STATE_NAMES, draw_legend
from utils.othello import EMPTY, MINE, square_name
from utils.style import BLUE, FAINT, FIELD, GROUND, INK, ORANGE, TEAL
from utils.svg import as_img
from utils.widgets import Explorer, static_card

N_STRONGEST, QUANTILES = 4, (0.8, 0.6, 0.4, 0.2)  # examples: the strongest, and one at each quantile of the values
N_BINS, N_NAMED, WINDOW = 30, 12, 14  # bars of the histogram, named directions, tokens on either side of a position
CELL, EDGE = 20, 14  # pixels of a small board: a square, the side with the names
RULE, BAR = "#d9dde2", "#6b7684"
ORDERS = {  # what the panel calls an order of the latents
    "density": "most often on first",
    "rarest": "rarest first",
    "cosine": "nearest to a probe first",
    "number": "by number",
}
_FONT = "system-ui,-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif"
_RED_TO_BLUE = sample_colorscale("RdBu", [i / 100 for i in range(101)])  # -1 to 1
_STYLE = f"""<style>
.course-latent {{ background: {GROUND}; color: {INK}; border-radius: 8px; margin: 4px 0; max-width: 740px;
  box-sizing: border-box; padding: 10px 14px; overflow: hidden; font-size: 13px; line-height: 1.4 }}
.course-latent-outer {{ container-type: inline-size; max-width: 740px }}
.course-latent .course-tiles, .course-latent .course-grid, .course-latent .course-maps {{
  display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 8px 16px }}
.course-latent .course-maps {{ display: flex }}
.course-latent .course-maps > div {{ flex: 190 1 0; max-width: 200px }}
.course-latent .course-maps > div.course-wide {{ flex: 292 1 0; max-width: 300px }}
.course-latent .course-tiles b {{ display: block; font-size: 22px; line-height: 1.2 }}
.course-latent span.course-faint {{ color: {FAINT} }}
@container (max-width: 500px) {{
  .course-latent .course-tiles, .course-latent .course-grid {{ grid-template-columns: repeat(2, minmax(0, 1fr)) }}
  .course-latent .course-grid > div {{ max-width: 200px }}
  .course-latent .course-maps {{ flex-flow: row wrap }}
  .course-latent .course-maps > div {{ flex: 1 1 110px }}
  .course-latent .course-sentence {{ flex-flow: column; gap: 0 }}
  .course-latent .course-sentence > span {{ flex: none }}
  .course-latent .course-maps > div.course-wide {{ flex: 1 1 100% }}
}}
.course-latent h5 {{ margin: 12px 0 4px; font-size: 14px; font-weight: 600; color: {INK} }}
.course-latent svg, .course-latent img {{ display: block; width: 100%; height: auto; margin: 0 }}
.course-latent .course-sentence {{ display: flex; gap: 10px; margin: 3px 0; align-items: baseline }}
.course-latent .course-sentence > span {{ flex: 0 0 10.5em; color: {FAINT} }}
.course-latent .course-sentence mark {{ color: {INK}; border-radius: 3px; padding: 0 2px }}
</style>"""


@dataclass(frozen=True)
class LatentView:
    """What `explore_latents` shows of one sparse autoencoder: either boards or texts, one for each vector.

    latents: 0 or above.
    boards: of each vector, in EMPTY, MINE, YOURS. last_moves: the square just played; -1 for none.
    texts: the tokens around each vector. positions: which of them the vector stands on.
    cosines: of each latent's decoder direction with probe directions. With boards: name of a map, such as
        "mine − yours", -> [latent square], NaN where there is no probe; with texts: name of a probe -> [latent].
    """

    latents: Float[Tensor, "vector latent"]
    boards: Int[Tensor, "vector square"] | None = None
    last_moves: Int[Tensor, " vector"] | None = None
    texts: Sequence[Sequence[str]] | None = None
    positions: Sequence[int] | Int[Tensor, " vector"] | None = None
    cosines: Mapping[str, Float[Tensor, "latent square"] | Float[Tensor, " latent"]] | None = None


def explore_latents(views: Mapping[str, LatentView], *, latent: int | None = None) -> ipywidgets.VBox:
    """A panel: choose a sparse autoencoder and a latent; see when it is on, for what, and which probes it is near.

    The density is the share of vectors in which the latent is above 0. Examples are the strongest ones, and one at
    each of four quantiles of the values above 0.

    Args:
        views: name of a sparse autoencoder -> what is shown of it.
        latent: of the first one, shown first; if None, the first of those nearest to a probe, or most often on.

    Raises:
        ValueError: If there are no views, one does not fit itself, or the first has no such latent.
    """
    if not views:
        raise ValueError("views must hold at least one sparse autoencoder, got none")
    books = {name: _Book(name, view) for name, view in views.items()}
    first = next(iter(books.values()))
    if latent is not None and not 0 <= latent < first.d_sae:
        raise ValueError(f"latent must be from 0 to {first.d_sae - 1}, as {first.name} has {first.d_sae}, got {latent}")
    which = ipywidgets.Dropdown(options=list(books), description="SAE", style=_NARROW)
    kinds = [kind for kind in ORDERS if kind != "cosine" or any(book.reach for book in books.values())]
    start = "cosine" if first.reach else "density"
    order = ipywidgets.Dropdown(
        options=[(ORDERS[kind], kind) for kind in kinds], value=start, description="order", style=_NARROW
    )
    number = ipywidgets.BoundedIntText(description="latent", min=0, max=first.d_sae - 1, style=_NARROW)
    number.layout.width = "170px"
    previous, following = (
        ipywidgets.Button(description=text, layout={"width": "auto"}) for text in ("previous", "next")
    )
    panel = ipywidgets.HTML()
    now = {}  # the book that is open

    def refresh(_) -> None:
        place = now["book"].place(order.value, number.value)
        previous.disabled, following.disabled = place == 0, place == now["book"].d_sae - 1
        panel.value = now["book"].draw(number.value)

    def go_to(latent: int) -> None:
        if number.value == latent:
            refresh(None)
        number.value = latent

    def change_order(_) -> None:
        go_to(now["book"].order(order.value)[0])

    def change_sae(_) -> None:
        now["book"] = books[which.value]
        number.max = now["book"].d_sae - 1
        change_order(None)

    def step(by: int) -> None:
        ranked = now["book"].order(order.value)
        place = now["book"].place(order.value, number.value) + by
        number.value = ranked[min(max(place, 0), len(ranked) - 1)]

    number.observe(refresh, "value")
    now["book"] = first
    go_to(first.order(start)[0] if latent is None else latent)
    which.observe(change_sae, "value")
    order.observe(change_order, "value")
    previous.on_click(lambda _: step(-1))
    following.on_click(lambda _: step(1))
    static = static_card(
        first.draw(number.value, static=True), [f"{name}: {book.says()}" for name, book in books.items()]
    )
    return Explorer([_row(which, order), _row(number, previous, following), panel], static)


class _Book:
    """The latents of one sparse autoencoder, sorted when they are asked for, and drawn."""

    def __init__(self, name: str, view: LatentView):
        _check_view(name, view)
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
        wide = [_draw_histogram(values)] if values else []
        if self.view.boards is not None:
            maps = [
                _draw_map(kind, values[latent], _tidy(self.reach), f"cosines of latent {latent}, {kind}")
                for kind, values in self.cosines.items()
            ]
        else:
            named = {kind: float(values[latent]) for kind, values in self.cosines.items()}
            wide += [_draw_cosines(named, _tidy(self.reach))] if named else []
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
        cells = [
            f'<div>{name}<b>{number}</b><span class="course-faint">{more}</span></div>' for name, number, more in tiles
        ]
        return f'<div class="course-tiles" style="margin:6px 0 10px">{"".join(cells)}</div>'

    def _nearest(self, latent: int) -> str:
        """Which probe direction a latent is nearest to, such as "mine − yours, c4"."""
        best = {kind: values[latent].reshape(-1).abs().nan_to_num(0) for kind, values in self.cosines.items()}
        kind = max(best, key=lambda kind: float(best[kind].max()))
        if self.view.boards is None:
            return kind
        return f"{kind}, {square_name(int(best[kind].argmax()), round(len(best[kind]) ** 0.5))}"

    def _examples(self, column: Tensor, rows: list[int], values: list[float], show) -> list[str]:
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
            parts.append(f'<div style="margin-top:8px;max-width:460px">{show(draw_legend(*drawings, width=460))}</div>')
        return parts

    def _board(self, row: int, caption: str) -> str:
        last = -1 if self.view.last_moves is None else int(self.view.last_moves[row])
        return _draw_small_board(self.view.boards[row].tolist(), last, f"board, {caption}")

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


def _check_view(name: str, view: LatentView) -> None:
    latents = view.latents
    if latents.ndim != 2 or not latents.numel() or not latents.is_floating_point():
        shape = tuple(latents.shape)
        raise ValueError(f"{name}: latents must be [vector latent], not empty, floats; got {latents.dtype} {shape}")
    if not (latents >= 0).all() or not latents.max().isfinite():  # NaN is not ≥ 0
        raise ValueError(
            f"{name}: latents must be finite and 0 or above, got {float(latents.min()):.3g} to "
            f"{float(latents.max()):.3g}; pass what encode returns, not what comes before its ReLU"
        )
    n, d_sae = latents.shape
    if (view.boards is None) == (view.texts is None):
        got = "neither" if view.boards is None else "both"
        raise ValueError(f"{name}: either boards or texts must be given, got {got}")
    if view.boards is not None:
        n_squares = _check_boards(name, view, n)
        shape, wanted = (d_sae, n_squares), "[latent square]"
    else:
        _check_texts(name, view, n)
        shape, wanted = (d_sae,), "[latent]"
    for kind, values in (view.cosines or {}).items():
        if tuple(values.shape) != shape:
            raise ValueError(f"{name}: cosines {kind!r} must be {wanted} with {shape}, got {tuple(values.shape)}")
        if (largest := float(values.abs().nan_to_num(0).max())) > 1 + 1e-3:
            raise ValueError(
                f"{name}: cosines {kind!r} must be from -1 to 1, got up to {largest:.3g}; "
                "divide by the lengths of both directions"
            )


def _check_boards(name: str, view: LatentView, n: int) -> int:
    """How many squares the boards have."""
    boards = view.boards
    if boards.ndim != 2 or len(boards) != n or boards.shape[1] not in (16, 36, 64):
        got = tuple(boards.shape)
        raise ValueError(f"{name}: boards must be [vector square] with {n} vectors and 16, 36 or 64 squares, got {got}")
    if boards.is_floating_point() or not ((boards >= 0) & (boards < len(STATE_NAMES))).all():
        raise ValueError(f"{name}: boards must hold EMPTY, MINE, YOURS (0, 1, 2), got {boards.dtype} of other values")
    last, n_squares = view.last_moves, boards.shape[1]
    if last is not None and (tuple(last.shape) != (n,) or last.is_floating_point()):
        raise ValueError(f"{name}: last_moves must be integers [{n}], one for each vector, got {tuple(last.shape)}")
    if last is not None and not ((last >= -1) & (last < n_squares)).all():
        raise ValueError(
            f"{name}: last_moves must be squares 0 to {n_squares - 1}, or -1 for none, got {int(last.min())} to "
            f"{int(last.max())}; turn tokens into squares with token_squares(size)[moves - 1]"
        )
    return n_squares


def _check_texts(name: str, view: LatentView, n: int) -> None:
    if len(view.texts) != n or view.positions is None or len(view.positions) != n:
        got = len(view.texts), None if view.positions is None else len(view.positions)
        raise ValueError(
            f"{name}: texts and positions must be {n} each, one for each vector, got {got[0]} and {got[1]}"
        )
    for row, (tokens, position) in enumerate(zip(view.texts, view.positions, strict=True)):
        if isinstance(tokens, str) or not all(isinstance(token, str) for token in tokens):
            raise ValueError(f"{name}: texts must be lists of tokens, got {tokens!r} in row {row}; split it")
        if not 0 <= int(position) < len(tokens):
            raise ValueError(
                f"{name}: positions must be those of a token, got {int(position)} in row {row}, which has "
                f"{len(tokens)} tokens; leave padding out"
            )


# How it looks

_NARROW = {"description_width": "3.5em"}


def _row(*parts: ipywidgets.Widget) -> ipywidgets.Box:
    """Parts side by side, below one another where there is no room."""
    return ipywidgets.Box(parts, layout={"flex_flow": "row wrap", "align_items": "center", "max_width": "740px"})


def _tidy(reach: float) -> float:
    """The end of a scale of cosines: the next tenth."""
    return min(max(-(-reach * 10 // 1) / 10, 0.1), 1.0)


def _draw_small_board(states: list[int], last: int, label: str) -> str:
    """A board of squares of 20 pixels, with the signs of draw_board, so that its legend fits."""
    size, parts, hollow = round(len(states) ** 0.5), [], f'fill="#fdeedd" stroke="{ORANGE}" stroke-width="2.6"'
    for square, state in enumerate(states):
        x, y = _corner(square, size)
        says = f"<title>{square_name(square, size)}: {STATE_NAMES[state]}{', the last move' * (square == last)}</title>"
        disc = ""
        if state != EMPTY:
            look = f'r="7.5" fill="{BLUE}"' if state == MINE else f'r="6.3" {hollow}'
            disc = f'<circle class="{STATE_NAMES[state]}" cx="10" cy="10" {look}/>'
        if square == last:
            disc += f'<circle class="played" cx="10" cy="10" r="3" fill="#fff" stroke="{INK}" stroke-width="1.2"/>'
        field = f'<path d="M.5.5h19v19h-19z" fill="{FIELD}"/>'
        parts.append(f'<g transform="translate({x},{y})">{says}{field}{disc}</g>')
    return _board_svg(size, parts, label)


def _draw_map(title: str, cosines: Tensor, reach: float, label: str) -> str:
    """Cosines over the squares: blue above 0, red below; numbers where it is far from 0."""
    size, values = round(len(cosines) ** 0.5), cosines.tolist()
    shown = max(0.5 * float(cosines.abs().nan_to_num(0).max()), 0.3 * reach)
    parts = [f'<g font-weight="600">{_text(EDGE, 10, title, fill=INK)}</g>']
    for square, value in enumerate(values):
        x, y = _corner(square, size)
        colour, number, says = FIELD, "", "no probe"
        if value == value:  # a number, and not NaN
            says = f"{value:+.2f}"
            colour = _RED_TO_BLUE[round(50 + 50 * max(-1.0, min(1.0, value / reach)))]
            ink = "#fff" if abs(value) > 0.6 * reach else INK
            if abs(value) >= shown:
                digits = f"{value:.1f}".replace("0.", ".")
                number = f'<text x="10" y="13.5" font-size="9.5" text-anchor="middle" fill="{ink}">{digits}</text>'
        says = f"<title>{square_name(square, size)}: {says}</title>"
        field = f'<path d="M.5.5h19v19h-19z" fill="{colour}"/>'
        parts.append(f'<g transform="translate({x},{y + 16})">{says}{field}{number}</g>')
    side, top = EDGE + CELL * size, 16 + EDGE + CELL * size + 8
    step = (side - EDGE) / 20
    for i in range(20):
        colour = _RED_TO_BLUE[round(100 * (i + 0.5) / 20)]
        parts.append(f'<path d="M{EDGE + step * i:.1f} {top}h{step + 0.3:.1f}v6h-{step + 0.3:.1f}z" fill="{colour}"/>')
    for x, anchor, value in [(EDGE, "start", -reach), ((EDGE + side) / 2, "middle", 0), (side, "end", reach)]:
        parts.append(_text(x, top + 17, f"{value:+.1f}" if value else "0", anchor, size=10))
    return _board_svg(size, parts, label, above=16, below=32)


def _draw_cosines(cosines: Mapping[str, float], reach: float) -> str:
    """The named directions with the largest cosines, as bars from 0 to the left and to the right."""
    rows = sorted(((n, v) for n, v in cosines.items() if v == v), key=lambda row: -abs(row[1]))[:N_NAMED]
    middle, half, parts = (
        190,
        62,
        [f'<g font-weight="600">{_text(2, 12, "cosine with probe directions", fill=INK)}</g>'],
    )
    for i, (name, value) in enumerate(rows):
        y, length = 22 + 19 * i, half * min(abs(value) / reach, 1)
        short = name if len(name) <= 17 else f"{name[:16]}…"
        x, anchor = (middle + length + 4, "start") if value >= 0 else (middle - length - 4, "end")
        bar = f'x="{middle if value >= 0 else middle - length:.1f}" y="{y}" width="{length:.1f}" height="14"'
        colour, number = BLUE if value >= 0 else ORANGE, _text(x, y + 12, f"{value:+.2f}", anchor, size=12)
        parts.append(f"<g><title>{html.escape(name)}: {value:+.3f}</title>{_text(2, y + 12, short, fill=INK, size=12)}")
        parts.append(f'<rect {bar} fill="{colour}"/>{number}</g>')
    height = 22 + 19 * len(rows)
    parts.append(f'<path d="M{middle} 19v{height - 20}" stroke="{FAINT}"/>')
    return _svg(292, height + 4, parts, "cosines with probe directions")


def _draw_histogram(values: Sequence[float]) -> str:
    """How the values above 0 are spread, the strongest at the right end."""
    left, top, width, height, largest = 6, 22, 262, 118, values[0]
    counts = torch.histc(torch.tensor(values), N_BINS, 0, largest).tolist()
    step, parts = width / N_BINS, [f'<g font-weight="600">{_text(left, 12, "values above 0", fill=INK)}</g>']
    for i, count in enumerate(counts):
        tall = height * count / max(counts)
        says = f"{largest * i / N_BINS:.3g} to {largest * (i + 1) / N_BINS:.3g}: {int(count):,}"
        bar = f'x="{left + step * i:.1f}" y="{top + height - tall:.1f}" width="{step - 1:.1f}" height="{tall:.1f}"'
        parts.append(f'<rect {bar} fill="{BAR}"><title>{says}</title></rect>')
    parts.append(f'<path d="M{left} {top + height}h{width}" stroke="{RULE}"/>')
    for x, anchor, says in [
        (left, "start", "0"),
        (left + width / 2, "middle", "value of the latent"),
        (left + width, "end", f"{largest:.3g}"),
    ]:
        parts.append(_text(x, top + height + 16, says, anchor, size=12))
    parts.append(_text(left + width, 12, f"tallest bar {int(max(counts)):,}", "end", size=12))
    return _svg(274, top + height + 22, parts, "histogram of the values above 0")


def _corner(square: int, size: int) -> tuple[int, int]:
    row, column = divmod(square, size)
    return EDGE + CELL * column, EDGE + CELL * row


def _board_svg(size: int, parts: Sequence[str], label: str, *, above: int = 0, below: int = 0) -> str:
    """Parts of a small board with the names of columns and rows around them."""
    names = []
    for i in range(size):
        middle = EDGE + CELL * i + CELL / 2
        names.append(_text(middle, above + 10, "abcdefgh"[i], "middle", size=10))
        names.append(_text(6, above + middle + 3.5, str(i + 1), "middle", size=10))
    side = EDGE + CELL * size
    return _svg(side + 1, above + side + below + 1, [*names, *parts], label)


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    drawn = f'font-family="{_FONT}" role="img" aria-label="{html.escape(label)}">{"".join(parts)}</svg>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {drawn}'


def _text(x: float, y: float, words: str, anchor: str = "start", fill: str = FAINT, size: int = 13) -> str:
    look = f'font-size="{size}" text-anchor="{anchor}" fill="{fill}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{html.escape(words)}</text>'
