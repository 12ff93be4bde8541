"""What `prepare` stored, read without trust: sets in a folder, and packs, which are one .npz file each.

published.py opens what was not prepared, archives as they were published.
In: folders and files, maybe those of others. Out: `Faces`, every one of them checked; or a ValueError that names the
file. `prepared` is the door.
"""
