"""The panel of chapters 07 and 08: what a latent of a sparse autoencoder is on for, and which probes it is near.

It shows what a notebook has computed.
"""

from collections.abc import Mapping

import ipywidgets

from utils.widgets.latent_pages import LatentBook
from utils.widgets.latent_views import LatentView
from utils.widgets.panel import Explorer, row, static_card

ORDERS = {  # what the panel calls an order of the latents
    "density": "most often on first",
    "rarest": "rarest first",
    "cosine": "nearest to a probe first",
    "number": "by number",
}
_NARROW = {"description_width": "3.5em"}


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
    books = {name: LatentBook(name, view) for name, view in views.items()}
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
    return Explorer([row(which, order), row(number, previous, following), panel], static)
