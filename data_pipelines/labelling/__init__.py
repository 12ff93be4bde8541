"""What files of labelling tools have in common: named points, several faces a photo, names of photos.

In: names and places as a tool wrote them. Out: a `Scheme` made of the names, and a `Label` for each face.
The formats themselves are in sources/, a file each.
"""
