"""Procedural faces with exact landmarks, for work without data. `renderer` makes one from start to end.

In: a seed and a number. Out: a `Face`: picture, 98 landmarks, their visibility, WFLW's six attributes.
Three rooms: shape/ (what a face is), painting/ (tools that know no faces), features/ (what is painted on a face).
"""

from jaxlm.data_pipelines.synthetic.renderer import Face, render

__all__ = ["Face", "render"]
