"""Procedural faces with exact landmarks, for when there is no data at hand; `renderer` tells how one is made."""

from jaxlm.data_pipelines.synthetic.renderer import Face, render

__all__ = ["Face", "render"]
