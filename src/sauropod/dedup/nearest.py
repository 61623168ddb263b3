"""The nearest neighbour known of every image, from edges that arrive in chunks.

Shapes: n images, m edges of a chunk.
"""

import numpy as np


class Nearest:
    """8 bytes an image (12 above 2**31 numbers): its neighbour's number and the similarity.

    Of equally similar neighbours the one of the smallest number; so the order of edges is nothing.
    """

    def __init__(self, num_numbers: int, *, images: int) -> None:
        """Start with no neighbour of `images` images; neighbours are below `num_numbers`."""
        kind = np.int32 if num_numbers < 2**31 else np.int64
        self.number = np.full(images, np.iinfo(kind).max, kind)
        self.similarity = np.full(images, -np.inf, np.float32)

    @property
    def found(self) -> np.ndarray:
        """Which images have one, (n,) bool."""
        return self.similarity > -np.inf

    def add(self, images: np.ndarray, others: np.ndarray, similarity: np.ndarray) -> None:
        """Look at the edges from images[i] to others[i], (m,) numbers and (m,) float32."""
        before = self.similarity[images]
        np.maximum.at(self.similarity, images, similarity)
        after = self.similarity[images]
        self.number[images[after > before]] = np.iinfo(self.number.dtype).max
        best = similarity == after
        np.minimum.at(self.number, images[best], others[best].astype(self.number.dtype))

    def forget(self, images: np.ndarray) -> None:
        """Take back what is known of some images, (n,) bool."""
        self.similarity[images] = -np.inf
        self.number[images] = np.iinfo(self.number.dtype).max
