"""Does this cluster fit the profile: Slurm, its partitions, and what its nodes have.

python src/doctor.py                       (make doctor)
python src/doctor.py --profile mine/config.yaml
"""

import json
import platform
import sys
import tempfile
from pathlib import Path

from sauropod import cli, doctor
from sauropod.errors import InputError


def main(
    profile: Path = Path("workflow/profiles/slurm/config.yaml"),
    there: bool = False,
    mark: Path | None = None,
) -> None:
    """Check the cluster; the last line says whether everything fits.

    Args:
        profile: The profile to check.
        there: Only describe this machine, in JSON: what is run on a node.
        mark: File that the asking machine wrote into the folder both should share.
    """
    if there:
        sys.stdout.write(json.dumps({"host": platform.node(), **doctor.facts(mark)}) + "\n")
        return
    if not profile.exists():
        raise InputError(profile, expected="a profile", found="no file", fix="name it: --profile")
    findings = doctor.of_slurm(profile)
    if all(one.good for one in findings):
        with tempfile.NamedTemporaryFile(dir=Path.cwd(), prefix=".doctor-") as file:
            for partition, gpu in doctor.partitions_of(profile).items():
                script, mark = Path(__file__).resolve(), Path(file.name)
                findings += doctor.on_node(partition, script, gpu=gpu, mark=mark)
    sys.stdout.write(doctor.told(findings))
    if bad := sum(not one.good for one in findings):
        raise InputError(
            profile, expected="a cluster that fits", found=f"{bad} that does not", fix="see above"
        )


if __name__ == "__main__":
    cli.run(main)
