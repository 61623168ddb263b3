"""Compare models study by study: METRICS -> a table in Markdown and a figure per study.

python src/ablations.py --metrics results/evaluate/*.parquet --studies koleo:no_koleo,pretrained \
    --table results/ablations/table.md --figures results/ablations/koleo.png
"""

import sys
from pathlib import Path

from sauropod import cli, io, schema
from sauropod.errors import InputError
from sauropod.report import ablations


def main(
    metrics: tuple[Path, ...], studies: tuple[str, ...], table: Path, figures: tuple[Path, ...]
) -> None:
    """Write the table of all studies and a figure of each.

    Args:
        metrics: Tables of the models compared (METRICS).
        studies: `name:model,model,...`, each model beside the one it is compared with.
        table: Markdown to write.
        figures: PNG to write, one per study, in their order.
    """
    parsed = [ablations.parse(text) for text in studies]
    if len(figures) != len(parsed):
        flag, fix = "--figures", "name one PNG per study"
        found = str(len(figures))
        raise InputError(flag, expected=f"{len(parsed)} files", found=found, fix=fix)
    rows = schema.read(metrics, schema.METRICS)
    text = "\n".join(ablations.table(rows, study) for study in parsed)
    for study, path in zip(parsed, figures, strict=True):
        with io.replacing(path) as temporary:
            ablations.figure(rows, study).save(temporary, "PNG")
    with io.replacing(table) as temporary:
        temporary.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    cli.run(main)
