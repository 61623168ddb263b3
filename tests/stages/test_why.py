"""why: prints the story of an image, as text or JSON."""

import json
from pathlib import Path

from tests.sauropod.ledger.conftest import URLS, build
from tests.stages.command import command


def test_text_json_and_never_seen(tmp_path: Path) -> None:
    run = build(tmp_path)
    ended = command("why", "--results", run.results, "--image-id", run.ids[URLS[1]])
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"image {run.ids[URLS[1]]}\n")
    assert "a row of the training set, sample by set" in ended.stdout
    ended = command("why", "--results", run.results, "--url", URLS[1], "--json", "True")
    told = json.loads(ended.stdout)
    assert told["image_id"] == run.ids[URLS[1]]
    assert {"stage", "text", "file", "facts"} == set(told["events"][0])
    ended = command("why", "--results", run.results, "--url", "http://nowhere.org/")
    assert ended.returncode == 2
    assert "expected an image this run has seen, found none" in ended.stderr


def test_one_way_to_name_it(tmp_path: Path) -> None:
    ended = command("why", "--results", tmp_path)
    assert ended.returncode == 2
    assert "--image-id, --url, --sha256: expected one of them" in ended.stderr
