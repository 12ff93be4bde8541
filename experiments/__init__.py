"""One file an experiment: a docstring (paper, command, data, results) and `config()`."""
