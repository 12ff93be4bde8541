"""Published networks in plain PyTorch, as narrow as a test wants them: their tensors have the authors' names.

Images are [B, 3, S, S], as PyTorch has them, with the authors' pixels.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


def drawn(network: nn.Module) -> nn.Module:
    """The network with random weights and statistics of a size that keeps values near 1, as at evaluation."""
    torch.manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out" if module.transposed else "fan_in")
                if module.bias is not None:
                    module.bias.uniform_(-0.5, 0.5)
            elif isinstance(module, nn.BatchNorm2d):
                for values in (module.weight, module.bias, module.running_mean, module.running_var):
                    values.uniform_(0.1, 1)
    return network.eval()


def norm_relu_conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False))


class MultiScaleUnit(nn.Module):
    """The unit of FAN."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        widths = (inputs, outputs // 2, outputs // 4, outputs // 4)
        for number, (before, after) in enumerate(itertools.pairwise(widths), start=1):
            self.add_module(f"bn{number}", nn.BatchNorm2d(before))
            self.add_module(f"conv{number}", nn.Conv2d(before, after, 3, padding=1, bias=False))
        self.downsample = norm_relu_conv(inputs, outputs) if inputs != outputs else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.conv1(self.bn1(x).relu())
        second = self.conv2(self.bn2(first).relu())
        third = self.conv3(self.bn3(second).relu())
        return torch.cat([first, second, third], 1) + (x if self.downsample is None else self.downsample(x))


