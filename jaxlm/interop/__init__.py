"""Models from elsewhere and for elsewhere: PyTorch in; StableHLO, ONNX and TFLite out.

In: state dicts, or a `Trained` model. Out: variables with a report of every tensor, or a program checked against ours.
torch_maps/ has a table for each published network.
"""

from jaxlm.interop.converting import convert_and_write
from jaxlm.interop.exporting import FORMATS, export
from jaxlm.interop.programs import ExportError
from jaxlm.interop.torch_checkpoints import ConversionReport, Converted, convert_state
from jaxlm.interop.torch_files import ConversionError, read_checkpoint
from jaxlm.interop.torch_maps import MAPS

__all__ = [
    "FORMATS",
    "MAPS",
    "ConversionError",
    "ConversionReport",
    "Converted",
    "ExportError",
    "convert_and_write",
    "convert_state",
    "export",
    "read_checkpoint",
]
