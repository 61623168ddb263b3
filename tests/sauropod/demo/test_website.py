"""Pages: an image's address survives every way of spelling it."""

from urllib.parse import urljoin

import numpy as np
import pytest
from selectolax.lexbor import LexborHTMLParser

from sauropod.demo.copies import Encoded
from sauropod.demo.ledger import NO_FACES
from sauropod.demo.pool import BLOG, GALLERY, Item
from sauropod.demo.traps import bomb
from sauropod.demo.website import STYLES, Style, address, document

FILE = Encoded(b"", ".jpg", NO_FACES)
ODD = Item(GALLERY, "photos/café 0001.jpg", "size=full&v=2", FILE, "cat")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("host", [GALLERY, BLOG])
def test_every_style_leads_to_the_image(style: Style, host: str) -> None:
    shown = style(address(ODD, host, "pages"), "")
    tree = LexborHTMLParser(document("t", [shown]))
    found = set()
    for node in tree.css("img, source"):
        for name, value in node.attributes.items():
            if name in ("src", "srcset", "data-src", "data-srcset", "data-original"):
                words = [part.split()[0] for part in (value or "").split(",") if part.strip()]
                found |= {urljoin(f"http://{host}/pages/001.html", word) for word in words}
    assert ODD.url == f"http://{GALLERY}/photos/caf%C3%A9%200001.jpg?size=full&v=2"
    assert ODD.url in found


def test_base_changes_what_relative_means() -> None:
    item = Item(BLOG, "media/0001.jpg", "", FILE, "cat")
    spelt = address(item, BLOG, "media").relative
    assert spelt == "0001.jpg"
    assert urljoin(f"http://{BLOG}/media/", spelt) == item.url


def test_the_bomb_is_small_and_claims_to_be_large() -> None:
    data = bomb()
    assert len(data) < 200
    assert np.frombuffer(data[16:24], dtype=">u4").tolist() == [50_000, 50_000]