class FANHourglass(nn.Module):
    def __init__(self, width: int, depth: int = 4) -> None:
        super().__init__()
        self.depth = depth
        for level in range(1, depth + 1):
            for name in ("b1", "b2", "b3"):
                self.add_module(f"{name}_{level}", MultiScaleUnit(width, width))
        self.b2_plus_1 = MultiScaleUnit(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.level(self.depth, x)

    def level(self, level: int, x: torch.Tensor) -> torch.Tensor:
        unit = self.get_submodule
        low = unit(f"b2_{level}")(functional.avg_pool2d(x, 2))
        low = self.level(level - 1, low) if level > 1 else self.b2_plus_1(low)
        return unit(f"b1_{level}")(x) + functional.interpolate(unit(f"b3_{level}")(low), scale_factor=2)


class FAN(nn.Module):
    """The network of the package face-alignment; images of 0..1 to maps of each stack."""

    def __init__(self, stacks: int, width: int, points: int = 68) -> None:
        super().__init__()
        self.stacks = stacks
        self.conv1, self.bn1 = nn.Conv2d(3, width // 4, 7, 2, 3), nn.BatchNorm2d(width // 4)
        self.conv2, self.conv3 = MultiScaleUnit(width // 4, width // 2), MultiScaleUnit(width // 2, width // 2)
        self.conv4 = MultiScaleUnit(width // 2, width)
        for stack in range(stacks):
            self.add_module(f"m{stack}", FANHourglass(width))
            self.add_module(f"top_m_{stack}", MultiScaleUnit(width, width))
            self.add_module(f"conv_last{stack}", nn.Conv2d(width, width, 1))
            self.add_module(f"bn_end{stack}", nn.BatchNorm2d(width))
            self.add_module(f"l{stack}", nn.Conv2d(width, points, 1))
            if stack < stacks - 1:
                self.add_module(f"bl{stack}", nn.Conv2d(width, width, 1))
                self.add_module(f"al{stack}", nn.Conv2d(points, width, 1))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        x = self.bn1(self.conv1(images)).relu()
        x = self.conv4(self.conv3(functional.avg_pool2d(self.conv2(x), 2)))
        maps, layer = [], self.get_submodule
        for stack in range(self.stacks):
            features = layer(f"conv_last{stack}")(layer(f"top_m_{stack}")(layer(f"m{stack}")(x)))
            features = layer(f"bn_end{stack}")(features).relu()
            maps.append(layer(f"l{stack}")(features))
            if stack < self.stacks - 1:
                x = x + layer(f"bl{stack}")(features) + layer(f"al{stack}")(maps[-1])
        return maps


def relu_convs(widths: Sequence[int], sides: Sequence[int], last_relu: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for (inputs, outputs), side in zip(itertools.pairwise(widths), sides, strict=True):
        layers += [nn.Conv2d(inputs, outputs, side, padding=side // 2), nn.ReLU()]
    return nn.Sequential(*(layers if last_relu else layers[:-1]))


class ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        layers = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
        again = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
        self.conv_block = nn.Sequential(*layers, nn.ReLU(), *again)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


class Generator(nn.Module):
    """SAN's generator."""

    def __init__(self, width: int) -> None:
        super().__init__()

        def normed(layer: nn.Module, outputs: int) -> list[nn.Module]:
            return [layer, nn.InstanceNorm2d(outputs), nn.ReLU()]

        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            *normed(nn.Conv2d(3, width, 7), width),
            *normed(nn.Conv2d(width, 2 * width, 3, 2, 1), 2 * width),
            *normed(nn.Conv2d(2 * width, 4 * width, 3, 2, 1), 4 * width),
            *(ResidualBlock(4 * width) for _ in range(6)),
            *normed(nn.ConvTranspose2d(4 * width, 2 * width, 3, 2, 1, 1), 2 * width),
            *normed(nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1), width),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, 3, 7),
            nn.Tanh(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class SAN(nn.Module):
    """SAN, with generators or without; images of -1..1 to the maps of all stages."""

    def __init__(self, width: int, generators: bool, points: int = 68) -> None:
        super().__init__()
        w, photos, maps = width, 1 + generators, points + 1
        self.netG_A, self.netG_B = (Generator(w) if generators else None for _ in range(2))
        vgg = [3, *[w] * 2, 0, *[2 * w] * 2, 0, *[4 * w] * 3, 0, *[8 * w] * 3]
        layers: list[nn.Module] = []
        for outputs, inputs in zip(vgg[1:], (x or vgg[i - 1] for i, x in enumerate(vgg)), strict=False):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()] if outputs else [nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.CPM_feature = relu_convs((8 * w, 4 * w, 2 * w), (3, 3), last_relu=True)
        self.stage1 = relu_convs((*[2 * w] * 5, 8 * w, maps), (3, 3, 3, 3, 1, 1))
        wide = (*[2 * w] * 8, maps), (7, 7, 7, 3, 3, 3, 3, 1, 1)
        self.stage2 = relu_convs(((2 * w + maps) * photos, *wide[0]), wide[1])
        self.stage3 = relu_convs((2 * w * photos + maps, *wide[0]), wide[1])

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        photos = [images]
        if self.netG_A is not None:
            photos.append((self.netG_A(images) + self.netG_B(images)) / 2)
        features = [self.CPM_feature(self.features(photo)) for photo in photos]
        firsts = [self.stage1(feature) for feature in features]
        second = self.stage2(torch.cat([*features, *firsts], 1))
        return [*firsts, second, self.stage3(torch.cat([*features, second], 1))]


def conv_norm(layer: nn.Module, relu: bool = True) -> list[nn.Module]:
    return [layer, nn.BatchNorm2d(layer.out_channels), *([nn.ReLU()] if relu else [])]


def pointwise(inputs: int, outputs: int) -> list[nn.Module]:
    return conv_norm(nn.Conv2d(inputs, outputs, 1, bias=False))


def depthwise(width: int, stride: int) -> list[nn.Module]:
    return conv_norm(nn.Conv2d(width, width, 3, stride, 1, bias=False, groups=width), relu=False)


class ShuffleUnit(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half, self.stride = outputs // 2, stride
        self.branch1 = (
            nn.Sequential(*depthwise(inputs, 2), *pointwise(inputs, half)) if stride == 2 else nn.Sequential()
        )
        entering = inputs if stride == 2 else half
        self.branch2 = nn.Sequential(*pointwise(entering, half), *depthwise(half, stride), *pointwise(half, half))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = (x, x) if self.stride == 2 else x.chunk(2, 1)
        return torch.stack((self.branch1(left), self.branch2(right)), 2).flatten(1, 2)


class ShuffleHeatMaps(nn.Module):
    """The heat-map network on ShuffleNetV2, with the stage 4 that it never calls, by its numbers of channels."""

    def __init__(self, stem: int, first: int, stages: Sequence[int], head: Sequence[int], points: int = 68) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(*conv_norm(nn.Conv2d(3, stem, 3, 2, 1, bias=False)))
        self.conv11 = nn.Sequential(*conv_norm(nn.Conv2d(stem, first, 3, 1, 1, bias=False)))
        for number, (inputs, outputs), count in zip(
            (2, 3, 4), itertools.pairwise((first, *stages)), (4, 8, 4), strict=True
        ):
            units = [ShuffleUnit(outputs if unit else inputs, outputs, 1 if unit else 2) for unit in range(count)]
            self.add_module(f"stage{number}", nn.Sequential(*units))
        self.conv5 = nn.Sequential(*conv_norm(nn.ConvTranspose2d(stages[1], head[0], 4, 2, 1, bias=False)))
        self.conv6 = nn.Sequential(*conv_norm(nn.ConvTranspose2d(head[0], head[1], 4, 2, 1, bias=False)))
        self.conv7 = nn.Sequential(*conv_norm(nn.Conv2d(head[1], head[2], 3, 1, 1, bias=False)))
        self.conv8 = nn.Sequential(nn.Conv2d(head[2], points, 3, 1, 1, bias=False), nn.ReLU())

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        x = functional.max_pool2d(self.conv11(self.conv1(images)), 3, 2, 1)
        x = self.get_submodule("stage3")(self.get_submodule("stage2")(x))
        return [self.conv8(self.conv7(self.conv6(self.conv5(x))))]
