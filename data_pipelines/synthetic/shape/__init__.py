"""What a synthetic face is before it is painted: its shape in 3D, its pose, light and colours, sampled at random.

In: a random generator. Out: a `Look`, and a `PosedFace` with its landmarks and surface in the frame.
Order: template, modes, pose, look, sampling, posed_face.
"""
