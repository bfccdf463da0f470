"""Small pictures for the Dagster UI: PNG inside Markdown metadata. Drawing that needs domain knowledge is elsewhere.

They stay in Dagster's event log until their run is deleted, whatever becomes of the session: docs/operations.md.
"""

import base64
from io import BytesIO

import dagster as dg
import numpy as np
from numpy.typing import NDArray


def inline_png(png: bytes, caption: str) -> dg.MarkdownMetadataValue:
    """A picture that the UI shows where the metadata stands."""
    return dg.MetadataValue.md(f"![{caption}](data:image/png;base64,{base64.b64encode(png).decode()})")


def histogram(values: NDArray[np.float64], label: str) -> dg.MarkdownMetadataValue:
    """How a quantity is distributed over the frames of a worker-day."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 1.6), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(values, bins=40)
    axes.set_xlabel(label)
    axes.set_ylabel("frames")
    png = BytesIO()
    figure.savefig(png, format="png", dpi=80)
    return inline_png(png.getvalue(), label)
