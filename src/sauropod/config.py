"""Every knob of the data stages: one frozen dataclass per stage.

A knob changes results; what changes only speed (workers, devices, batch sizes of inference) is a
flag of the script and lives in the `speed` block. The training stages' knobs are in
`train/config.py`, those of evaluation in `evaluate/config.py`, the demo's in `demo/config.py`. They
import nothing heavy, because the Snakefile imports them.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Source:
    """A set of images: part of the pool, or a curated dataset."""

    name: str
    """Letters, digits and underscores; unique over the whole configuration."""
    kind: Literal["warc", "wat", "urls", "folder", "tars"] = "folder"
    """How `path` is laid out."""
    path: str
    """Archive, list of archives (.paths), URL table, folder of images, or folder of tar shards."""
    shards: int = 1
    """Shards to make of it; 10 to 30 minutes of work each is a good size."""
    link_parts: int = 1
    """Jobs that extract links (kinds warc, wat and urls)."""


@dataclass(frozen=True, kw_only=True)
class Links:
    """Extract image links from web archives and refuse those that policy forbids."""

    version: int = 1
    """Raise when the code changes results."""
    blocked_domains: tuple[str, ...] = ()
    """Text files of domain suffixes to refuse, one per line."""
    blocked_urls: tuple[str, ...] = ()
    """Text files of substrings (or /regular expressions/) to refuse, one per line."""
    honour_meta_robots: bool = True
    """Leave out images of pages whose robots <meta> or X-Robots-Tag opts out."""
    opt_out_tokens: tuple[str, ...] = ("noai", "noimageai", "noimageindex")
    """Robots directives of a page that opt its images out."""
    max_page_bytes: int = 4_000_000
    """A page is cut after this many bytes."""
    max_links_per_page: int = 2_000
    """Image references read from one page."""


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """Download or read images, validate them and pack them into tar shards."""

    version: int = 1
    """Raise when the code changes results."""
    max_bytes: int = 20_000_000
    """Largest response, bytes."""
    max_pixels: int = 50_000_000
    """Largest image, pixels."""
    min_side: int = 32
    """Smallest side kept, pixels."""
    deadline_s: float = 60.0
    """Time one URL may take in all, redirects and retries included."""
    retries: int = 2
    """Retries after errors that may pass."""
    max_redirects: int = 5
    """Redirects followed."""
    concurrency: int = 128
    """Downloads at once."""
    per_host: int = 8
    """Downloads at once from one host."""
    host_delay_s: float = 0.0
    """Pause between requests to one host."""
    max_crawl_delay_s: float = 10.0
    """Longest Crawl-delay of a robots.txt obeyed."""
    max_retry_after_s: float = 30.0
    """Longest Retry-After obeyed."""
    connect_timeout_s: float = 15.0
    """Time a connection may take to open."""
    shard_deadline_s: float = 14_400.0
    """Time all downloads of a shard may take; what is left then is a timeout."""
    honour_robots: bool = True
    """Obey robots.txt (RFC 9309)."""
    honour_opt_out: bool = True
    """Obey the opt-out tokens in X-Robots-Tag, and tdm-reservation."""
    opt_out_tokens: tuple[str, ...] = ("noai", "noimageai", "noindex", "noimageindex")
    """Directives of X-Robots-Tag that opt an image out."""
    user_agent: str = "sauropod/0.1 (+https://example.org/set-your-contact)"
    """Name and contact the crawler gives."""


@dataclass(frozen=True, kw_only=True)
class Screen:
    """Drop unsafe images and blur faces with two ONNX models."""

    version: int = 1
    """Raise when the code changes results."""
    nsfw_model: str = "weights/nsfw.onnx"
    """ONNX image classifier."""
    nsfw_threshold: float = 0.5
    """Images with at least this score are dropped."""
    faces_model: str = "weights/faces.onnx"
    """ONNX face detector."""
    faces_format: Literal["grid", "yunet"] = "yunet"
    """Layout of the face detector's output."""
    faces_threshold: float = 0.5
    """Faces with at least this score are blurred."""
    nsfw_size: int = 224
    """Side of the classifier's square input where its file leaves it free, pixels."""
    nsfw_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Mean of red, green and blue that the classifier expects removed, of pixels from 0 to 1."""
    nsfw_std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Standard deviation that the classifier expects divided out."""
    nsfw_classes: tuple[int, ...] = (1,)
    """Numbers of the unsafe classes in the classifier's output; their probabilities add up."""
    nsfw_activation: Literal["softmax", "sigmoid", "none"] = "softmax"
    """What turns the classifier's output into probabilities."""
    faces_size: int = 640
    """Longer side of the image for the face detector where its file leaves it free, pixels."""
    faces_overlap: float = 0.3
    """Intersection over union above which the weaker of two boxes is the same face."""
    blur_grow: float = 0.1
    """Growth of a face box on every side before blurring, share of its longer side."""
    blur_sigma: float = 0.1
    """Standard deviation of the blur, share of the box's longer side."""
    jpeg_quality: int = 95
    """Quality of the JPEG that an image with blurred faces is encoded to."""


