"""Pictures for people: points on faces, curves, error maps, the page of a report. No JAX.

In: numpy arrays of images, points and errors. Out: images, figures and HTML, written to files.
Its modules are imported one by one, because plots.py loads matplotlib, which is slow to start.
"""
