"""Pictures for people: points on faces, curves, error maps, the page of a report. No JAX.

In: numpy arrays of images, points and errors. Out: images, matplotlib figures and HTML, or files of them.
Its modules are imported one by one, because plots.py and error_maps.py load matplotlib, which is slow to start.
"""
