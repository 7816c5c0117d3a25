# SPDX-License-Identifier: Apache-2.0
"""The documents say what is so: options, exit codes, and a test for every promise."""
import os
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("SPILLFS", "build/spillfs")


class Documents(unittest.TestCase):
    def test_options(self):
        text = subprocess.run([PROGRAM, "mount", "--help"], capture_output=True, text=True,
                              check=True).stdout
        helped = re.findall(r"^  (\S+) {2,}(.+?) \[([^\]]*)\]$", text.split("Options (-o")[1], re.M)
        table = (ROOT / "docs/CLI.md").read_text().split("## Options of a mount")[1]
        documented = re.findall(r"^\| `(.+?)` \| (.+?) \| (.+?) \|$", table, re.M)
        self.assertGreater(len(helped), 10)
        self.assertEqual([(name, meaning, fallback) for name, fallback, meaning in documented],
                         helped)

    def test_exit_codes(self):
        header = (ROOT / "fs/config/exit_codes.h").read_text()
        codes = re.findall(r"kExit(\w+) = (\d+),", header)
        documented = re.findall(r"^\| (\d+) \| (\w+) \|", (ROOT / "docs/CLI.md").read_text(), re.M)
        self.assertEqual([(code, name) for name, code in codes], documented)

    def test_promises(self):
        for document, least in (("SEMANTICS.md", 15), ("RAY.md", 50), ("RELIABILITY.md", 5),
                                ("SERVICE.md", 3), ("SECURITY.md", 5)):
            named = re.findall(r"\[`(\S+)` `([^`]+)`\]", (ROOT / "docs" / document).read_text())
            self.assertGreater(len(named), least)
            for file, name in named:
                self.assertIn(name, (ROOT / file).read_text(), f"{document}: {file}")

    def test_guides(self):
        """What a guide says of the mount a test shows; of the runtime itself it says so."""
        for guide in sorted((ROOT / "docs/guides").glob("*.md")):
            text = guide.read_text()
            for section in re.split(r"^## ", text, flags=re.M)[1:]:
                if not section.startswith("On the mount"):
                    continue
                items = re.findall(r"^- (.*?)(?=^- |\Z)", section, re.M | re.S)
                self.assertGreater(len(items), 2, guide)
                for item in items:
                    self.assertRegex(item, r"\[`tests/\S+` `[^`]+`\]\s*$", guide)
            self.assertIn("## On the mount", text, guide)
            for file, name in re.findall(r"\[`(tests/\S+)` `([^`]+)`\]", text):
                self.assertIn(name, (ROOT / file).read_text(), f"{guide}: {file}")

    def test_rays_functions(self):
        """Every row of the table names code and a test."""
        table = (ROOT / "docs/RAY.md").read_text().split("## Functions")[1].split("\n## ")[0]
        rows = [row.split("|") for row in re.findall(r"^\| .* \|$", table, re.M)[1:]]
        self.assertGreater(len(rows), 20)
        for _, ray, here, test, _ in rows:
            self.assertRegex(here, r"^ \[`storage/\S+` `[^`]+`\] $", ray)
            self.assertRegex(test, r"^ \[`tests/\S+` `[^`]+`\] $", ray)


if __name__ == "__main__":
    unittest.main(verbosity=2)
