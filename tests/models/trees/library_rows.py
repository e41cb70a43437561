"""Rows for tests of libraries of trees."""

import numpy as np

COLUMNS = (*(f"f{one}" for one in range(8)), "e0", "e1")


def rows(targets: int = 2, *, seed: int = 0) -> tuple[list[list[np.ndarray]], np.ndarray]:
    """Return two chunks of eight columns of codes and two engineered ones, and labels that depend on them."""
    random = np.random.default_rng(seed)
    chunks, labels = [], []
    for count in (700, 500):
        codes = [random.integers(0, 5, count, dtype=np.int8) for _ in range(8)]
        made = [random.normal(size=count).astype(np.float32) for _ in range(2)]
        signal = np.stack([codes[0] * 0.1 + made[0], codes[1] * 0.2 - made[0]], axis=1)
        labels.append((signal + random.normal(size=(count, 2)))[:, :targets] / 10 + 0.5)
        chunks.append(codes + made)
    return chunks, np.concatenate(labels).astype(np.float32)


def matrices(chunks: list[list[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes and the engineered columns of all rows."""
    columns = [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
    return np.stack(columns[:8], axis=1), np.stack(columns[8:], axis=1)
