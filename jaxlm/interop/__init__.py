"""Models from elsewhere and for elsewhere: PyTorch in; StableHLO and ONNX out.

In: state dicts, or a `Bundle`. Out: variables with a report of every tensor, or a program checked against ours.
torch_maps.py has a table for each published network.
"""
