"""Sphinx's settings for the HTML book, which `make book` copies beside the pages.

Nothing is fetched from a network, neither while the book is built nor while somebody reads it.
"""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

project = html_title = "Probing neural networks, hands on"
extensions = ["myst_nb"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks come with their outputs
nb_output_stderr = "remove"  # progress bars
html_theme = "furo"
pygments_dark_style = "monokai"  # the theme's own underlines modules, as if they were links
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_show_sourcelink = html_copy_source = html_show_copyright = html_show_sphinx = False
html_math_renderer = "mathml"


def visit_math(self, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers draw themselves."""
    is_block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=is_block)
    self.body.append(f'<div class="math">{formula}</div>' if is_block else formula)
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
