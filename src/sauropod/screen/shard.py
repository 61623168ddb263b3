"""Screen one shard: drop unsafe images, blur faces in the bytes that are kept.

Every image is decoded small once for both detectors; only images with faces are decoded in full,
blurred and encoded again. All others keep their bytes.
"""

import hashlib
import io as std_io
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from sauropod import images, io, schema
from sauropod.config import Screen
from sauropod.progress import track
from sauropod.screen import blur, detectors

MODEL_ID_CHARS = 16
FACE_FIELDS = ("left", "top", "width", "height", "score")


@dataclass(frozen=True)
class Verdict:
    """What screening made of one image.

    `boxes` are pixels of the upright image; `data` are the bytes to keep, None when dropped;
    `size` is width and height when the image was encoded again.
    """

    status: str
    score: float | None = None
    boxes: np.ndarray | None = None
    data: bytes | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Screened:
    """One shard's tables and its count of dropped rows by reason."""

    images: pl.DataFrame
    screened: pl.DataFrame
    dropped: dict[str, int]


def screen_shard(
    table: pl.DataFrame,
    *,
    out_tar: Path,
    nsfw: detectors.Network,
    faces: detectors.Network,
    knobs: Screen,
    batch_size: int,
    num_threads: int,
) -> Screened:
    """Screen the rows of an IMAGES table with status ok and write the tar of what is kept.

    Args:
        table: IMAGES of the shard; rows with another status pass through unchanged.
        out_tar: Tar to write, members in row order.
        nsfw: Unsafe detector.
        faces: Face detector.
        knobs: Thresholds and normalisation.
        batch_size: Images per call of a detector; changes only speed and memory.
        num_threads: Threads that decode.

    Returns:
        IMAGES with the new places (and status `unsafe` or a decoding status where dropped),
        SCREENED for every image that could be decoded, and the dropped rows by reason.
    """
    rows = table.rows(named=True)
    todo = [i for i, row in enumerate(rows) if row["status"] == "ok"]
    verdicts: dict[int, Verdict] = {}
    with io.TarWriter(out_tar) as writer, ThreadPoolExecutor(num_threads) as pool:
        batches = [todo[i : i + batch_size] for i in range(0, len(todo), batch_size)]
        for batch in track(
            batches, total=len(todo), label="screen", unit="images", weight=batch_size
        ):
            data = [
                io.read_range(
                    Path(rows[i]["tar"]), offset=rows[i]["offset"], num_bytes=rows[i]["num_bytes"]
                )
                for i in batch
            ]
            judged = screen_batch(data, nsfw=nsfw, faces=faces, knobs=knobs, pool=pool)
            for i, verdict in zip(batch, judged, strict=True):
                rows[i] = _place(rows[i], verdict, writer, out_tar)
                verdicts[i] = replace(verdict, data=None)
    dropped = Counter(v.status for v in verdicts.values() if v.status != "ok")
    decoded = [(rows[i]["image_id"], v) for i, v in verdicts.items() if v.score is not None]
    return Screened(
        pl.DataFrame(rows, schema=dict(schema.IMAGES.columns)),
        _screened(decoded, nsfw=nsfw, faces=faces),
        dict(dropped),
    )


def screen_batch(
    data: list[bytes],
    *,
    nsfw: detectors.Network,
    faces: detectors.Network,
    knobs: Screen,
    pool: ThreadPoolExecutor,
) -> list[Verdict]:
    """Judge encoded images; the verdicts come in the same order."""
    views = list(pool.map(lambda d: _views(d, nsfw.size, faces.size), data))
    verdicts = [Verdict(view) if isinstance(view, str) else None for view in views]
    decoded = {i: view for i, view in enumerate(views) if not isinstance(view, str)}
    if not decoded:
        return [v for v in verdicts if v is not None]
    squashed = np.stack([view[0] for view in decoded.values()])
    scores = detectors.unsafe_scores(nsfw, squashed, knobs=knobs)
    safe = {}
    for i, score in zip(decoded, scores.tolist(), strict=True):
        if score >= knobs.nsfw_threshold:
            verdicts[i] = Verdict("unsafe", score=score, boxes=np.empty((0, 5), np.float32))
        else:
            safe[i] = score
    boxes = _faces([decoded[i] for i in safe], faces, knobs)
    kept = pool.map(lambda i, b: _keep(data[i], safe[i], b, knobs), safe, boxes)
    for i, verdict in zip(safe, kept, strict=True):
        verdicts[i] = verdict
    return [v for v in verdicts if v is not None]


