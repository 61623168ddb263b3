"""Which features and heads feed which measurement: the part of the DAG that evaluates.

Flags and paths of the rules in `rules/evaluate.smk`; nothing here touches a file.
"""

import dataclasses
import shlex
from collections.abc import Mapping

from sauropod.evaluate.config import STAGE_OF, Benchmark, Kind
from sauropod.load_config import Config, words
from sauropod.shards import folder_of

COLOUR, RANDOM = "colour", "random"  # floors: a crude colour feature, an untrained backbone
FLOORS = (COLOUR, RANDOM)
WITH_FEATURES: tuple[Kind, ...] = ("classification", "robustness")
"""Kinds that read what `extract` wrote; the others read the backbone."""
PLATES = ("pca", "matches", "attention")  # what `visualise` paints
OVERLAYS = "overlays"  # what `overlay` paints, with dense heads
WITH_CHANCE: tuple[Kind, ...] = ("classification", "segmentation", "depth")
"""Kinds with a floor that looks at no image; the job of the colour floor measures it too."""
WITHOUT_COLOUR: tuple[Kind, ...] = ("finetune",)
"""Kinds that colours are no floor of: there is nothing to train."""


def is_plain(benchmark: Benchmark) -> bool:
    """Whether it is laid out as {train,val}/<class>/<image>."""
    folders = [folder_of(benchmark, split) for split in ("train", "test")]
    return benchmark.layout == "image_folder" and folders == ["train", "val"]


class Evaluation:
    """What is measured on what, and how a script is told."""

    def __init__(
        self, config: Config, *, backbones: Mapping[str, str], untrained_like: str
    ) -> None:
        """Keep the models and the benchmarks.

        Args:
            config: The whole configuration.
            backbones: Model -> weights file.
            untrained_like: Weights file whose architecture the untrained floor has.
        """
        self._knobs, self._backbones = config.knobs, backbones
        self._untrained_like = untrained_like
        self._runs, self._ablations = config.runs, config.ablations
        self._benchmarks = {one.name: one for one in config.benchmarks}
        self.benchmarks = list(self._benchmarks)
        self.models = [*FLOORS, *backbones]

    def of_kind(self, *kinds: Kind) -> list[str]:
        """Names of the benchmarks of some kinds."""
        return [name for name, one in self._benchmarks.items() if one.kind in kinds]

    @property
    def with_head(self) -> list[str]:
        """Benchmarks whose best linear head another benchmark measures."""
        asked = {one.classes_of for one in self._benchmarks.values()}
        return [name for name in self.of_kind("classification") if name in asked]

    @property
    def without_head(self) -> list[str]:
        """The other classification benchmarks."""
        return [name for name in self.of_kind("classification") if name not in self.with_head]

    @property
    def metrics(self) -> list[str]:
        """METRICS tables of every model on every benchmark that it can be measured on."""
        barred = self.of_kind(*WITHOUT_COLOUR)
        return [
            f"results/evaluate/{model}.{benchmark}.parquet"
            for model in self.models
            for benchmark in self.benchmarks
            if not (model == COLOUR and benchmark in barred)
        ]

    @property
    def studies(self) -> str:
        """Flags of `ablations.py` that say what is compared with what."""
        return shlex.join(f"{name}:{','.join(models)}" for name, models in self._ablations.items())

    @property
    def figures(self) -> list[str]:
        """A figure per ablation study."""
        return [f"results/ablations/{name}.png" for name in self._ablations]

    @property
    def compared(self) -> list[str]:
        """METRICS tables of the models in ablation studies, and of the colour floor."""
        studied = {model for row in self._ablations.values() for model in row}
        models = {COLOUR, *studied} if studied else studied
        ours = {f"results/evaluate/{m}.{b}.parquet" for m in models for b in self.benchmarks}
        return [path for path in self.metrics if path in ours]

    @property
    def plates(self) -> list[str]:
        """What the main run's models, and those named, see of the pictures; none without them."""
        shown = [model for model in self._backbones if model not in self._runs]
        plates = (*PLATES, OVERLAYS) if self.of_kind("segmentation", "depth") else PLATES
        return [
            f"results/visualise/{model}.{plate}.png"
            for model in (shown if self._knobs["visualise"].images else ())
            for plate in plates
        ]

    def segmentation_heads(self, model: str) -> list[str]:
        """Heads of a model that predict label maps."""
        return self._heads(model, "segmentation")

    def depth_heads(self, model: str) -> list[str]:
        """Heads of a model that predict depth maps."""
        return self._heads(model, "depth")

    def _heads(self, model: str, kind: Kind) -> list[str]:
        names = self.of_kind(kind)
        return [f"results/evaluate/{model}.{name}.head.safetensors" for name in names]

    def backbone_of(self, model: str) -> list[str]:
        """Backbone file of a model to measure; the colour floor has none."""
        return [] if model == COLOUR else [self._backbones.get(model, self._untrained_like)]

    def extract_flags(self, model: str, benchmark: str) -> str:
        """Flags of `extract.py` that say whose features of which images."""
        return shlex.join([*self._dataset(benchmark), *self._subject(model)])

    def flags(self, model: str, benchmark: str) -> str:
        """Flags of a benchmark's script that say what is measured on what."""
        words = ["--model", model, "--benchmark", benchmark, *self._dataset(benchmark)]
        kind, transfer = self._benchmarks[benchmark].kind, self._benchmarks[benchmark].transfer
        if kind in WITH_CHANCE and model == COLOUR:
            words += ["--chance-too", "True"]
        if benchmark in self.with_head:
            words += ["--head", f"results/evaluate/{model}.{benchmark}.head.safetensors"]
        if transfer:
            words += ["--transfer", transfer]
        return shlex.join(words if kind in WITH_FEATURES else [*words, *self._subject(model)])

    def head_of(self, model: str, benchmark: str) -> str:
        """The linear head that a robustness benchmark measures."""
        return f"results/evaluate/{model}.{self._benchmarks[benchmark].classes_of}.head.safetensors"

    def script_of(self, benchmark: str) -> str:
        """Name of the script that measures on a benchmark, by its kind."""
        return STAGE_OF[self._benchmarks[benchmark].kind]

    def extract_knobs(self, benchmark: str) -> str:
        """Knobs of `extract.py` for a benchmark, with the resolution it names."""
        return self._spelt("extract", self._benchmarks[benchmark])

    def knobs(self, benchmark: str) -> str:
        """Knobs of a benchmark's script, with what the benchmark says of them."""
        one = self._benchmarks[benchmark]
        return self._spelt(STAGE_OF[one.kind], one)

    def _spelt(self, stage: str, benchmark: Benchmark) -> str:
        knobs = self._knobs[stage]
        asked = {name: getattr(benchmark, name) for name in ("resize", "crop", "protocols")}
        own = {name: value for name, value in asked.items() if value and hasattr(knobs, name)}
        return shlex.join(words(dataclasses.replace(knobs, **own)))

    def _dataset(self, benchmark: str) -> list[str]:
        one = self._benchmarks[benchmark]
        flags = ["--dataset", one.path, "--layout", one.layout]
        if one.layout == "image_folder":
            for split in ("train", "test"):
                flags += [f"--{split}", str(folder_of(one, split))]
        return flags

    def _subject(self, model: str) -> list[str]:
        flag = "--random-like" if model == RANDOM else "--backbone"
        return [word for path in self.backbone_of(model) for word in (flag, path)]
