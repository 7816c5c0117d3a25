# SPDX-License-Identifier: Apache-2.0
"""What runtimes beside Ray, Dask and Spark leave when they are killed: Polars, DataFusion, Flink,
HF datasets. Polars and DataFusion themselves are killed while they spill, where they are installed.
"""

import os
import pathlib
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import cases, machine
from support import mounted as m
from support.reaping import Child, reap

m.need_fuse()
machine.own_mounts()
m.limit_time(100)

UUID = "01234567-89ab-cdef-0123-456789abcdef"
SPILL = f"spill-multiplexer-{UUID}.ipc"
POLARS = """
import polars as pl
rows = pl.LazyFrame({"a": range(2_000_000)}).with_columns(b=pl.col("a") * 7919 % 10007)
query = rows.join(rows, on="a").group_by("b").agg(pl.col("a").sum()).sort("b")
while True:
    query.collect(engine="streaming")
"""
POLARS_SPILLS = {
    "POLARS_OOC_SPILL_POLICY": "spill",
    "POLARS_OOC_MEMORY_BUDGET_MB": "1",
    "POLARS_OOC_DRIFT_THRESHOLD": "1",
    "POLARS_OOC_SPILL_MIN_BYTES": "1",
}
DATAFUSION = """
import sys, time
from datafusion import RuntimeEnvBuilder, SessionConfig, SessionContext
runtime = RuntimeEnvBuilder().with_disk_manager_specified(sys.argv[1])
runtime = runtime.with_fair_spill_pool(20_000_000)
context = SessionContext(SessionConfig().with_target_partitions(1), runtime)
query = ("select value * 7919 % 10000019 as a, cast(value as varchar) as b "
         "from range(4000000) order by a, b")
batches = iter(context.sql(query).execute_stream())
next(batches)
time.sleep(1000)
"""


def python_with(package):
    """A Python that has it: SPILLFS_PYTHON, that of build/venv, or this one."""
    named = os.environ.get("SPILLFS_PYTHON")
    ours = pathlib.Path(m.PROGRAM).resolve().parent / "venv/bin/python"
    for python in filter(None, (named, ours, sys.executable)):
        if (
            os.access(python, os.X_OK)
            and subprocess.run(
                [python, "-c", f"import {package}"], capture_output=True, check=False
            ).returncode
            == 0
        ):
            return str(python)
    return None