@dataclass(frozen=True, kw_only=True)
class SscdArch:
    """The network behind a copy-detection descriptor."""

    trunk: Literal["resnet50", "resnet18", "resnext101"] = "resnet50"
    """Residual network (resnext101: 32 groups of 4 channels, as the authors' large one)."""
    width: int = 64
    """Channels of its first stage."""
    dim: int = 512
    """Length of the descriptor."""
    gem_p: float = 3.0
    """Power of the generalised-mean pooling."""


@dataclass(frozen=True, kw_only=True)
class Describe:
    """Compute copy-detection descriptors."""

    version: int = 2
    """Raise when the code changes results."""
    weights: str = ""
    """SSCD weights: TorchScript, torchvision or classy layout, or ours; empty trains one."""
    resize: Literal["short", "square"] = "short"
    """Resize the short side keeping the aspect ratio, or both sides."""
    resolution: int = 288
    """Target of the resize, pixels."""


@dataclass(frozen=True, kw_only=True)
class Hash:
    """Hash similarity features to 64 bits: PCA, then the signs."""

    version: int = 4
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of the sample the PCA is fitted on."""
    features: Literal["descriptor", "pixels"] = "descriptor"
    """What is hashed: SSCD descriptors, or 32x32 grey pixels."""
    sample: int = 1_000_000
    """Images the PCA is fitted on."""
    radius: int = 0
    """Largest Hamming distance between duplicates, 0 to 3."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """Find near copies: k nearest descriptors, exact cosine above a threshold."""

    version: int = 2
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of the index's training sample."""
    shards_per_block: int = 64
    """Shards searched together; a job holds the descriptors of two blocks in memory."""
    factory: str = "OPQ64_256,IVF16384,PQ64x4fs"
    """Faiss index; `Flat` is exact. Lists of codes of 8 bits (`PQ64`) stay on disk. Where few of
    many lists are visited, codes choose them faster: `IVF16384(PQ128x4fs,RFlat),PQ64x4fs`."""
    train_sample: int = 4_000_000
    """Descriptors the index is trained on."""
    list_iterations: int = 10
    """k-means iterations of the index's lists."""
    code_iterations: int = 25
    """k-means iterations of the product codes."""
    rotation_iterations: int = 50
    """Iterations of the learned rotation (OPQ)."""
    num_probes: int = 16
    """Lists visited per query."""
    neighbours: int = 64
    """Neighbours per image."""
    over_fetch: int = 2
    """Candidates per neighbour that are re-ranked exactly, in every block."""
    threshold: float = 0.45
    """Smallest cosine of an edge: the lower of dedup's two thresholds."""
    audit: int = 1000
    """Queries per block that are also searched exactly, to measure recall; 0 is none."""


