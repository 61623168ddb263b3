"""Knobs of the pictures that show what a backbone sees; imports nothing heavy."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Visualise:
    """Paint what a backbone sees of a few pictures: components, matches, attention."""

    version: int = 1
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of an untrained backbone."""
    images: tuple[str, ...] = ()
    """Pictures of similar things: files, or folders of them; without any nothing is painted."""
    dense_images: tuple[str, ...] = ()
    """Pictures that predictions of dense heads are laid over; none takes `images`."""
    size: int = 448
    """Longer side of the pictures, pixels."""
    count: int = 4
    """Pictures shown, evenly spaced among those named."""
    foreground: float = 0.0
    """Where foreground begins on the first component, standard deviations from the mean."""
    max_matches: int = 24
    """Matches drawn per pair at most."""
    radius: float = 2.0
    """Matches nearer than this to a better one are not drawn, patches."""
    mass: float = 1.0
    """Share of a head's attention that is shown; 0.6 leaves its strongest places."""