View = tuple[np.ndarray, np.ndarray, tuple[float, float]]


def _views(data: bytes, nsfw_size: int, faces_size: int) -> View | str:
    """Decode once, small; the two detectors' inputs, or the status of an image that will not."""
    try:
        image = images.decode(data, draft=max(nsfw_size, faces_size))
    except images.ImageError as error:
        return error.status
    boxed, filled = detectors.letterbox(image, size=faces_size)
    return detectors.squash(image, size=nsfw_size), boxed, filled


def _faces(views: list[View], network: detectors.Network, knobs: Screen) -> list[np.ndarray]:
    if not views:
        return []
    return detectors.find_faces(
        network, np.stack([view[1] for view in views]), [view[2] for view in views], knobs=knobs
    )


def _keep(data: bytes, score: float, fractions: np.ndarray, knobs: Screen) -> Verdict:
    """Keep an image's bytes, or those of its blurred copy when it has faces."""
    if len(fractions) == 0:
        return Verdict("ok", score=score, boxes=fractions, data=data)
    try:
        image = images.decode(data)
    except images.ImageError as error:
        return Verdict(error.status)
    boxes = fractions * np.asarray([*image.size, *image.size, 1], np.float32)
    blurred = blur.blur_boxes(
        np.asarray(image), boxes, grow=knobs.blur_grow, sigma=knobs.blur_sigma
    )
    # A profile of another colour space (CMYK) no longer describes the RGB pixels.
    profile = image.info.get("icc_profile") or b""
    kept = {"icc_profile": profile} if profile[16:20] == b"RGB " else {}
    buffer = std_io.BytesIO()
    Image.fromarray(blurred).save(buffer, "JPEG", quality=knobs.jpeg_quality, **kept)
    return Verdict("ok", score=score, boxes=boxes, data=buffer.getvalue(), size=image.size)


def _place(
    row: dict[str, Any], verdict: Verdict, writer: io.TarWriter, out_tar: Path
) -> dict[str, Any]:
    """Write the kept bytes and return the row with its new place, or without one."""
    if verdict.data is None:
        return row | {"status": verdict.status, "tar": None, "offset": None, "num_bytes": None}
    if verdict.size is not None:
        row = row | {
            "width": verdict.size[0],
            "height": verdict.size[1],
            "format": "jpeg",
            "sha256": hashlib.sha256(verdict.data).hexdigest(),
        }
    offset = writer.add(f"{row['image_id']:020d}.{row['format']}", verdict.data)
    return row | {"tar": str(out_tar), "offset": offset, "num_bytes": len(verdict.data)}


def _screened(
    decoded: Iterable[tuple[int, Verdict]], *, nsfw: detectors.Network, faces: detectors.Network
) -> pl.DataFrame:
    records = []
    for image_id, verdict in decoded:
        assert verdict.boxes is not None
        records.append(
            {
                "image_id": image_id,
                "nsfw_score": verdict.score,
                "faces": [dict(zip(FACE_FIELDS, b, strict=True)) for b in verdict.boxes.tolist()],
                "blurred": verdict.size is not None,
                "nsfw_model": nsfw.sha256[:MODEL_ID_CHARS],
                "faces_model": faces.sha256[:MODEL_ID_CHARS],
            }
        )
    return pl.DataFrame(records, schema=dict(schema.SCREENED.columns))
