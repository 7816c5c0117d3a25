# SPDX-License-Identifier: Apache-2.0
"""The manual and the completions have every verb and option, and their readers have no complaints."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

PROGRAM = os.environ.get("SPILLFS", "build/spillfs")
MANUAL = pathlib.Path(PROGRAM).resolve().parent / "manual"
PAGES = ("man1/spillfs.1", "man5/spillfs.toml.5", "man5/spillfs-format.5", "man8/mount.spillfs.8",
         "man8/fsck.spillfs.8")


def run(*command):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


def completed(line):
    """What bash offers at the end of the line."""
    words = re.findall(r"[=:]|[^\\s=:]+", line) + ([""] if line.endswith((" ", "=", ":")) else [])
    script = """
        source "$1"; shift
        COMP_LINE=$1 COMP_POINT=${#1}; shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _spillfs
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = run("bash", "-c", script, "bash", MANUAL / "bash/spillfs", line, *words)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


class Manual(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        about = json.loads(run(PROGRAM, "describe").stdout)
        cls.options, cls.verbs = about["options"], about["verbs"]
        cls.shown = {page: run("groff", "-t", "-man", "-Tascii", "-P-cbou", "-rLL=200n",
                               MANUAL / page).stdout for page in PAGES}

    def test_pages_are_good_roff(self):
        for page in PAGES:
            for command in (["mandoc", "-Tlint", "-Wstyle"],
                            ["groff", "-t", "-man", "-ww", "-z", "-Tutf8"]):
                done = run(*command, MANUAL / page)
                self.assertEqual((done.stdout, done.stderr), ("", ""), page)

    def test_every_option_is_there(self):
        self.assertGreater(len(self.options), 15)
        for option in self.options:
            usage = option["usage"].replace("…", "...")
            for page in ("man1/spillfs.1", "man8/mount.spillfs.8"):
                self.assertIn(f"\n       {usage} (default: {option['default']})", self.shown[page])
            if option["in_file"]:
                self.assertIn(f"\n       {option['name']} (default: {option['default']})",
                              self.shown["man5/spillfs.toml.5"])
            if option["range"]:
                self.assertIn(f"; {option['range']}.", self.shown["man1/spillfs.1"])

    def test_every_verb_is_there(self):
        self.assertGreater(len(self.verbs), 10)
        for verb in self.verbs:
            name = verb["name"]
            self.assertRegex(self.shown["man1/spillfs.1"], rf"\n       spillfs {name}\b")
            self.assertIn(name, completed("spillfs "))
            self.assertRegex((MANUAL / "zsh/_spillfs").read_text(), rf"\n    {name}\) _arguments ")
            flags = {flag for option in verb["options"] for flag in option["names"]} - {"-h"}
            self.assertEqual(set(completed(f"spillfs {name} -")), flags)

    def test_helpers_flags_are_those_of_their_pages(self):
        for name, page in (("mount.spillfs", "man8/mount.spillfs.8"),
                           ("fsck.spillfs", "man8/fsck.spillfs.8")):
            done = subprocess.run([name, "--help"], executable=PROGRAM, capture_output=True,
                                  text=True, check=True)
            flags = set(re.findall(r"(?<=[ ,])-[a-z]\b", done.stdout)) - {"-h"}
            self.assertGreater(len(flags), 4)
            synopsis = self.shown[page].split("SYNOPSIS")[1].split("DESCRIPTION")[0]
            line = next(line for line in synopsis.splitlines() if line.strip().startswith(name))
            told = {"-" + letter for word in re.findall(r"-([a-z]+)", line) for letter in word}
            self.assertEqual(told, flags)

    def test_completions_parse(self):
        self.assertEqual(run("bash", "-n", MANUAL / "bash/spillfs").returncode, 0)
        if shutil.which("zsh"):
            self.assertEqual(run("zsh", "-n", MANUAL / "zsh/_spillfs").returncode, 0)

    def test_bash_completes_options(self):
        names = {option["name"] + ("=" if option["value"] else "") for option in self.options}
        self.assertEqual(set(completed("spillfs mount /store /mnt -o ")), names)
        self.assertEqual(set(completed("spillfs config -o ")), names)
        self.assertEqual(completed("spillfs mount -o thr"), ["threads="])
        self.assertEqual(completed("spillfs mount -o quota=1GiB,thr"), ["1GiB,threads="])
        self.assertEqual(completed("spillfs mount -o allow_other,thr"), ["allow_other,threads="])
        self.assertEqual(completed("spillfs mount -o threads=4,write="), ["auto", "direct", "cached"])
        self.assertEqual(completed("spillfs mount -o write=d"), ["direct"])
        self.assertEqual(completed("spillfs mount -o without=killpriv:res"), ["resend"])
        self.assertEqual(completed("spillfs mount -o quota="), [])
        self.assertEqual(completed("spillfs che"), ["check"])
        self.assertEqual(completed("spillfs check --reb"), ["--rebuild"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
