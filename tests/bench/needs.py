# SPDX-License-Identifier: Apache-2.0
"""What a run needs of the machine, so that all that is missing is said before anything is started."""
import os
import pathlib
import shutil
import subprocess

import targets
from support import mounted as m

MISSING = 3  # the exit code

BUILD = "run 'scripts/build'"
VENV = "run 'scripts/venv'"
VENV_BENCH = "run 'scripts/venv bench'"


def runs(path):
    return os.access(path, os.X_OK) and pathlib.Path(path).is_file()


def in_venv(package):
    python = pathlib.Path(m.PROGRAM).resolve().parent / "venv/bin/python"
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
    return runs(python) and subprocess.run([python, "-c", look, package], check=False).returncode == 0


def programs_of(wanted, compared):
    """The programs of the build that these scenarios and targets run."""
    kinds = {kind for scenario in wanted for kind in scenario.kinds}
    used = [target for target in compared if target.kind in kinds]
    if any(target.kind == "spillfs" for target in used):
        yield pathlib.Path(m.PROGRAM)
    for scenario in wanted:
        yield from (targets.PROGRAMS / name for name in scenario.programs)
    if any(target.kind == "null" for target in used):
        yield targets.PROGRAMS / "null_server"


def missing(asked, wanted, compared):
    """{what to do: [what is missing until then]}."""
    absent = {}
    programs = list(programs_of(wanted, compared))
    if asked.smoke:
        programs.append(targets.PROGRAMS / "component_bench")
    packages = [(name, VENV) for scenario in wanted for name in scenario.packages]
    if asked.plots:
        packages.append(("matplotlib", VENV_BENCH))
    for program in dict.fromkeys(programs):
        if not runs(program):
            absent.setdefault(BUILD, []).append(str(program))
    for package, remedy in dict.fromkeys(packages):
        if not in_venv(package):
            absent.setdefault(remedy, []).append(f"the Python package {package}")
    for name in (asked.targets or "").split(","):
        if name in targets.OTHERS and not shutil.which(name):
            absent.setdefault(targets.OTHERS[name].remedy, []).append(name)
    return absent


def told(absent):
    return "\n".join(["bench: something that this run needs is missing; nothing was started",
                      *(f"  {remedy} for {', '.join(what)}" for remedy, what in absent.items())])
