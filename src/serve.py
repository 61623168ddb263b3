"""Serve the demo's website on a free loopback port until SIGTERM.

python src/serve.py --site world/site --hosts world/hosts
"""

import signal
import threading
from pathlib import Path

from sauropod import cli
from sauropod.demo.server import serve


def main(site: Path, hosts: Path) -> None:
    """Serve every host folder of a site by the Host header.

    Args:
        site: Folder with one folder per host and behaviours.json, made by demo.py.
        hosts: Hosts file to write once the server listens: `127.0.0.1:PORT host host ...`.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serve(site, hosts, stop=stop)


if __name__ == "__main__":
    cli.run(main)
