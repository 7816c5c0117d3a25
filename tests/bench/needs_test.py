# SPDX-License-Identifier: Apache-2.0
"""scripts/bench says all that it misses before it starts, and asks for no more than it is to run."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BENCH = ROOT / "scripts/bench"
MISSING = 3


class Needs(unittest.TestCase):
    def setUp(self):
        self.home = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def put(self, name, does="exit 0"):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{does}\n")
        path.chmod(0o755)

    def told(self, *arguments, **variables):
        """What it says on a machine whose build has nothing but what was put there."""
        environment = {**os.environ, "SPILLFS": str(self.home / "spillfs"),
                       "SPILLFS_BENCH_PROGRAMS": str(self.home / "tests"), **variables}
        done = subprocess.run([sys.executable, BENCH, *arguments], env=environment,
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, MISSING, done.stdout + done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertNotIn("Traceback", done.stderr)
        self.assertEqual(sorted(path.name for path in self.home.iterdir() if "bench-" in path.name),
                         [], "it had begun")
        return done.stderr

    def test_all_that_is_missing_is_said_at_once(self):
        text = self.told("--smoke", "--plots", "plots")
        for name in ("spillfs", "tests/file_load", "tests/null_server", "tests/component_bench"):
            self.assertEqual(text.count(f"{self.home}/{name}"), 1, text)
        self.assertIn("run 'scripts/build' for ", text)
        self.assertIn("run 'scripts/venv' for the Python package ray\n", text)
        self.assertIn("run 'scripts/venv bench' for the Python package matplotlib\n", text)

    def test_a_helper_that_was_not_built(self):
        self.put("spillfs")
        self.assertNotIn("ray", self.told("--only", "small"))
        self.put("tests/null_server")
        text = self.told("--only", "small,unlink-64m")
        self.assertIn(f"run 'scripts/build' for {self.home}/tests/file_load\n", text)

    def test_scenarios_ask_for_what_they_run(self):
        only_the_program = f"run 'scripts/build' for {self.home}/spillfs\n"
        for scenario in ("reclaim", "unlink-64m"):
            self.assertIn(only_the_program, self.told("--only", scenario))
        text = self.told("--only", "remount,unlink-64m")
        self.assertIn(f"{self.home}/spillfs, {self.home}/tests/file_load\n", text)
        self.assertNotIn("null_server", text)

    def test_targets_ask_for_what_they_run(self):
        text = self.told("--only", "small", "--targets", "null")
        self.assertIn(f"for {self.home}/tests/file_load, {self.home}/tests/null_server\n", text)

    def test_a_venv_without_the_package(self):
        self.put("spillfs")
        self.put("venv/bin/python", "exit 1")
        self.assertIn("for the Python package ray\n", self.told("--only", "ray-1m,ray-64m"))

    def test_a_target_that_is_not_installed(self):
        self.put("spillfs")
        text = self.told("--only", "unlink-64m", "--targets", "spillfs,bindfs", PATH="/nowhere")
        self.assertIn("  run 'apt install bindfs' for bindfs\n", text)


if __name__ == "__main__":
    unittest.main()
