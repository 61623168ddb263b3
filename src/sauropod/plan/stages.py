"""What every stage of a run costs: jobs, images, bytes, core-hours, GPU-hours, memory, days.

Each function is one stage's cost model: its unit costs times its counts. A stage's days are the
longer of its GPU time and its CPU time, on as many GPUs and cores as its jobs can use at once.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sauropod.config import Index, Link, Retrieve
from sauropod.dag import MAIN, Dag
from sauropod.load_config import Config
from sauropod.models.flops import image_flops, step_flops
from sauropod.models.vit import arch_of
from sauropod.plan.costs import Fleet
from sauropod.plan.funnel import Funnel
from sauropod.scatter import PART_ROWS
from sauropod.train.config import Backbone, Pretrain

HOUR, HALF = 3600.0, 2  # seconds; bytes of a float16
HASH_BYTES, EDGE_BYTES, CLUSTER_BYTES, ID_BYTES, ROW_ON_DISK = 16, 20, 24, 8, 120
PER_QUERY, SPREAD = 4, 8  # neighbours per query, the recipe's usual N; rows read per row sampled
BASE_MEMORY = 1e9  # interpreter, libraries and a batch of images


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of the plan. `gpus` and `cores` are what its jobs can use at once."""

    name: str
    jobs: int
    images_in: int
    images_out: int
    read_bytes: float = 0.0
    write_bytes: float = 0.0
    core_hours: float = 0.0
    gpu_hours: float = 0.0
    memory_bytes: float = BASE_MEMORY
    gpus: int = 1
    cores: int = 1

    @property
    def days(self) -> float:
        """Days on the fleet."""
        return max(self.gpu_hours / self.gpus, self.core_hours / self.cores) / 24