class Runtimes(cases.OnStores):
    @classmethod
    def setUpClass(cls):
        cases.call_myself("test")
        cls.store = m.Mounted().mount()

    @classmethod
    def tearDownClass(cls):
        cls.store.umount()
        cls.store.check()
        cls.store.check_log()
        cls.store.close()

    def tearDown(self):
        subprocess.run(["find", self.store.path, "-mindepth", "1", "-delete"], check=True)

    def reap(self, *arguments):
        return reap(self.store, "--older-than", "0s", *arguments)

    def killed_after(self, make, name="test"):
        """make() in a process of that name, which is looked at while it lives, and then killed."""

        def run(say):
            cases.call_myself(name)
            make()
            say("made")
            signal.pause()

        child = Child(run)
        self.addCleanup(child.end)
        self.assertEqual(child.line(), "made")
        self.assertEqual(self.reap(), {}, "it lives")
        child.end()
        return child.pid

    def make(self, path, name="file"):
        folder = self.store.path / path
        folder.mkdir(parents=True)
        (folder / name).write_bytes(b"x" * 100_000)

    def test_polars_directory_goes_with_its_process(self):
        pid = self.killed_after(lambda: self.make(f"spill/{os.getpid()}", SPILL))
        found = self.reap("--dry-run")
        self.assertEqual(list(found), [f"spill/{pid}"])
        self.assertIn("Polars", found[f"spill/{pid}"]["why"])
        self.assertTrue(self.reap()[f"spill/{pid}"]["removed"])
        self.assertEqual(os.listdir(self.store.path / "spill"), [])

    def test_older_polars_directory_goes_with_its_process(self):
        def spill():
            folder = f"polars/sort/{UUID}"
            self.make(folder, "0_0_pass.ipc")
            (self.store.path / folder / ".lock").touch()
            (self.store.path / folder / "1").mkdir()
            (self.store.path / folder / "1/_3.ipc").write_bytes(b"x")
            self.make(f"mine/{UUID}", "0_0_pass.ipc")  # not of that parent
            self.make(f"polars/group_by/{UUID}", "result.csv")  # nor with such names

        self.killed_after(spill)
        self.assertEqual(list(self.reap()), [f"polars/sort/{UUID}"])

    def test_numbers_that_are_not_polars_stay(self):
        self.killed_after(lambda: self.make(f"results/{os.getpid()}", "result.csv"))
        self.killed_after(lambda: self.make(f"other/{os.getpid() + 1}", SPILL))
        self.killed_after(lambda: (self.store.path / f"{os.getpid()}").mkdir())

        def both():
            self.make(f"both/{os.getpid()}", SPILL)
            (self.store.path / f"both/{os.getpid()}/notes").write_bytes(b"mine")

        self.killed_after(both)
        self.assertEqual(self.reap(), {})

    def test_datafusion_directory_goes_with_its_process(self):
        self.killed_after(lambda: self.make("tmp/datafusion-MS8d85", ".tmpTR1ZjH"))
        self.make("tmp2/datafusion-MS8d85")  # by one that lives
        self.assertEqual(list(self.reap()), ["tmp/datafusion-MS8d85"])

    def test_flink_directories_go_with_their_jvm(self):
        names = [f"flink-io-{UUID}", f"flink-netty-shuffle-{UUID}"]
        kept = "tm_1/localState"  # the next one goes on with it
        self.killed_after(lambda: [self.make(name) for name in (*names, kept)], "java")
        self.assertEqual(sorted(self.reap()), names)
        self.assertEqual(os.listdir(self.store.path), ["tm_1"])

    def test_datasets_directory_goes_with_all_its_processes(self):
        def main(say):
            cases.call_myself("python3.11")
            worker = Child(
                lambda say: (self.make("hf_datasets-a1b2c3d4"), say("made"), signal.pause())
            )
            say(worker.line())
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
            say("worker gone")
            signal.pause()

        child = Child(main)
        self.addCleanup(child.end)
        self.assertEqual(child.line(), "made")
        self.assertEqual(child.line(), "worker gone")
        self.assertEqual(self.reap(), {}, "the main process reads it")
        child.end()
        self.assertEqual(list(self.reap()), ["hf_datasets-a1b2c3d4"])

    def test_what_is_kept_for_the_next_stays(self):
        def write():
            self.make("lmcache", "vllm@model@1@0@abc.pt")
            self.make("trino", "spill123456789.bin")
            self.make("hub/generator/default-0.0.0.incomplete", "data-00000.arrow")
            self.make("polars/file-cache/d", "0")

        self.killed_after(write)
        self.assertEqual(self.reap(), {})

    def killed_while_it_spills(self, python, code, pattern, **environment):
        """The program, which spills into `spill`; its directory in there."""
        (self.store.path / "spill").mkdir()
        program = subprocess.Popen(
            [python, "-c", code, self.store.path / "spill"],
            env={**os.environ, **environment},
            stderr=subprocess.DEVNULL,
        )
        try:
            m.wait_until(
                lambda: program.poll() is not None
                or any((self.store.path / "spill").glob(pattern)),
                30,
                "a spill",
            )
            self.assertIsNone(program.poll(), "it ended")
            self.assertEqual(self.reap(), {}, "it lives")
        finally:
            program.kill()
            program.wait()
        (left,) = os.listdir(self.store.path / "spill")
        m.wait_until(lambda: list(self.reap()) == [f"spill/{left}"], 10, "it is found")
        self.assertEqual(os.listdir(self.store.path / "spill"), [])
        return left, program.pid

    def test_polars_itself(self):
        python = python_with("polars")
        if python is None:
            self.skipTest("no polars package; name a Python that has it in SPILLFS_PYTHON")
        left, pid = self.killed_while_it_spills(
            python,
            POLARS,
            "*/spill-*",
            **POLARS_SPILLS,
            POLARS_OOC_SPILL_DIR=str(self.store.path / "spill"),
        )
        self.assertEqual(left, str(pid))

    def test_datafusion_itself(self):
        python = python_with("datafusion")
        if python is None:
            self.skipTest("no datafusion package; name a Python that has it in SPILLFS_PYTHON")
        self.killed_while_it_spills(python, DATAFUSION, "datafusion-*/*")


if __name__ == "__main__":
    unittest.main()
