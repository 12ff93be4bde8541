"""Painting tools: curves, filled polygons, lines, soft layers, textures, shaded surfaces. They know nothing of faces.

In: points in frame widths (0 to 1) and RGB colours. Out: pixels of a picture, changed in place.
Order: paint, surface, outlines.
"""
