"""Does this cluster fit the profile: Slurm, its partitions, and what its nodes have.

python src/doctor.py                                   (make doctor)
python src/doctor.py --config config/lvd142m.yaml      (make doctor CONFIG=…: and its data)
python src/doctor.py --profile mine/config.yaml
"""

import json
import platform
import sys
import tempfile
from pathlib import Path

from sauropod import cli, doctor
from sauropod.errors import InputError

SCRIPT = Path(__file__).resolve()


def main(
    profile: Path = Path("workflow/profiles/slurm/config.yaml"),
    config: tuple[Path, ...] = (),
    there: bool = False,
    paths: tuple[Path, ...] = (),
) -> None:
    """Check the cluster; the last line says whether everything fits.

    Args:
        profile: The profile to check.
        config: Configuration files of a run, the later on top: its datasets and weights should be
            here and on every node.
        there: Only describe this machine, in JSON: what is run on a node.
        paths: What the asking machine has and this one should see.
    """
    if there:
        sys.stdout.write(json.dumps({"host": platform.node(), **doctor.facts(paths)}) + "\n")
        return
    if not profile.exists():
        raise InputError(profile, expected="a profile", found="no file", fix="name it: --profile")
    findings, given = doctor.of_slurm(profile), doctor.given(config)
    if all(one.good for one in findings):
        with tempfile.NamedTemporaryFile(dir=Path.cwd(), prefix=".doctor-") as file:
            for partition, gpu in doctor.partitions_of(profile).items():
                shared = [Path(file.name), *(path for path in given if path.exists())]
                findings += doctor.on_node(partition, SCRIPT, gpu=gpu, paths=shared)
    findings += doctor.not_here(given)
    sys.stdout.write(doctor.told(findings))
    if bad := sum(not one.good for one in findings):
        raise InputError(
            profile, expected="a cluster that fits", found=f"{bad} that does not", fix="see above"
        )


if __name__ == "__main__":
    cli.run(main)
