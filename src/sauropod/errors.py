"""The two ways a stage ends early that are not bugs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path


class InputError(Exception):
    """The user's mistake: one sentence with the file, what was expected, what was found, the fix.

    `cli.run` prints it and exits with code 2. Our own mistakes are asserts and tracebacks (exit 1).
    """

    def __init__(self, path: Path | str, *, expected: str, found: str, fix: str) -> None:
        """Compose the sentence.

        Args:
            path: File, folder or knob at fault.
            expected: What should have been there.
            found: What is there.
            fix: What to do about it.
        """
        super().__init__(f"{path}: expected {expected}, found {found}; {fix}")
        self._again = partial(InputError, path, expected=expected, found=found, fix=fix)

    def __reduce__(self) -> tuple[Callable[[], "InputError"], tuple[()]]:
        """Let the error travel between processes: pickle would call the class with one argument."""
        return self._again, ()


class Checkpointed(Exception):
    """Stopped by a signal after a complete checkpoint: exit code 75, run the same command again."""
