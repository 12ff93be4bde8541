"""What is painted on a synthetic face: skin, folds, ears, eyes, brows, nose, mouth and hair.

In: a picture, a `PosedFace` and its `Look`. Out: the picture painted in place, and masks of what hides landmarks.
Every feature is painted exactly at its projected landmarks.
"""
