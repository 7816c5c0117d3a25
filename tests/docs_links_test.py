# SPDX-License-Identifier: Apache-2.0
"""Whatever the documents name is there: links, headings, files, verbs, options; and every verb, option
and program under scripts is named. Commands that a page shows with what they print are run: a block
marked ```console, each line that begins with `$ ` followed by its output, in which … stands for
anything."""
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(os.environ.get("SPILLFS", "build/spillfs")).resolve()


def pages():
    """Not what a build has made, where mounts may be as well."""
    for folder, inside, files in os.walk(ROOT):
        inside[:] = [name for name in inside if not name.startswith((".", "build"))]
        yield from (pathlib.Path(folder) / name for name in files if name.endswith(".md"))


PAGES = sorted(pages())
# What a build or a fetch makes, and what is no file of ours.
MADE = re.compile(r"^(build\S*|tests?/…|scripts/…)$")
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
INNER_VERBS = {"take-over"}  # the daemon's own


def prose(page):
    """The text without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)


def anchor(heading):
    """What a heading is linked by, as the usual viewers of Markdown make it."""
    text = re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", ""))
    return text.replace(" ", "-")


def anchors(page):
    return {anchor(heading) for heading in re.findall(r"^#+ (.*)$", prose(page), re.M)}


ABOUT = json.loads(subprocess.run([PROGRAM, "describe"], capture_output=True, text=True,
                                  check=True).stdout)
VERBS = {verb["name"] for verb in ABOUT["verbs"]}
FLAGS = {name for verb in ABOUT["verbs"] for option in verb["options"] for name in option["names"]
         if name.startswith("--")}


class Documents(unittest.TestCase):
    def test_pages(self):
        self.assertGreater(len(PAGES), 8)

    def test_links(self):
        for page in PAGES:
            for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, heading = target.partition("#")
                other = (page.parent / path).resolve() if path else page
                self.assertTrue(other.exists(), f"{page}: {target}")
                if heading:
                    self.assertIn(heading, anchors(other), f"{page}: {target}")

    def test_pages_named(self):
        """A page is named by its name alone, or from the root."""
        for page in PAGES:
            for name in re.findall(r"\b((?:docs/)?(?:guides/)?[\w-]+\.md)\b", prose(page)):
                places = (ROOT / name, ROOT / "docs" / name, page.parent / name)
                self.assertTrue(any(place.exists() for place in places), f"{page}: {name}")

    def test_files_named(self):
        named = re.compile(r"(?<![\w/.-])((?:fs|index|storage|tests|scripts|systemd|docs)/[\w./*@-]*[\w*])")
        count = 0
        for page in PAGES:
            for name in named.findall(page.read_text()):
                if MADE.match(name):
                    continue
                count += 1
                found = any(any(ROOT.glob(name + end)) for end in ("", ".h", ".cc", ".py"))
                self.assertTrue(found, f"{page}: {name}")
        self.assertGreater(count, 50)

    def test_scripts_are_named(self):
        text = "".join(page.read_text() for page in PAGES)
        for script in (ROOT / "scripts").iterdir():
            if script.is_file() and os.access(script, os.X_OK):
                self.assertTrue(f"scripts/{script.name}" in text, script.name)

    def test_verbs(self):
        self.assertGreater(len(VERBS), 10)
        usage = (ROOT / "docs/CLI.md").read_text().split("```")[1]
        self.assertEqual(set(re.findall(r"^spillfs ([a-z-]+)", usage, re.M)), VERBS)
        for page in PAGES:
            for block in re.findall(r"`(?:sudo )?(?:[\w/.]*/)?spillfs ([a-z][a-z-]*)", page.read_text()):
                self.assertIn(block, VERBS | INNER_VERBS, page)

    def test_flags(self):
        """Each long option of a verb is in docs/CLI.md, and each one there belongs to a verb."""
        page = (ROOT / "docs/CLI.md").read_text()
        offered = FLAGS - {"--foreground", "--help"}
        named = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*)", page))
        self.assertEqual(offered - named, set(), "not documented")
        self.assertEqual(named - offered - {"--version", "--help"}, set(), "no such option")

    def test_mount_options(self):
        """What a page gives to -o or calls an option is one, or a word of mount(8)."""
        known = {option["name"] for option in ABOUT["options"]} | {"remount", "ro"}
        self.assertGreater(len(known), 10)
        for page in PAGES:
            text = CONSOLE.sub("", page.read_text())
            for words in re.findall(r" -o ([a-z_]+(?:=[^\s,`]+)?(?:,[a-z_]+(?:=[^\s,`]+)?)*)", text):
                for word in words.split(","):
                    if word != "name=value":
                        self.assertIn(word.split("=")[0], known, f"{page}: -o {words}")

    def test_commands_shown(self):
        """In a folder of their own, with `spillfs` and the source's `scripts` in the path."""
        count = 0
        for page in PAGES:
            for block in CONSOLE.findall(page.read_text()):
                with tempfile.TemporaryDirectory() as folder, self.subTest(page=page.name):
                    count += self.run_block(block, folder)
        self.assertGreater(count, 2)

    def run_block(self, block, folder):
        environment = {**os.environ, "PATH": f"{PROGRAM.parent}:{ROOT}:{os.environ['PATH']}"}
        parts = re.split(r"^\$ (.*)\n", block, flags=re.M)
        self.assertEqual(parts[0], "", "a block begins with a command")
        for command, shown in zip(parts[1::2], parts[2::2]):
            done = subprocess.run(command, shell=True, cwd=folder, env=environment, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                                  check=False)
            pattern = ".*".join(re.escape(piece) for piece in shown.split("…"))
            self.assertRegex(done.stdout, re.compile(rf"\A{pattern}\Z", re.S), command)
        return len(parts) // 2


if __name__ == "__main__":
    unittest.main(verbosity=2)
