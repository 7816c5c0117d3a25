# SPDX-License-Identifier: Apache-2.0
"""Reads Prometheus' text format strictly, and has promtool look at it where there is one."""
import pathlib
import re
import shutil
import subprocess

from support import mounted as m

LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(r"^([a-z_]+)(?:\{(" + LABEL + "(?:," + LABEL + r")*)\})? (\S+)$")


def promtool():
    """Its path, or None."""
    own = pathlib.Path(m.PROGRAM).resolve().parent / "bin/promtool"
    return str(own) if own.exists() else shutil.which("promtool")


class Exposition:
    """families: name to (type, help); samples: (name, labels as a frozenset of pairs) to value."""

    def __init__(self, text):
        self.families, self.samples = {}, {}
        assert text.endswith("\n")
        name = kind = None
        for line in text.splitlines():
            if line.startswith("# HELP "):
                name, told = line[7:].split(" ", 1)
                assert name not in self.families, f"{name} comes twice"
            elif line.startswith("# TYPE "):
                assert line.split()[2] == name, line
                kind = line.split()[3]
                assert kind in ("counter", "gauge", "histogram"), line
                self.families[name] = (kind, told)
            else:
                self.add_sample(line, name, kind)

    def add_sample(self, line, name, kind):
        found = SAMPLE.match(line)
        assert found, line
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        assert found[1] in [name + suffix for suffix in suffixes], line
        labels = frozenset(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', found[2] or ""))
        assert (found[1], labels) not in self.samples, line
        self.samples[found[1], labels] = float(found[3])

    def value(self, name, **labels):
        """The sum of the samples that have these labels."""
        wanted = set(labels.items())
        found = [value for (known, has), value in self.samples.items()
                 if known == name and wanted <= has]
        return sum(found)


def complaints(*what, **options):
    """What `promtool check` says is wrong; nothing where there is none."""
    if promtool() is None:
        return ""
    done = subprocess.run([promtool(), "check", *what], capture_output=True, text=True,
                          check=False, **options)
    return done.stdout + done.stderr if done.returncode != 0 else ""