@dataclass(frozen=True)
class Planner:
    """Everything that cost models read."""

    config: Config
    funnel: Funnel
    fleet: Fleet
    unit: dict[str, float]

    def stages(self) -> list[Stage]:
        """Plan every stage, in the order of the DAG."""
        parts = (self._ingest, self._bootstrap, self._describe)
        later = (self._dedup, self._embed, self._retrieve, self._train)
        return [stage for part in (*parts, *later) for stage in part()]

    def _stage(self, name: str, jobs: int, images: tuple[int, int], **costs: float) -> Stage:
        per_gpu = max(1, self.fleet.cores // self.fleet.gpus)
        return Stage(
            name=name,
            jobs=jobs,
            images_in=images[0],
            images_out=images[1],
            gpus=min(self.fleet.gpus, jobs),
            cores=min(self.fleet.cores, jobs * per_gpu),
            **costs,
        )

    def _forward_hours(self, flops: float) -> float:
        return flops / (self.fleet.peak * self.unit["forward_mfu"]) / HOUR

    def _core_hours(self, count: float, rate: str) -> float:
        return count / self.unit[rate] / HOUR

    @property
    def _dag(self) -> Dag:
        return Dag(self.config)

    def _ingest(self) -> Iterator[Stage]:
        unit, dag, pool = self.unit, self._dag, self.funnel.crawled
        links = round(pool * unit["links_per_image"])
        size = unit["image_bytes"]
        parts = len(dag.links)
        if dag.links:
            yield self._stage(
                "links",
                parts,
                (links, links),
                core_hours=self._core_hours(links, "links_per_core_s"),
                read_bytes=links * unit["page_bytes_per_link"],
                write_bytes=links * ROW_ON_DISK,
                memory_bytes=BASE_MEMORY + links / max(parts, 1) * unit["row_bytes"],
            )
        every = pool + self.funnel.curated + self.funnel.references
        yield self._stage(
            "ingest",
            len(dag.shards),
            (links + every - pool, every),
            core_hours=self._core_hours(every, "downloads_per_core_s"),
            read_bytes=every * size,
            write_bytes=every * size,
            memory_bytes=BASE_MEMORY + links / len(dag.pool) * unit["row_bytes"],
        )
        yield self._stage(
            "screen",
            len(dag.pool),
            (pool, pool),
            core_hours=self._core_hours(pool, "decodes_per_core_s"),
            gpu_hours=self._forward_hours(pool * unit["screen_flops"]),
            read_bytes=pool * size,
            write_bytes=pool * size,
            memory_bytes=BASE_MEMORY + pool / len(dag.pool) * unit["row_bytes"],
        )

    def _bootstrap(self) -> Iterator[Stage]:
        if not self.config.knobs["describe"].weights:
            knobs = self.config.knobs["train_sscd"]
            images = knobs.batch_size * knobs.steps
            flops = 3 * 2 * images * self._descriptor_flops(knobs.resolution, square=True)
            yield self._training("train_sscd", images, flops)
        if not self.config.knobs["embed"].weights:
            yield self._pretraining("pretrain embedder", self.config.knobs["embedder"])

    def _descriptor_flops(self, resolution: int, *, square: bool) -> float:
        knobs = self.config.knobs["train_sscd"]
        area = (resolution / 224) ** 2 * (1 if square else self.unit["aspect"])
        return self.unit[f"{knobs.arch}_flops_224"] * (knobs.width / 64) ** 2 * area

    def _describe(self) -> Iterator[Stage]:
        pool, unit, dag = self.funnel.crawled, self.unit, self._dag
        every = pool + self.funnel.curated + self.funnel.references
        vector = self.config.knobs["train_sscd"].dim * HALF
        knobs = self.config.knobs["describe"]
        flops = self._descriptor_flops(knobs.resolution, square=knobs.resize == "square")
        yield self._stage(
            "describe",
            len(dag.shards),
            (every, every),
            core_hours=self._core_hours(every, "decodes_per_core_s"),
            gpu_hours=self._forward_hours(every * flops),
            read_bytes=every * unit["image_bytes"],
            write_bytes=every * vector,
            memory_bytes=BASE_MEMORY + every / len(dag.shards) * vector,
        )
        yield self._stage(
            "hash",
            len(dag.link_blocks),
            (pool, pool),
            core_hours=self._core_hours(pool, "hashes_per_core_s"),
            read_bytes=pool * vector,
            write_bytes=pool * HASH_BYTES,
            memory_bytes=BASE_MEMORY + pool / len(dag.pool) * 3 * vector,
        )
        yield self._stage(
            "group_hashes",
            1,
            (pool, pool),
            core_hours=self._core_hours(pool, "hash_joins_per_core_s"),
            read_bytes=pool * HASH_BYTES,
            memory_bytes=pool * HASH_BYTES,
        )

    def _dedup(self) -> Iterator[Stage]:
        pool, unit, dag = self.funnel.crawled, self.unit, self._dag
        every = pool + self.funnel.curated + self.funnel.references
        knobs, width = self.config.knobs["link"], self.config.knobs["train_sscd"].dim
        blocks = (len(dag.query_blocks), len(dag.link_blocks))
        yield from self._build("link_train", "link_index", knobs, (pool, width), blocks[1])
        search = self._search("link", knobs, every, (pool, width), blocks)
        yield replace(search, memory_bytes=search.memory_bytes + every / blocks[0] * width * HALF)
        edges = every * unit["edges_per_image"]
        yield self._stage(
            "link_merge",
            blocks[0],
            (every, every),
            core_hours=self._core_hours(edges, "rows_per_core_s"),
            read_bytes=edges * EDGE_BYTES,
            write_bytes=edges * EDGE_BYTES,
        )
        yield self._stage(
            "dedup",
            1,
            (pool, self.funnel.clean),
            core_hours=2 * self._core_hours(edges, "edges_per_core_s"),
            read_bytes=2 * edges * EDGE_BYTES,
            write_bytes=pool * ROW_ON_DISK / 3,
            memory_bytes=pool * unit["node_bytes"],
        )

    def _build(
        self, train: str, fill: str, knobs: Link | Index, stored: tuple[int, int], blocks: int
    ) -> Iterator[Stage]:
        """One job trains a quantiser, one per block fills it; an exact index is neither.

        `stored` is the number of vectors and their width.
        """
        number, width = stored
        lists, code = _lists_and_code(knobs.factory, width)
        sample = min(knobs.train_sample, number)
        seen = min(SPREAD * sample, number)
        yield self._stage(
            train,
            1,
            (seen, sample),
            core_hours=self._core_hours(seen * width, "numbers_read_per_core_s"),
            gpu_hours=self._forward_hours(2.0 * sample * lists * width * knobs.list_iterations),
            read_bytes=seen * width * HALF,
            memory_bytes=BASE_MEMORY + sample * width * (HALF + 4),
        )
        reading = self._core_hours(number * width, "numbers_read_per_core_s")
        filling = self._core_hours(number, "encodes_per_core_s")
        filling += self._coarse_hours(number, knobs.factory, width)
        size = code + ID_BYTES if lists else 0
        yield self._stage(
            fill,
            blocks,
            (number, number),
            core_hours=reading + (filling if lists else 0.0),
            read_bytes=number * width * HALF,
            write_bytes=number * size,
            memory_bytes=BASE_MEMORY + number / blocks * size,
        )

    def _search(
        self,
        name: str,
        knobs: Link | Retrieve,
        queries: int,
        stored: tuple[int, int],
        blocks: tuple[int, int],
    ) -> Stage:
        """Codes nominate, stored vectors decide; an exact index compares everything.

        Every block of the pool is searched on its own: lists are chosen and candidates compared
        once in each. `stored` is the number of vectors and their width, `blocks` those of queries
        and of the pool.
        """
        number, width = stored
        index = knobs if isinstance(knobs, Link) else self.config.knobs["index"]
        wanted = knobs.over_fetch * (knobs.neighbours if isinstance(knobs, Link) else PER_QUERY)
        lists, code = _lists_and_code(index.factory, width)
        side = queries / blocks[0] + number / blocks[1]
        numbers = blocks[0] * blocks[1] * side * width
        cores, gpus = self._core_hours(numbers, "numbers_read_per_core_s"), 0.0
        if lists:
            codes = queries * min(knobs.num_probes / lists, 1.0) * number
            cores += self._core_hours(codes, "codes_per_core_s")
            cores += self._coarse_hours(queries * blocks[1], index.factory, width)
            candidates = queries * blocks[1] * wanted
            cores += self._core_hours(candidates, "candidate_rows_per_core_s")
            cores += self._core_hours(candidates * width, "pair_products_per_core_s")
        else:
            gpus = self._forward_hours(2.0 * queries * number * width)
        return self._stage(
            name,
            blocks[0] * (blocks[1] if isinstance(knobs, Link) else 1),
            (queries, queries),
            read_bytes=numbers * HALF,
            write_bytes=queries * self.unit["edges_per_image"] * EDGE_BYTES,
            memory_bytes=BASE_MEMORY + number / blocks[1] * (width * HALF + code + 2 * ID_BYTES),
            core_hours=cores,
            gpu_hours=gpus,
        )

    def _coarse_hours(self, count: int, factory: str, width: int) -> float:
        """Compare vectors, narrowed by the rotation if there is one, with all centroids."""
        lists, _ = _lists_and_code(factory, width)
        narrow = re.search(r"OPQ\d+_(\d+)", factory)
        numbers = lists * (int(narrow[1]) if narrow else width)
        return self._core_hours(count * numbers, "centroid_products_per_core_s")

    def _embed(self) -> Iterator[Stage]:
        clean, unit, dag = self.funnel.clean, self.unit, self._dag
        backbone: Backbone = self.config.knobs["embedder"].backbone
        knobs, width = self.config.knobs["embed"], arch_of(backbone).embed_dim
        every = clean + self.funnel.curated
        shards = len(dag.pool) + len(dag.curated)
        flops = sum(image_flops(backbone, size=knobs.crop))
        yield self._stage(
            "embed",
            shards,
            (every, every),
            core_hours=self._core_hours(every, "decodes_per_core_s"),
            gpu_hours=self._forward_hours(every * flops),
            read_bytes=every * unit["image_bytes"],
            write_bytes=every * width * HALF,
            memory_bytes=BASE_MEMORY + every / shards * width * HALF,
        )

    def _retrieve(self) -> Iterator[Stage]:
        clean, unit = self.funnel.clean, self.unit
        width = arch_of(self.config.knobs["embedder"].backbone).embed_dim
        index, blocks = self.config.knobs["index"], len(self._dag.index_blocks)
        yield from self._build("index_train", "index", index, (clean, width), blocks)
        yield from self._cluster(clean, width)
        queries = sum(b.images for b in self.funnel.recipe if b.row.mode == "sample")
        jobs = max(1, len(self._dag.retrieved))
        retrieve = self.config.knobs["retrieve"]
        yield self._search("retrieve", retrieve, queries, (clean, width), (jobs, blocks))
        rows = self.funnel.final
        yield self._stage(
            "manifest",
            1,
            (clean + self.funnel.curated, rows),
            core_hours=self._core_hours(clean + rows, "rows_per_core_s"),
            read_bytes=(clean + rows) * ROW_ON_DISK,
            write_bytes=rows * ROW_ON_DISK,
            # A byte per image to know what was kept; a part and a shard's neighbours are sorted.
            memory_bytes=BASE_MEMORY + clean + 6 * PART_ROWS * unit["row_bytes"],
        )

    def _cluster(self, clean: int, width: int) -> Iterator[Stage]:
        """One job draws the sample, one fits it from disk, one per block assigns."""
        knobs, shards = self.config.knobs["cluster"], len(self._dag.pool)
        sample = min(knobs.sample, clean)
        centroids = knobs.clusters * width
        yield self._stage(
            "cluster_sample",
            1,
            (clean, sample),
            read_bytes=clean * width * HALF,
            write_bytes=2 * sample * width * HALF,
            core_hours=self._core_hours(clean * width, "drawn_numbers_per_core_s"),
            memory_bytes=BASE_MEMORY + 36 * sample,
        )
        yield self._stage(
            "cluster",
            1,
            (sample, sample),
            gpu_hours=self._forward_hours(2.0 * sample * knobs.iterations * knobs.clusters * width),
            read_bytes=knobs.iterations * sample * width * HALF,
            write_bytes=centroids * 4,
            memory_bytes=BASE_MEMORY + 16 * sample + 48 * centroids,
        )
        yield self._stage(
            "assign",
            len(self._dag.index_blocks),
            (clean, clean),
            gpu_hours=self._forward_hours(2.0 * clean * knobs.clusters * width),
            read_bytes=clean * width * HALF,
            write_bytes=clean * CLUSTER_BYTES,
            memory_bytes=BASE_MEMORY + 8 * centroids + clean / shards * width * HALF,
        )

    def _train(self) -> Iterator[Stage]:
        knobs = self.config.knobs
        for run, run_knobs in {MAIN: knobs["pretrain"], **self.config.runs}.items():
            yield self._pretraining(f"pretrain {run}", run_knobs)
        adapt, distill, backbone = knobs["adapt"], knobs["distill"], knobs["pretrain"].backbone
        heads = knobs["pretrain"].heads
        flops = step_flops([backbone], heads, adapt.crops, objective=adapt.objective)
        images = adapt.optim.batch_size * adapt.optim.steps
        yield self._training("adapt", images, flops * images)
        students = [_student(distill.backbone, arch) for arch in distill.students or ("",)]
        flops = step_flops(
            students, heads, distill.crops, objective=distill.objective, teacher=backbone
        )
        images = distill.optim.batch_size * distill.optim.steps
        yield self._training("distill", images, flops * images)

    def _pretraining(self, name: str, knobs: Pretrain) -> Stage:
        flops = step_flops([knobs.backbone], knobs.heads, knobs.crops, objective=knobs.objective)
        images = knobs.optim.batch_size * knobs.optim.steps
        return self._training(name, images, flops * images)

    def _training(self, name: str, images: int, flops: float) -> Stage:
        """One job on the whole fleet; `images` counts every time an image is seen.

        Memory is a process's own, beside its GPU's.
        """
        return Stage(
            name=name,
            jobs=1,
            images_in=images,
            images_out=images,
            gpu_hours=flops / (self.fleet.peak * self.unit["train_mfu"]) / HOUR,
            core_hours=self._core_hours(images, "decodes_per_core_s"),
            read_bytes=images * self.unit["image_bytes"],
            gpus=self.fleet.gpus,
            cores=self.fleet.cores,
        )


def _student(backbone: Backbone, arch: str) -> Backbone:
    return replace(backbone, arch=arch) if arch else backbone


def _lists_and_code(factory: str, width: int) -> tuple[int, int]:
    """Inverted lists (0: exact) and bytes per vector of a Faiss factory string."""
    lists, outer = re.search(r"IVF(\d+)", factory), re.sub(r"\(.*?\)", "", factory)
    codes = re.search(r"(?<!O)PQ(\d+)(?:x(\d+))?", outer)  # inner ones are of centroids
    size = int(codes[1]) * int(codes[2] or 8) // 8 if codes else width * 4
    return (int(lists[1]) if lists else 0), size
