"""Turned and closed-eyed faces out of photos with 68 points, by the idea of 300W-LP (Zhu et al., CVPR 2016).

In: frames and their points (`Faces` of scheme ibug68). Out: new records: pictures, points, yaw.
Order: mesh, fitting, rasterising, relief, contour, eyelids, turned_faces.
"""

from jaxlm.data_pipelines.turning.turned_faces import TURNED, Outcome, Plan, turn_faces

__all__ = ["TURNED", "Outcome", "Plan", "turn_faces"]
