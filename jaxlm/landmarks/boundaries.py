"""Facial boundaries: curves through landmarks, in the order of their maps.

The 13 curves of LAB (Wu et al., CVPR 2018) are for 68 points. The 15 of AVS (Qian et al., ICCV 2019) are for 98 points
and have the lower edges of the brows, too. Left and right are the image's. Points in no table, such as pupils, are on
no curve.
"""

from __future__ import annotations

Boundaries = dict[str, tuple[int, ...]]

IBUG68: Boundaries = {
    "contour": tuple(range(17)),
    "left_brow_top": tuple(range(17, 22)),
    "right_brow_top": tuple(range(22, 27)),
    "nose_bridge": tuple(range(27, 31)),
    "nose_bottom": tuple(range(31, 36)),
    "left_upper_lid": (36, 37, 38, 39),
    "left_lower_lid": (36, 41, 40, 39),
    "right_upper_lid": (42, 43, 44, 45),
    "right_lower_lid": (42, 47, 46, 45),
    "upper_lip_top": tuple(range(48, 55)),
    "upper_lip_bottom": tuple(range(60, 65)),
    "lower_lip_top": (60, 67, 66, 65, 64),
    "lower_lip_bottom": (48, 59, 58, 57, 56, 55, 54),
}

WFLW98: Boundaries = {
    "contour": tuple(range(33)),
    "left_brow_top": tuple(range(33, 38)),
    "right_brow_top": tuple(range(42, 47)),
    "nose_bridge": tuple(range(51, 55)),
    "nose_bottom": tuple(range(55, 60)),
    "left_upper_lid": tuple(range(60, 65)),
    "left_lower_lid": (60, 67, 66, 65, 64),
    "right_upper_lid": tuple(range(68, 73)),
    "right_lower_lid": (68, 75, 74, 73, 72),
    "upper_lip_top": tuple(range(76, 83)),
    "upper_lip_bottom": tuple(range(88, 93)),
    "lower_lip_top": (88, 95, 94, 93, 92),
    "lower_lip_bottom": (76, 87, 86, 85, 84, 83, 82),
    "left_brow_bottom": (33, 41, 40, 39, 38),
    "right_brow_bottom": (50, 49, 48, 47, 46),
}
