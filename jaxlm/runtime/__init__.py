"""What every command needs of the machine: processes and devices, memory, progress, errors told to people.

In: the arguments of a command line. Out: a mesh of devices, a live line of progress, an exit status.
Its modules are imported one by one: distributed.py and allocation.py load JAX, which the help of commands does without.
"""
