"""Tell the whole story of an image: where it came from, what every stage said of it, and why.

python src/why.py --results results --url https://example.org/cat.jpg
python src/why.py --results runs/demo/results --image-id 4294967299 --json True
"""

import sys
from json import dumps
from pathlib import Path

from sauropod import cli
from sauropod.errors import InputError
from sauropod.ledger import story
from sauropod.ledger.catalogue import Catalogue


def main(
    results: Path,
    image_id: int | None = None,
    url: str | None = None,
    sha256: str | None = None,
    json: bool = False,
) -> None:
    """Print every table's word on an image, in the order of the DAG.

    Args:
        results: Folder `results` of a run.
        image_id: Which image, by its id,
        url: or by the URL it came from (or its name in a folder or tar),
        sha256: or by its bytes, as downloaded or as screened.
        json: Print one JSON object per image instead of text.
    """
    asked = [flag for flag in (image_id, url, sha256) if flag is not None]
    if len(asked) != 1:
        flags, fix = "--image-id, --url, --sha256", "give one"
        raise InputError(flags, expected="one of them", found=f"{len(asked)}", fix=fix)
    tables = Catalogue(results)
    if image_id is not None:
        stories = story.by_id(tables, image_id)
    elif url is not None:
        stories = story.by_url(tables, url)
    else:
        stories = story.by_sha256(tables, str(sha256))
    for told in stories:
        text = dumps(told.plain(), default=str) if json else str(told)
        sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    cli.run(main)
