"""Painting tools of the synthetic faces: curves, fills, outlines, surfaces. They know nothing of faces."""
