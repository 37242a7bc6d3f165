# SPDX-License-Identifier: Apache-2.0
"""Trains torchvision's mobilenet_v2 with a replaced classifier on the pictures of pictures.py, and exports it.

    pip install 'mbv2gen[train]' torchvision
    python examples/tutorial/train.py build/tutorial/pictures build/tutorial/colours.onnx

Takes some two minutes on two cores. docs/tutorial.md goes on from here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it
from torch.utils.data import DataLoader
from torchvision import models, transforms
from torchvision.datasets import ImageFolder

SIDE = 48
BATCH = 32
PREPROCESSING = transforms.Compose(
    [
        transforms.Resize(SIDE),  # the shorter side; 80x60 becomes 64x48
        transforms.CenterCrop(SIDE),
        transforms.ToTensor(),  # 0..255 becomes 0..1, height x width x channels becomes channels x height x width
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
)


def network(width: float, classes: int) -> nn.Module:
    """mobilenet_v2 of a width, its classifier of 1,000 classes replaced; float32 [n][3][48][48] -> logits [n][classes].

    At width 1.0 ``weights="DEFAULT"`` would start from ImageNet, which pays where photographs are few.
    """
    model = models.mobilenet_v2(weights=None, width_mult=width)
    model.classifier[1] = nn.Linear(model.last_channel, classes)
    return model


def train(model: nn.Module, pictures: ImageFolder, *, epochs: int, rate: float, most_steps: int | None) -> None:
    """AdamW under one cosine cycle; the last weights are the result."""
    batches = DataLoader(pictures, batch_size=BATCH, shuffle=True, drop_last=True)
    steps = epochs * len(batches)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    model.train()
    done = 0
    for epoch in range(epochs):
        total = 0.0
        for x, labels in batches:
            loss = F.cross_entropy(model(x), labels, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
            done += 1
            if done == most_steps:
                return
        print(f"epoch {epoch + 1:2} of {epochs}: loss {total / len(batches):.3f}", flush=True)


def accuracy(model: nn.Module, pictures: ImageFolder) -> float:
    """Top-1, 0..1."""
    model.eval()
    right = 0
    with torch.no_grad():
        for x, labels in DataLoader(pictures, batch_size=BATCH):
            right += int((model(x).argmax(dim=1) == labels).sum())
    return right / len(pictures)


def export(model: nn.Module, path: Path) -> None:
    """ONNX, one picture at a time, in evaluation mode: batch norm is folded, dropout gone."""
    model.eval().to(memory_format=torch.contiguous_format)  # else the exporter writes channels_last down as a Gather
    example: tuple[Tensor, ...] = (torch.zeros(1, 3, SIDE, SIDE),)
    names = {"input_names": ["image"], "output_names": ["logits"]}
    torch.onnx.export(model, example, path, dynamo=True, external_data=False, verbose=False, **names)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the tutorial's network.")
    parser.add_argument("pictures", type=Path, help="what pictures.py wrote")
    parser.add_argument("model", type=Path, help="the ONNX file to write")
    parser.add_argument("--width", type=float, default=0.25, help="width multiplier (default 0.25)")
    parser.add_argument("--epochs", type=int, default=10, help="passes over the pictures (default 10)")
    parser.add_argument("--rate", type=float, default=0.004, help="greatest learning rate (default 0.004)")
    parser.add_argument("--steps", type=int, help="stop after so many batches, to try the script")
    options = parser.parse_args()

    torch.manual_seed(0)
    torch.set_num_threads(1)  # layers so small are not worth sharing
    training, test = (ImageFolder(str(options.pictures / part), PREPROCESSING) for part in ("train", "test"))
    model = network(options.width, len(training.classes)).to(memory_format=torch.channels_last)  # a third faster
    train(model, training, epochs=options.epochs, rate=options.rate, most_steps=options.steps)
    print(f"top-1 {accuracy(model, test):.2%} on {len(test)} test pictures")
    export(model, options.model)


if __name__ == "__main__":
    main()
