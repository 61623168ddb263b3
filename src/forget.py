"""Forget images on request: bytes, rows and places in every manifest; and refuse them from now on.

python src/forget.py --results results --urls urls.txt --dry-run True
python src/forget.py --results results --domains domains.txt --sha256 digests.txt
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from sauropod import cli
from sauropod.ledger import forget, requests, trained
from sauropod.ledger.catalogue import Catalogue


def main(
    results: Path,
    urls: tuple[Path, ...] = (),
    domains: tuple[Path, ...] = (),
    sha256: tuple[Path, ...] = (),
    dry_run: bool = False,
) -> None:
    """Remove images from tars, tables and indexes; run it while no job of the run is under way.

    Args:
        results: Folder `results` of a run.
        urls: Lists of URLs (text, CSV or Parquet), or of names in a folder or tar.
        domains: Lists of domains, one per line; hosts below them too.
        sha256: Lists of SHA-256s of images' bytes, as downloaded or as screened.
        dry_run: Only say what would be done.
    """
    asked = requests.read(urls, domain_files=domains, sha256_files=sha256)
    tables = Catalogue(results)
    found = forget.find(tables, asked)
    if dry_run:
        done = forget.count(tables, found, asked)
    else:
        done = forget.apply(tables, found, asked, at=datetime.now(UTC))
    sys.stdout.write(done.told(dry_run=dry_run))
    if not dry_run:
        sys.stdout.write(trained.told(tables))


if __name__ == "__main__":
    cli.run(main)
