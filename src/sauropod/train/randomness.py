"""Counter-based randomness: every random number of a run is a function of (seed, purpose, counter).

Nothing is carried from one step to the next, so a resumed run, a run with other worker counts and a
run on other ranks draw the same numbers (Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3": Philox).
"""

import enum

import numpy as np
import torch


class Purpose(enum.IntEnum):
    """What the numbers are for: two purposes never share a stream."""

    ORDER = 1
    VIEWS = 2
    MASKS = 3
    MODEL = 4
    WEIGHTS = 5
    MIXING = 6


def keyed(seed: int, *, purpose: Purpose, counter: int) -> np.random.Generator:
    """Generator of one (seed, purpose, counter).

    Args:
        seed: The run's seed, 0 <= seed < 2^63.
        purpose: The stream.
        counter: Place in the stream, e.g. the ordinal of a sample or a step; 0 <= counter < 2^56.
    """
    assert 0 <= counter < 1 << 56
    return np.random.Generator(np.random.Philox(key=[seed, (int(purpose) << 56) | counter]))


def torch_keyed(
    seed: int, *, purpose: Purpose, counter: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Torch generator of one (seed, purpose, counter), on `device`."""
    number = int(keyed(seed, purpose=purpose, counter=counter).integers(1 << 63))
    return torch.Generator(device=device).manual_seed(number)
