"""What every command needs of the machine: processes and devices, memory, progress, errors told to people.

In: arguments of a command line. Out: a mesh of devices, a live line of progress, an exit status.
Nothing here knows what a landmark is.
"""
