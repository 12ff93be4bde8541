"""Name maps: which tensors of a published network's PyTorch state dict become which of our arrays.

In: a state dict, and the scheme of its points. Out: a `NameMap`, with the metadata of the file.
One file a family of networks; registry.py has the table of names.
"""

from jaxlm.interop.torch_maps.name_map import NameMap, State
from jaxlm.interop.torch_maps.registry import MAPS, scheme_of

__all__ = ["MAPS", "NameMap", "State", "scheme_of"]