@dataclass(frozen=True, kw_only=True)
class Dedup:
    """Keep one image per component of copies; drop components that touch a benchmark."""

    version: int = 2
    """Raise when the code changes results."""
    copy_threshold: float = 0.6
    """Cosine above which two pool images are copies."""
    overlap_threshold: float = 0.45
    """Cosine above which a pool image overlaps a reference."""
    overlap: Literal["component", "direct"] = "component"
    """Drop whole components that touch a reference, or its direct neighbours only."""
    references: tuple[Literal["curated", "benchmark_train", "benchmark_test"], ...] = (
        "curated",
        "benchmark_train",
        "benchmark_test",
    )
    """What the pool is decontaminated against."""
    max_component_share: float = 0.05
    """Stop when one component holds more than this share of the pool."""


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Embed images with the bootstrap backbone."""

    version: int = 2
    """Raise when the code changes results."""
    weights: str = ""
    """Backbone weights; empty pretrains one on the curated sets."""
    resize: int = 256
    """Short side after the resize, pixels."""
    crop: int = 224
    """Side of the centre crop, pixels."""


@dataclass(frozen=True, kw_only=True)
class Index:
    """Build the index of the pool's embeddings."""

    version: int = 2
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of the training sample."""
    shards_per_block: int = 64
    """Shards indexed together; a search holds the embeddings of one block in memory."""
    factory: str = "OPQ64_256,IVF16384,PQ64x4fs"
    """Faiss index; `Flat` is exact. Lists of codes of 8 bits (`PQ64`) stay on disk."""
    train_sample: int = 4_000_000
    """Embeddings the index is trained on."""
    list_iterations: int = 10
    """k-means iterations of the index's lists."""
    code_iterations: int = 25
    """k-means iterations of the product codes."""
    rotation_iterations: int = 50
    """Iterations of the learned rotation (OPQ)."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Cluster the pool's embeddings by k-means: a sample is fitted, then every shard assigned."""

    version: int = 4
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of the sample and of the first centroids."""
    clusters: int = 100_000
    """Number of centroids."""
    iterations: int = 20
    """Iterations over the sample."""
    levels: Literal[1, 2] = 1
    """2: sqrt(clusters) first, then each is split; far less work, a slightly worse objective."""
    sample: int = 25_600_000
    """Embeddings of the pool's first source that the centroids are fitted on."""
    resampling_steps: int = 0
    """How often they are fitted again on the points nearest to them; for balance, not retrieval."""
    points_per_cluster: int = 10
    """Points that stand for a cluster when it is fitted again."""


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Draw a training set evenly over a hierarchy of clusters, without any curated set."""

    version: int = 2
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of the levels and of the draw within clusters."""
    target: int = 142_109_386
    """Images to draw."""
    levels: tuple[int, ...] = (20_000, 2_000)
    """Clusters of the second level (of the centroids of cluster), the third, and so on."""
    iterations: int = 50
    """Iterations of every k-means."""
    resampling_steps: int = 10
    """How often a level is fitted again on the points nearest to its centroids."""
    points_per_cluster: int = 3
    """Points that stand for a cluster when its level is fitted again; half its mean size."""


@dataclass(frozen=True, kw_only=True)
class Retrieve:
    """Find images of the pool near a curated set, one job per row of manifest's recipe."""

    version: int = 3
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of the draw within clusters."""
    num_probes: int = 16
    """Lists visited per query."""
    over_fetch: int = 16
    """Candidates per neighbour that are re-ranked exactly."""
    per_cluster: int = 10_000
    """Images taken from a cluster (M)."""
    min_queries: int = 4
    """A cluster is used when it holds at least this many queries (the paper: more than 3)."""
    cap: int = 1_000_000
    """Most images a curated set may bring in cluster mode."""
    audit: int = 1000
    """Queries that are also searched exactly, to measure recall; 0 is none."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Assemble the training set from the recipe's rows."""

    version: int = 2
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of the uncurated sample."""
    recipe: tuple[str, ...] = ()
    """Rows `dataset:as_is`, `dataset:sample:N` (N images per query) or `dataset:cluster`."""
    multiplicity: Literal["keep", "once"] = "keep"
    """An image retrieved twice is two rows, as the paper counts, or one."""
