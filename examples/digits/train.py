# SPDX-License-Identifier: Apache-2.0
"""Trains a MobileNetV2 of width 0.1 on handwritten digits and writes the files beside this script.

    pip install -e '.[train]'
    python examples/digits/train.py

Takes about four minutes on two cores. Writes digits.onnx, digits_calibration.npz, digits_test.npz and
pictures/CLASS/*.png. The images come out the same everywhere, the weights on one kind of processor and one version
of torch only. The network is the paper's (Sandler et al., MobileNetV2, 2018, table 2), cut down for small pictures.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import dataset
import numpy as np
import onnx
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

# Table 2: expansion, channels, blocks, stride of the first block. The paper's stages of 24 and 160 channels halve
# the plane too (224 becomes 7); from 32x32 that would leave a single pixel.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
STEM_CHANNELS = 32
HEAD_CHANNELS = 128  # the paper's 1,280 for 1,000 classes; not scaled by the width there either
CLASSES = 10
PIXEL_SCALE = 255.0  # x = pixel / 255, as digits.toml tells mbv2gen


def scaled_channels(channels: int, width: float) -> int:
    """``channels`` times ``width`` in steps of 8, never more than a tenth below (the paper's own code)."""
    rounded = max(8, int(channels * width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels * width else rounded


def convolution(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias, batch norm."""
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    return nn.Sequential(conv, nn.BatchNorm2d(c_out))


class InvertedResidual(nn.Module):
    """Expand by 1x1, depthwise 3x3, project by 1x1 with no activation; added to its input where shapes allow."""

    def __init__(self, c_in: int, c_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = c_in * expansion
        expand = [convolution(c_in, middle, 1), nn.ReLU6()] if expansion > 1 else []
        depthwise = [convolution(middle, middle, 3, stride, groups=middle), nn.ReLU6()]
        self.layers = nn.Sequential(*expand, *depthwise, convolution(middle, c_out, 1))
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class MobileNetV2(nn.Module):
    """float32 [n][1][32][32] -> logits [n][10]."""

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = scaled_channels(STEM_CHANNELS, width)
        layers: list[nn.Module] = [convolution(1, channels, 3, stride=2), nn.ReLU6()]
        for expansion, stage_channels, blocks, stride in STAGES:
            c_out = scaled_channels(stage_channels, width)
            for block in range(blocks):
                layers.append(InvertedResidual(channels, c_out, stride if block == 0 else 1, expansion))
                channels = c_out
        layers += [convolution(channels, HEAD_CHANNELS, 1), nn.ReLU6()]
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(HEAD_CHANNELS, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.pool(self.features(x)).flatten(1))


def as_input(images: np.ndarray) -> Tensor:
    """uint8 [n][h][w][1] -> float32 [n][1][h][w]."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / PIXEL_SCALE)


def distorted(x: Tensor) -> Tensor:
    """Each picture turned by up to 15 degrees, scaled, sheared and shifted by up to 3 pixels at random."""
    n = len(x)
    angle, shear = ((torch.rand(2, n) - 0.5) * math.radians(30)).unbind()
    size_x, size_y = (1 + (torch.rand(2, n) - 0.5) * 0.3).unbind()
    shift_x, shift_y = ((torch.rand(2, n) - 0.5) * 2 * 3 / (dataset.SIDE / 2)).unbind()
    top = torch.stack([size_x * angle.cos(), shear - size_y * angle.sin(), shift_x], dim=1)
    bottom = torch.stack([size_x * angle.sin(), size_y * angle.cos(), shift_y], dim=1)
    grid = F.affine_grid(torch.stack([top, bottom], dim=1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def train(model: nn.Module, x: Tensor, labels: Tensor, *, epochs: int, batch: int, rate: float) -> None:
    """AdamW under one cosine cycle; the last weights are the result, no image chooses among epochs."""
    steps = len(x) // batch
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * steps)
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(x))[: steps * batch].view(steps, batch):
            loss = F.cross_entropy(model(distorted(x[chosen])), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1:3} of {epochs}: loss {total / steps:.3f}", flush=True)


def accuracy(model: nn.Module, images: dataset.LabelledImages) -> float:
    """Top-1, 0..1."""
    model.eval()
    with torch.no_grad():
        found = model(as_input(images.images)).argmax(dim=1).numpy()
    return float((found == images.labels).mean())


def export(model: nn.Module, path: Path) -> None:
    """ONNX, opset 18, one picture at a time; without the exporter's notes on where each node came from."""
    model.eval().to(memory_format=torch.contiguous_format)  # else the exporter writes channels_last down as a Gather
    example = torch.zeros(1, 1, dataset.SIDE, dataset.SIDE)
    program = torch.onnx.export(
        model, (example,), dynamo=True, opset_version=18, input_names=["image"], output_names=["logits"], verbose=False
    )
    assert program is not None
    proto = program.model_proto
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def write_images(folder: Path) -> None:
    """The two .npz files, and the first test picture of each class as PNG."""
    for name, part in (("calibration", dataset.calibration_images()), ("test", dataset.test_images())):
        np.savez_compressed(folder / f"digits_{name}.npz", images=part.images, labels=part.labels.astype(np.uint8))
    test = dataset.test_images()
    for digit in range(CLASSES):
        index = int(np.flatnonzero(test.labels == digit)[0])
        picture = folder / "pictures" / str(digit) / f"test_{index:03}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(test.images[index, :, :, 0]).save(picture)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the example network on handwritten digits.")
    parser.add_argument("--width", type=float, default=0.1, help="width multiplier (default 0.1)")
    parser.add_argument("--epochs", type=int, default=60, help="passes over the training images (default 60)")
    parser.add_argument("--batch", type=int, default=64, help="images a step (default 64)")
    parser.add_argument("--rate", type=float, default=0.006, help="greatest learning rate (default 0.006)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder to write to")
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    torch.set_num_threads(2)  # sums come out in another order with another number
    model = MobileNetV2(options.width).to(memory_format=torch.channels_last)  # a third faster
    training, test = dataset.training_images(), dataset.test_images()
    x, labels = as_input(training.images), torch.from_numpy(training.labels)
    train(model, x, labels, epochs=options.epochs, batch=options.batch, rate=options.rate)
    options.output.mkdir(parents=True, exist_ok=True)
    export(model, options.output / "digits.onnx")
    write_images(options.output)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} parameters; top-1 {accuracy(model, test):.2%} on {len(test.images)} test images")


if __name__ == "__main__":
    main()
