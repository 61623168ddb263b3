"""Which file feeds which: the paths and flags the workflow's rules are filled in with.

The Snakefile makes one `Dag` from the configuration and asks it; nothing here touches a file except
`check_sources`.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from sauropod.blocks import pool_blocks, reference_blocks
from sauropod.config import Source
from sauropod.errors import InputError
from sauropod.evaluate.plan import Evaluation, is_plain
from sauropod.load_config import Config, words
from sauropod.series import fold
from sauropod.shards import LINKED, Collection, ingest_flags, shards, sources

T = TypeVar("T")

WORLD = "world"
TRUTH = f"{WORLD}/truth.parquet"
MAIN, EMBEDDER = "main", "embedder"  # runs of pretrain
PRETRAINED, ADAPTED, DISTILLED = "pretrained", "adapted", "distilled"  # models of the main run


def _mode(row: str) -> str:
    return row.split(":")[1] if ":" in row else ""


def _spelt(paths: Iterable[str]) -> str:
    return shlex.join(fold(paths))


def same(text: str) -> Callable[[object], str]:
    """Make a params function that says the same for every job.

    Snakemake reads braces in a params text as wildcards, and its lint takes a path there for a
    prefix; what a function returns is left alone.
    """
    return lambda wildcards: text


def more(amount: int) -> Callable[[object, int], int]:
    """Make a resource function: every retry of a job asks for as much again."""
    return lambda wildcards, attempt: amount * attempt


def by(method: Callable[..., T], *names: str) -> Callable[[object], T]:
    """Make an input or params function that asks a method of the DAG with these wildcards."""
    return lambda wildcards: method(*(getattr(wildcards, name) for name in names))


def spelt(method: Callable[..., Iterable[str]], *names: str) -> Callable[[object], str]:
    """Make a params function that spells in few words the files that a method of the DAG names."""
    return lambda wildcards: _spelt(by(method, *names)(wildcards))


def backbone_file(stage: str, run: str) -> str:
    """Path of the backbone that a training run writes."""
    return f"results/{stage}/{run}/backbone.safetensors"


class Dag:
    """Paths and flags of one run, from its configuration."""

    def __init__(self, config: Config) -> None:
        """Derive every list once."""
        self.config = config
        self.all_shards = shards(config)
        self.shards = list(self.all_shards)
        self.pool = self._in("pool")
        self.curated = self._in("curated")
        self.references = self._in("benchmark_test") + self._in("benchmark_train")
        self.first_source = [s for s in self.pool if self._source(s) == config.pool[0].name]
        link, index = config.knobs["link"], config.knobs["index"]
        self.link_blocks = pool_blocks(self.pool, size=link.shards_per_block)
        self.reference_blocks = reference_blocks(
            self.curated + self.references, size=link.shards_per_block
        )
        self.query_blocks = {**self.link_blocks, **self.reference_blocks}
        self.index_blocks = pool_blocks(self.pool, size=index.shards_per_block)
        self.knobs = {stage: shlex.join(words(value)) for stage, value in config.knobs.items()}
        self.speed = {stage: self._speed(flags) for stage, flags in config.speed.items()}
        self.world = [TRUTH] if config.demo else []
        self.pool_names = [source.name for source in config.pool]
        self.claims = shlex.join(config.claims)
        self.nsfw = config.knobs["screen"].nsfw_model
        self.faces = config.knobs["screen"].faces_model
        self._link_tables = {
            s.name: _spelt(self._parts(s, ".parquet")) for s in config.pool if s.kind in LINKED
        }
        grown = config.knobs["screen"].blur_grow
        made, wanted = (config.knobs[stage].backbone for stage in ("embedder", "pretrain"))
        like = EMBEDDER if EMBEDDER in self.runs and made == wanted else MAIN  # the first that ends
        untrained = backbone_file("pretrain", like)
        self.evaluation = Evaluation(config, backbones=self.measured, untrained_like=untrained)
        self.truth_flags = f"--truth {TRUTH} --blur-grow {grown}" if config.demo else ""

    def _speed(self, flags: Mapping[str, object]) -> str:
        """Flags that change only speed; a stage that probes is told the labelled folders."""
        found = [f"--{key}={value}".replace("_", "-") for key, value in flags.items()]
        labelled = [one.path for one in self.config.benchmarks if is_plain(one)]
        if flags.get("probe_every") and labelled:
            found += ["--probe", *labelled]
        return shlex.join(found)

    def _in(self, collection: Collection) -> list[str]:
        return [name for name, s in self.all_shards.items() if s.collection == collection]

    def _is_pool(self, shard: str) -> bool:
        return self.all_shards[shard].collection == "pool"

    @staticmethod
    def made(paths: Iterable[str]) -> list[str]:
        """Those of the files that the workflow makes; the user's own are checked at the start."""
        return [path for path in paths if path.startswith("results/")]

    @staticmethod
    def pattern(names: Iterable[str]) -> str:
        """Return a regular expression that matches exactly these names (or nothing)."""
        return "|".join(map(re.escape, names)) or r"(?!)"

    @staticmethod
    def shard_pattern(shards: Iterable[str]) -> str:
        """Return a short regular expression for shards: their sources, then five digits."""
        sources = dict.fromkeys(shard.rpartition("-")[0] for shard in shards)
        return rf"(?:{'|'.join(map(re.escape, sources))})-\d{{5}}" if sources else r"(?!)"

    @staticmethod
    def series(pattern: str, shards: Iterable[str]) -> Callable[[object], str]:
        """Make a params function that spells the files of many shards in few words."""
        return same(_spelt(pattern.format(shard) for shard in shards))

    # --- ingest ---------------------------------------------------------------------------------

    def _parts(self, source: Source, ending: str) -> list[str]:
        name = f"results/links/{source.name}"
        return [f"{name}-{part:05d}{ending}" for part in range(source.link_parts)]

    def links_of(self, shard: str) -> list[str]:
        """What says that all links of a pool shard's source are known; none for files."""
        source = self.all_shards[shard].source
        return [f"results/links/{source.name}.summary.parquet"] if source.kind in LINKED else []

    def link_summaries(self, name: str) -> list[str]:
        """SUMMARY tables of a source's link jobs."""
        return self._parts(self._pool_source(name), ".summary.parquet")

    @property
    def links(self) -> list[str]:
        """Every link table of the pool."""
        linked = [source for source in self.config.pool if source.kind in LINKED]
        return [path for source in linked for path in self._parts(source, ".parquet")]

    def _pool_source(self, name: str) -> Source:
        return next(source for source in self.config.pool if source.name == name)

    def link_flags(self, link_part: str) -> str:
        """Flags of `links.py` that say which archives to read."""
        name, _, number = link_part.rpartition("-")
        source = self._pool_source(name)
        where = ["--source", source.path, "--kind", source.kind]
        return shlex.join(
            [*where, "--part", str(int(number)), "--num-parts", str(source.link_parts)]
        )

    def ingest_flags(self, shard: str) -> str:
        """Flags of `ingest.py` that say where the shard's images come from."""
        source = self.all_shards[shard].source
        flags = shlex.join(ingest_flags(self.all_shards[shard]))
        if source.kind not in LINKED:
            return flags
        return f"--links {self._link_tables[source.name]} {flags}"

    def images_of(self, shard: str) -> str:
        """IMAGES table of a shard: screened for the pool."""
        return f"results/{'screen' if self._is_pool(shard) else 'ingest'}/{shard}.parquet"

    def tar_of(self, shard: str) -> str:
        """Tar with the bytes of a shard: screened for the pool."""
        return str(Path(self.images_of(shard)).with_suffix(".tar"))

    def given(self) -> list[str]:
        """Paths of the datasets and weights that no job makes."""
        collections: tuple[Collection, ...] = ("pool", "curated", "benchmark_test")
        paths = [s.path for collection in collections for s in sources(self.config, collection)]
        paths += [one.path for one in self.config.benchmarks if one.layout != "image_folder"]
        shown = self.config.knobs["visualise"]
        paths += [*shown.images, *shown.dense_images]
        paths += [one.transfer for one in self.config.benchmarks if one.transfer]
        paths += [self.nsfw, self.faces, self.embedder, self.sscd, *self.config.models.values()]
        return [p for p in dict.fromkeys(paths) if not p.startswith(("results/", f"{WORLD}/"))]

    def check_sources(self) -> None:
        """Check, before any job, that every dataset and weights file named is there.

        Raises:
            InputError: the paths that are missing, in one sentence.
        """
        if missing := [path for path in self.given() if not Path(path).exists()]:
            fix = "put them there, or correct their paths in the configuration"
            found = f"nothing at {', '.join(missing)}"
            raise InputError(Path("config"), expected="datasets and weights", found=found, fix=fix)

    # --- link and index -------------------------------------------------------------------------

    def described(self, block: str) -> list[str]:
        """Descriptors of a block's shards."""
        return [f"results/describe/{shard}.parquet" for shard in self.query_blocks[block]]

    def embedded(self, block: str) -> list[str]:
        """Embeddings of a block's shards."""
        return [f"results/embed/{shard}.parquet" for shard in self.index_blocks[block]]

    def screened(self, block: str) -> list[str]:
        """IMAGES of a block's shards."""
        return [f"results/screen/{shard}.parquet" for shard in self.index_blocks[block]]

    def known_by(self, block: str) -> list[str]:
        """What a search for a block waits for: of the pool the one file made of its shards."""
        if block in self.link_blocks:
            return [f"results/link/index/{block}.faiss"]
        return self.described(block)

    def search_flags(self, query_block: str, pool_block: str) -> str:
        """Flags of `link.py` that say which shards are searched in which."""
        queries, pool = (_spelt(self.described(block)) for block in (query_block, pool_block))
        return f"--queries {queries} --pool {pool} {self.reference_flag(query_block)}"

    def reference_flag(self, query_block: str) -> str:
        """Say whether a block's images are references, all of whose near images are found."""
        return f"--reference {query_block in self.reference_blocks}"

    def link_parts(self, query_block: str) -> list[str]:
        """What every block of the pool gave a block of queries."""
        return [f"results/link/parts/{query_block}/{b}.parquet" for b in self.link_blocks]

    # --- retrieve -------------------------------------------------------------------------------

    def rows_of(self, dataset: str) -> list[str]:
        """Rows of the recipe that retrieve images of the pool for a curated dataset."""
        recipe = self.config.knobs["manifest"].recipe
        return [row for row in recipe if row.split(":")[0] == dataset and _mode(row) != "as_is"]

    @property
    def retrieved(self) -> list[str]:
        """Curated datasets that retrieve images of the pool, in the recipe's order."""
        recipe = self.config.knobs["manifest"].recipe
        names = dict.fromkeys(row.split(":")[0] for row in recipe)
        return [name for name in names if self.rows_of(name)]

    def searched_of(self, dataset: str) -> list[str]:
        """What the dataset's rows search: the index for `sample`, centroids for `cluster`."""
        modes = {_mode(row) for row in self.rows_of(dataset)}
        index = [f"results/index/{b}.faiss" for b in self.index_blocks] if "sample" in modes else []
        return index + (["results/cluster/centroids.safetensors"] if "cluster" in modes else [])

    def pool_of(self, dataset: str) -> list[str]:
        """Tables of the pool that the dataset's rows read: embeddings, clusters, or both."""
        modes = {_mode(row) for row in self.rows_of(dataset)}
        embeddings = self.pool if "sample" in modes else []
        clusters = self.index_blocks if "cluster" in modes else []
        found = [f"results/embed/{shard}.parquet" for shard in embeddings]
        return found + [f"results/cluster/{block}.parquet" for block in clusters]

    def retrieve_flags(self, dataset: str) -> str:
        """Flags of `retrieve.py` that say which rows it serves and what they search."""
        flags = ["--dataset", dataset, "--rows", *self.rows_of(dataset)]
        searched = self.searched_of(dataset)
        if index := [path for path in searched if path.endswith(".faiss")]:
            sizes = [str(len(shards)) for shards in self.index_blocks.values()]
            flags += ["--index", *fold(index), "--index-shards", *sizes]
        for path in searched[len(index) :]:
            flags += [f"--{Path(path).stem}", path]
        tables = self.pool_of(dataset)
        for flag, stage in (("--embeddings", "embed"), ("--clusters", "cluster")):
            paths = [path for path in tables if path.startswith(f"results/{stage}/")]
            flags += [flag, *fold(paths)] if paths else []
        return shlex.join(flags)

    def copies_of(self, shard: str) -> list[str]:
        """COPIES table that says which images of a pool shard are kept; none for curated ones."""
        return ["results/dedup/copies.parquet"] if self._is_pool(shard) else []

    def followed(self, stage: str) -> str:
        """Knobs the pool follows in a stage: its own; in `embed` those of what is kept, too."""
        keeping = ("train_sscd", "describe", "hash", "link", "dedup") if stage == "embed" else ()
        return " ".join(self.knobs[name] for name in (stage, *keeping))

    def queries_of(self, dataset: str) -> list[str]:
        """Embeddings of a curated dataset's shards."""
        return [f"results/embed/{s}.parquet" for s in self.curated if self._source(s) == dataset]

    def _source(self, shard: str) -> str:
        return self.all_shards[shard].source.name

    # --- train ----------------------------------------------------------------------------------

    @property
    def runs(self) -> list[str]:
        """Pretraining runs: the main one, the bootstrap embedder, and those to compare with."""
        embedder = [] if self.config.knobs["embed"].weights else [EMBEDDER]
        return [MAIN, *embedder, *self.config.runs]

    def run_knobs(self, run: str) -> str:
        """Knobs of a pretraining run."""
        named = {MAIN: self.config.knobs["pretrain"], EMBEDDER: self.config.knobs["embedder"]}
        return shlex.join(words({**named, **self.config.runs}[run]))

    def manifest_of(self, run: str) -> str:
        """Manifest a pretraining run reads: `lvd`, `uncurated`, `balanced` or `curated`."""
        data = {MAIN: self.config.data, EMBEDDER: "curated", **self.config.data_of_run}
        return f"results/manifest/{data[run]}.parquet"

    @property
    def manifest(self) -> str:
        """Manifest of the main run, of which the others are made and the report tells."""
        return self.manifest_of(MAIN)

    @property
    def _manifest_summaries(self) -> list[str]:
        read = {self.config.data, *self.config.data_of_run.values()}
        names = [""] if read & {"lvd", "uncurated"} else []
        return [*names, "balanced."] if "balanced" in read else names

    @property
    def embedder(self) -> str:
        """Backbone that embeds images for retrieval: given, or pretrained on the curated sets."""
        return self.config.knobs["embed"].weights or backbone_file("pretrain", EMBEDDER)

    @property
    def sscd(self) -> str:
        """Weights of the copy-detection descriptor: given, or trained here."""
        return self.config.knobs["describe"].weights or "results/train_sscd/sscd.safetensors"

    @property
    def students(self) -> list[str]:
        """Folders of `results/distill`: one per student, or the main run's for a student alone."""
        return list(self.config.knobs["distill"].students) or [MAIN]

    @property
    def distilled(self) -> dict[str, str]:
        """Distilled models, `distilled` or `distilled_vit_small` and so on, and their backbones."""
        alone = self.students == [MAIN]
        names = {(DISTILLED if alone else f"{DISTILLED}_{s}"): s for s in self.students}
        return {name: backbone_file("distill", student) for name, student in names.items()}

    # --- evaluate -------------------------------------------------------------------------------

    @property
    def measured(self) -> dict[str, str]:
        """Backbones to measure, by the model: those this run trains, and those that are named."""
        runs = {PRETRAINED: MAIN, **{run: run for run in self.config.runs}}
        pretrained = {model: backbone_file("pretrain", run) for model, run in runs.items()}
        adapted = {ADAPTED: backbone_file("adapt", MAIN)}
        return {**pretrained, **adapted, **self.distilled, **self.config.models}

    @property
    def weights(self) -> list[str]:
        """Backbones that this run trains."""
        trained = [backbone_file("pretrain", run) for run in self.runs]
        return [*trained, backbone_file("adapt", MAIN), *self.distilled.values()]

    @property
    def _trainings(self) -> list[str]:
        """Training jobs by their folder, the descriptor's too when it is trained here."""
        descriptor = [] if self.config.knobs["describe"].weights else ["train_sscd"]
        runs = [f"pretrain/{run}" for run in self.runs]
        return [*descriptor, *runs, f"adapt/{MAIN}", f"distill/{MAIN}"]

    @property
    def training_logs(self) -> list[str]:
        """Training logs of this run."""
        return [f"results/{job}/log.parquet" for job in self._trainings]

    @property
    def summaries(self) -> list[str]:
        """SUMMARY tables, in the order of the DAG."""
        pool = [[f"results/{stage}/{s}" for s in self.pool] for stage in ("ingest", "screen")]
        linked = [source.name for source in self.config.pool if source.kind in LINKED]
        links = [f"results/links/{name}" for name in linked]
        stages = [links, *pool, [f"results/ingest/{s}" for s in self.curated]]
        per_shard = [path for paths in stages for path in paths]
        whole = [f"results/{stage}/" for stage in ("hash", "link", "dedup")]
        retrieved = [f"results/retrieve/{dataset}" for dataset in self.retrieved]
        named = [f"{path}.summary.parquet" for path in (*per_shard, *retrieved)]
        whole += [f"results/manifest/{name}" for name in self._manifest_summaries]
        return [*named, *(f"{path}summary.parquet" for path in whole)]

    @property
    def timings(self) -> list[str]:
        """Snakemake's benchmark files of the jobs that take longest."""
        jobs = [f"{job}/{job}" if job == "train_sscd" else job for job in self._trainings]
        jobs += [f"{stage}/{s}" for stage in ("ingest", "screen", "describe") for s in self.pool]
        return [f"benchmarks/{job}.tsv" for job in jobs]
