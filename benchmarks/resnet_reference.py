"""Makes the reference that the reader of torch files and the ResNet encoder are tested against; needs torch.

python benchmarks/resnet_reference.py    (in an environment with torch; written once, tests need no torch)

A ResNet of width 1 with random weights, built of plain torch.nn, saved by torch itself in both of its layouts
under MicroNet's keys, with pictures and what torch gives for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

FOLDER = Path(__file__).parents[1] / "tests" / "data"
BLOCKS, WIDTH, SIDE = (1, 2, 1, 1), 1, 48


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1, each normalised, added to what went in."""

    def __init__(self, n_in: int, n_mid: int, stride: int, first: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(n_in, n_mid, 1, bias=False), nn.BatchNorm2d(n_mid)
        self.conv2, self.bn2 = nn.Conv2d(n_mid, n_mid, 3, stride, 1, bias=False), nn.BatchNorm2d(n_mid)
        self.conv3, self.bn3 = nn.Conv2d(n_mid, 4 * n_mid, 1, bias=False), nn.BatchNorm2d(4 * n_mid)
        if first:
            self.downsample = nn.Sequential(
                nn.Conv2d(n_in, 4 * n_mid, 1, stride, bias=False), nn.BatchNorm2d(4 * n_mid)
            )

    def forward(self, x: Any) -> Any:
        """Feature maps in, feature maps out."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(y)))))
        return torch.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class ResNet(nn.Module):
    """The encoder and an unused classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, WIDTH, 7, 2, 3, bias=False), nn.BatchNorm2d(WIDTH)
        n_in = WIDTH
        for layer, n_blocks in enumerate(BLOCKS):
            n_mid = WIDTH * 2**layer
            parts = []
            for block in range(n_blocks):
                parts.append(Bottleneck(n_in, n_mid, 2 if layer and block == 0 else 1, block == 0))
                n_in = 4 * n_mid
            setattr(self, f"layer{layer + 1}", nn.Sequential(*parts))
        self.fc = nn.Linear(n_in, 5)

    def forward(self, x: Any) -> Any:
        """Pictures in, embeddings out."""
        x = torch.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for layer in range(1, 5):
            x = getattr(self, f"layer{layer}")(x)
        return x.mean((2, 3))


def main() -> None:
    torch.manual_seed(0)
    net = ResNet().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, 0.1, 0.5)
    weights = {f"module.encoder.{name}": value for name, value in net.state_dict().items()}
    checkpoint = {"epoch": 7, "arch": "resnet50", "state_dict": weights, "best_acc1": torch.tensor(71.5)}
    torch.save(checkpoint, FOLDER / "resnet_tiny.pth.tar")
    torch.save(checkpoint, FOLDER / "resnet_tiny_old.pth.tar", _use_new_zipfile_serialization=False)
    pictures = np.random.default_rng(0).normal(size=(2, 3, SIDE, SIDE)).astype(np.float16).astype(np.float32)
    with torch.no_grad():
        embedded = net(torch.from_numpy(pictures)).numpy()
    first = net.state_dict()["conv1.weight"].numpy()
    np.savez_compressed(
        FOLDER / "resnet_tiny.npz", pictures=pictures.astype(np.float16), embedded=embedded, conv1=first
    )


if __name__ == "__main__":
    main()
