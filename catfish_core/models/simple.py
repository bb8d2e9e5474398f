"""The course's two networks, exactly as published, for any number of classes."""

from __future__ import annotations

from torch import Tensor, nn


class SimpleNet(nn.Module):
    """Three fully connected layers on raw pixels: 12288 → 84 → 50 → classes for photos of 64 px."""

    def __init__(self, num_classes: int, image_size: int = 64) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(3 * image_size * image_size, 84)
        self.fc2 = nn.Linear(84, 50)
        self.fc3 = nn.Linear(50, num_classes)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) → logits (B, classes)."""
        x = self.relu(self.fc1(self.flatten(x)))  # (B, 84)
        x = self.relu(self.fc2(x))  # (B, 50)
        logits: Tensor = self.fc3(x)
        return logits


class SimpleCNN(nn.Module):
    """Three convolutions, each halving the picture, and a small head; takes photos of any size from 8 px."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(64, 128, kernel_size=3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.average = nn.AdaptiveAvgPool2d(4)
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(128 * 4 * 4, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) → logits (B, classes)."""
        for conv in (self.conv1, self.conv2, self.conv3):
            x = self.pool(self.relu(conv(x)))  # (B, 32, S/2, S/2), (B, 64, S/4, S/4), (B, 128, S/8, S/8)
        logits: Tensor = self.classifier(self.average(x))  # (B, 2048) inside
        return logits
