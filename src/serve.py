"""Serve the demo's website on a free loopback port: until SIGTERM, or while a command runs.

python src/serve.py --site world/site --hosts world/hosts
python src/serve.py --site world/site -- python src/ingest.py --links ...   # gets --hosts FILE
"""

import signal
import threading
from pathlib import Path
from typing import Annotated

import tyro

from sauropod import cli
from sauropod.demo.server import serve, serve_during
from sauropod.errors import InputError


def main(
    site: Path,
    command: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
    hosts: Path | None = None,
) -> None:
    """Serve every host folder of a site by the Host header.

    Args:
        site: Folder with one folder per host and behaviours.json, made by demo.py.
        command: Program to run meanwhile, after `--`; it is given `--hosts FILE`.
        hosts: Without a command: hosts file to write once the server listens,
            `127.0.0.1:PORT host host ...`.
    """
    if command:
        raise SystemExit(serve_during(site, command))
    if hosts is None:
        fix = "name the hosts file, or give a command after --"
        raise InputError(site, expected="--hosts", found="none", fix=fix)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serve(site, hosts, stop=stop)


if __name__ == "__main__":
    cli.run(main)
