"""The networks of the published systems in plain PyTorch, to time ours against; same layers, same parameters.

Images are [B, 3, S, S], as PyTorch has them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

Norm = Callable[[int], nn.Module]

# Factor of expansion, channels, how many blocks, stride of the first.
_MOBILENET = ((1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 2, 2), (6, 24, 3, 2), (6, 32, 3, 2), (6, 48, 3, 2), (6, 64, 2, 2))
_MOBILENET += ((6, 80, 1, 1),)


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


class ResidualBlock(nn.Module):
    """Images [B, inputs, H, W] to [B, features, H / stride, W / stride]."""

    def __init__(self, inputs: int, features: int, stride: int) -> None:
        super().__init__()
        self.first = conv_norm_relu(inputs, features, 3, stride)
        self.second = conv_norm(features, features, 3)
        changes = stride > 1 or inputs != features
        self.beside = conv_norm(inputs, features, 1, stride) if changes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.second(self.first(x)) + self.beside(x))


class ResUNet(nn.Module):
    """Images [B, 3, S, S] to maps [B, N, S / 4, S / 4]; see jaxlm/models/resunet.py."""

    def __init__(self, num_points: int, widths: tuple[int, ...] = (48, 96, 192, 192), decoder: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_norm_relu(3, widths[0] // 2, 3, 2), conv_norm_relu(widths[0] // 2, widths[0], 3, 2)
        )
        inputs = (widths[0], *widths)
        self.stages = nn.ModuleList(
            nn.Sequential(ResidualBlock(inputs[i], width, 2 if i else 1), ResidualBlock(width, width, 1))
            for i, width in enumerate(widths)
        )
        self.lateral = nn.ModuleList(conv_norm(width, decoder, 1) for width in widths)
        self.smooth = nn.ModuleList(conv_norm_relu(decoder, decoder, 3) for _ in widths)
        self.head = nn.Conv2d(decoder, num_points, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scales = [self.stem(images)]
        for stage in self.stages:
            scales.append(stage(scales[-1]))
        x = None
        for scale, lateral, smooth in reversed(list(zip(scales[1:], self.lateral, self.smooth, strict=True))):
            beside = lateral(scale)
            x = smooth(functional.relu(beside if x is None else beside + functional.interpolate(x, scale_factor=2.0)))
        return self.head(x)


class SepBatchNorm(nn.Module):
    """SepBN as it was published: K whole normalisations, averaged with the weights that attention gives."""

    def __init__(self, channels: int, sets: int = 3, ratio: float = 0.1, temperature: float = 1.0) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(sets))
        hidden = int(ratio * channels)
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.LeakyReLU(0.01),
            nn.Conv2d(hidden, sets, 1, bias=False),
        )
        self.temperature = temperature

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = functional.softmax(self.attention(x) / self.temperature, dim=1)
        return sum(norm(x) * weights[:, index, None] for index, norm in enumerate(self.norms))


def vanilla_network(num_points: int, norm: Norm | None = None) -> nn.Sequential:
    """The "Vanilla CNN" for 128 pixels: images to [B, 2 N]."""
    layers: list[nn.Module] = []
    widths = (3, 64, 128, 256, 512, 1024, 2048)
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), *([norm(outputs)] if norm else [])]
        layers += [nn.LeakyReLU(0.01), nn.MaxPool2d(2)]
    dense = [nn.Flatten(), nn.Linear(8192, 2048), nn.LeakyReLU(0.01), nn.Linear(2048, 2 * num_points)]
    return nn.Sequential(*layers, *dense)


class InvertedResidual(nn.Module):
    """Images [B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = expansion * inputs
        expand = [conv_norm_relu(inputs, width, 1)] if expansion != 1 else []
        depthwise = [conv_norm(width, width, 3, stride, width), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*expand, *depthwise, conv_norm(width, outputs, 1))
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x) if self.shortcut else self.layers(x)


def mobilenet(num_points: int) -> nn.Sequential:
    """The small MobileNetV2 of DPR for 256 pixels: images to [B, 2 N]."""
    layers, inputs = [conv_norm_relu(3, 8, 3, 2)], 8
    for expansion, outputs, blocks, stride in _MOBILENET:
        for block in range(blocks):
            layers.append(InvertedResidual(inputs, outputs, 1 if block else stride, expansion))
            inputs = outputs
    dense = [nn.Linear(256, 256), nn.PReLU(), nn.Linear(256, 256), nn.PReLU(), nn.Linear(256, 2 * num_points)]
    return nn.Sequential(*layers, conv_norm_relu(80, 64, 1), nn.Flatten(), *dense)


def reinitialisation_network() -> nn.Sequential:
    """GlobalReinit of DPR for 128 pixels: images to theta [B, 6]."""
    plan = ((3, 8, 5, 2, True), (8, 16, 3, 1, False), (16, 16, 3, 1, True), (16, 32, 3, 1, False))
    plan += ((32, 32, 3, 1, True), (32, 64, 3, 1, False))
    layers: list[nn.Module] = []
    for inputs, outputs, kernel, stride, pool in plan:
        layers += [nn.Conv2d(inputs, outputs, kernel, stride), *([nn.MaxPool2d(2)] if pool else []), nn.PReLU()]
    head = nn.Linear(32, 6)
    nn.init.zeros_(head.weight)
    head.bias.data.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 32), nn.PReLU(), head)


class GSR(nn.Module):
    """Global shape regression of DPR, all on the device: photos and boxes to points.

    As ours: the box's crop, the map it is given, a second crop of the photo, the shape there, back to the photo.
    """

    def __init__(self, num_points: int) -> None:
        super().__init__()
        self.reinitialise, self.regress = reinitialisation_network(), mobilenet(num_points)
        self.register_buffer("mean_face", torch.rand(num_points, 2))

    def forward(self, photos: torch.Tensor, to_crop: torch.Tensor) -> torch.Tensor:
        """Points [B, N, 2] in photos [B, 3, H, W] of 0..255, given maps [B, 3, 3] from photo to crop."""
        theta = self.reinitialise(warp(photos, to_crop, 128) / 128).reshape(-1, 2, 3)
        last = torch.tensor([[[0.0, 0.0, 1.0]]], device=theta.device).expand(len(theta), 1, 3)
        scale = torch.diag(torch.tensor([2.0, 2.0, 1.0], device=theta.device))
        theta = torch.cat([theta * torch.tensor([1.0, 1.0, 128.0], device=theta.device), last], 1)
        to_face = scale @ theta @ to_crop
        faces = warp(photos, to_face, 256)
        points = (0.5 * self.regress(faces / 128).reshape(len(faces), -1, 2) + self.mean_face) * 256
        inverse = torch.linalg.inv(to_face)
        return points @ inverse[:, :2, :2].transpose(1, 2) + inverse[:, None, :2, 2]


def warp(photos: torch.Tensor, matrix: torch.Tensor, size: int) -> torch.Tensor:
    """Bilinear samples [B, 3, size, size] of photos [B, 3, H, W], black outside; maps [B, 3, 3] lead to the samples."""
    inverse = torch.linalg.inv(matrix)
    steps = torch.arange(size, dtype=photos.dtype, device=photos.device)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    grid = torch.stack([x, y, torch.ones_like(x)], -1).reshape(1, -1, 3) @ inverse[:, :2].transpose(1, 2)
    sides = torch.tensor([photos.shape[3], photos.shape[2]], dtype=photos.dtype, device=photos.device)
    grid = (2 * grid + 1) / sides - 1
    return functional.grid_sample(photos, grid.reshape(-1, size, size, 2), align_corners=False)
