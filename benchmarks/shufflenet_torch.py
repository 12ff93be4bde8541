"""The heat-map ShuffleNetV2 in plain PyTorch, to time ours against; same layers, same parameters."""

from __future__ import annotations

import torch
from torch import nn


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def conv_norm_relu(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(conv_norm(inputs, outputs, kernel, stride), nn.ReLU(inplace=True))


def transposed_norm_relu(inputs: int, outputs: int) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class ShuffleUnit(nn.Module):
    """Images [B, inputs, H, W] to [B, features, H / stride, W / stride]."""

    def __init__(self, inputs: int, features: int, stride: int) -> None:
        super().__init__()
        half = features // 2
        self.stride = stride
        self.left = nn.Identity()
        if stride == 2:
            self.left = nn.Sequential(conv_norm(inputs, inputs, 3, 2, inputs), conv_norm_relu(inputs, half, 1))
        self.right = nn.Sequential(
            conv_norm_relu(inputs if stride == 2 else half, half, 1),
            conv_norm(half, half, 3, stride, half),
            conv_norm_relu(half, half, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = (x, x) if self.stride == 2 else x.chunk(2, 1)
        left, right = self.left(left), self.right(right)
        return torch.stack((left, right), 2).flatten(1, 2)


def heatmap_network(num_points: int) -> nn.Sequential:
    """Images [B, 3, S, S] to maps [B, N, S / 4, S / 4]."""
    return nn.Sequential(
        conv_norm_relu(3, 64, 3, 2),
        conv_norm_relu(64, 24, 3),
        nn.MaxPool2d(3, 2, 1),
        *(ShuffleUnit(116 if unit else 24, 116, 1 if unit else 2) for unit in range(4)),
        *(ShuffleUnit(232 if unit else 116, 232, 1 if unit else 2) for unit in range(8)),
        transposed_norm_relu(232, 324),
        transposed_norm_relu(324, 256),
        conv_norm_relu(256, 128, 3),
        nn.Conv2d(128, num_points, 3, padding=1, bias=False),
        nn.ReLU(inplace=True),
    )
