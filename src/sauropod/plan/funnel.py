"""How many images reach every stage: the paper's funnel, scaled, and the recipe's arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass

from sauropod.errors import InputError
from sauropod.load_config import Config
from sauropod.plan.costs import Paper
from sauropod.retrieve.recipe import Row, parse_all, planned


@dataclass(frozen=True)
class Brought:
    """One row of the recipe: images of its dataset, rows retrieved, rows in the manifest."""

    row: Row
    images: int
    retrieved: int
    final: int


@dataclass(frozen=True)
class Funnel:
    """Images of the pool as crawled, after deduplication, after decontamination; and the rest."""

    crawled: int
    unique: int
    clean: int
    curated: int
    references: int
    recipe: tuple[Brought, ...]

    @property
    def final(self) -> int:
        """Rows of the manifest."""
        return sum(brought.final for brought in self.recipe)


def funnel(config: Config, *, pool: int, counts: Mapping[str, int], paper: Paper) -> Funnel:
    """Count the images of every stage.

    Args:
        config: The whole configuration.
        pool: Images that the crawl brings.
        counts: Images of datasets that the paper does not know, or that differ from it.
        paper: The paper's numbers; a pool of another size shrinks in its proportions.

    Raises:
        InputError: nobody says how many images a dataset has.
    """
    sizes = {name: told["images"] for name, told in paper.datasets.items()} | dict(counts)
    for name in (source.name for source in (*config.curated, *config.benchmarks)):
        if name not in sizes:
            fix = f"say --counts {name}=1200"
            raise InputError(name, expected="its number of images", found="none", fix=fix)
    knobs = config.knobs["retrieve"]
    recipe = []
    for row in parse_all(config.knobs["manifest"].recipe):
        hit = paper.datasets.get(row.dataset, {}).get("clusters", knobs.cap // knobs.per_cluster)
        retrieved, final = planned(
            row,
            num_images=sizes[row.dataset],
            num_clusters=min(hit, config.knobs["cluster"].clusters),
            per_cluster=knobs.per_cluster,
            cap=knobs.cap,
        )
        recipe.append(Brought(row, sizes[row.dataset], retrieved, final))
    share = pool / paper.funnel["crawled"]
    return Funnel(
        crawled=pool,
        unique=round(share * paper.funnel["unique"]),
        clean=round(share * paper.funnel["clean"]),
        curated=sum(sizes[source.name] for source in config.curated),
        references=sum(sizes[source.name] for source in config.benchmarks),
        recipe=tuple(recipe),
    )
