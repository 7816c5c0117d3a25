# SPDX-License-Identifier: Apache-2.0
"""The Python in docs/guides, as it is printed there, with the real programs on a mount."""
import importlib.util
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import cases
from support import mounted as m

m.need_fuse()
m.run_with_ray()  # the other packages are there as well
m.limit_time(200)

import yaml

GUIDES = pathlib.Path(__file__).resolve().parent.parent.parent / "docs/guides"


def needs(package):
    found = importlib.util.find_spec(package) is not None
    return unittest.skipUnless(found, f"no {package} package; run 'scripts/venv guides'")


class Guides(cases.OnStores):
    @classmethod
    def setUpClass(cls):
        cases.call_myself("test")  # not python: that could have started a Dask worker

    def setUp(self):
        self.store = self.mounted("")
        self.folder = self.enterContext(tempfile.TemporaryDirectory())

    def start(self, guide, *, pause=False):
        """The guide's blocks as one program; with `pause` it stays where it ends."""
        text = (GUIDES / guide).read_text(encoding="utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
        self.assertGreater(len(blocks), 0, guide)
        program = "\n".join(blocks).replace("/mnt/spill", str(self.store.path))
        if pause:
            last = program.rstrip().splitlines()[-1]
            indent = last[:len(last) - len(last.lstrip())]
            program += f"{indent}print('PAUSED', flush=True)\n{indent}import signal; signal.pause()\n"
        path = pathlib.Path(self.folder) / "guide.py"
        path.write_text(program, encoding="utf-8")
        process = subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def run_guide(self, guide):
        process = self.start(guide)
        output, _ = process.communicate(timeout=150)
        self.assertEqual(process.returncode, 0, output)
        return output

    def kill(self, guide):
        """Kills all of the guide's program at its end, where it still holds what it spilled."""
        process = self.start(guide, pause=True)
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == "PAUSED\n":
                break
        self.assertIsNone(process.poll(), "".join(lines))
        before = self.reap()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return before

    def reap(self):
        done = m.spillfs("reap", self.store.path, "--older-than", "0s", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def files(self):
        return [path for path in self.store.path.rglob("*") if path.is_file()]

    @needs("duckdb")
    def test_duckdb(self):
        output = self.run_guide("duckdb.md")
        self.assertIn("(1000000, 999999)", output)
        self.assertRegex(output, rf"{self.store.path}/duckdb/duckdb_temp_\S+ \d+")
        self.assertEqual(self.files(), [])
        self.ended_well(self.store)

    @needs("duckdb")
    def test_a_duckdb_that_is_killed(self):
        self.assertEqual(self.kill("duckdb.md"), "", "while it lives")
        m.wait_until(lambda: self.reap() and not [path for path in self.files() if path.stat().st_size],
                     20, "its files gone")
        self.assertEqual([path.name.split("_")[-1] for path in self.files()], ["owner"])
        self.run_guide("duckdb.md")
        self.assertEqual(self.files(), [])
        self.ended_well(self.store)

    @needs("duckdb")
    def test_duckdb_on_a_full_mount(self):
        self.store = self.mounted("quota=40MiB,space_wait=0s")
        process = self.start("duckdb.md")
        output, _ = process.communicate(timeout=150)
        self.assertNotEqual(process.returncode, 0, output)
        self.assertRegex(output, r"Out of Memory Error: .* \(3\d\.\d MiB/3\d\.\d MiB used\)")
        self.assertIn("max_temp_directory_size", output)
        (self.store.path / "another's").write_bytes(b"goes on")
        m.wait_until(lambda: [path.name for path in self.files()] == ["another's"], 20,
                     "the query's files gone")
        self.ended_well(self.store)

    @needs("distributed")
    def test_dask(self):
        output = self.run_guide("dask.md")
        self.assertGreater(int(re.search(r"bytes on disk: (\d+)", output)[1]), 50_000_000, output)
        self.assertIn("sum: 100000000.0", output)
        self.assertEqual([path for path in self.files() if "storage" in path.parts], [])
        self.ended_well(self.store)

    @needs("distributed")
    def test_a_dask_that_is_killed(self):
        self.assertEqual(self.kill("dask.md"), "", "while it lives")
        worker = self.store.path / "dask-scratch-space"
        self.assertTrue(list(worker.glob("worker-????????")))
        m.wait_until(lambda: self.reap() is not None and not list(worker.glob("worker-????????")), 20,
                     "its worker's directory gone")
        self.ended_well(self.store)

    def test_lmcache(self):
        """Its settings alone: the names and types that LMCache 0.5.6 has in v1/config.py."""
        text = (GUIDES / "lmcache.md").read_text(encoding="utf-8")
        settings = yaml.safe_load(re.search(r"^```yaml\n(.*?)^```$", text, re.M | re.S)[1])
        settings |= yaml.safe_load(re.search(r"`(extra_config: .*?)`", text)[1])
        self.assertEqual({name: type(value) for name, value in settings.items()},
                         {"chunk_size": int, "local_cpu": bool, "max_local_cpu_size": int,
                          "local_disk": str, "max_local_disk_size": int, "extra_config": dict})
        self.assertTrue(settings["local_disk"].startswith("file:///mnt/spill/"))
        self.assertEqual(settings["extra_config"], {"use_odirect": True})

    @needs("pyspark")
    def test_spark(self):
        if shutil.which("java") is None:
            self.skipTest("no Java; install default-jre-headless")
        output = self.run_guide("spark.md")
        self.assertIn("rows: 3000000", output)
        self.assertRegex(output, rf"shuffled to: {self.store.path}/blockmgr-")
        self.assertEqual(self.files(), [])
        self.ended_well(self.store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
