# SPDX-License-Identifier: Apache-2.0
"""What dead processes leave behind goes; what anybody may come back for stays."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import cases, machine
from support import mounted as m
from support.reaping import Child, reap

m.need_fuse()
machine.own_mounts()
m.limit_time(100)

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NODE = "ray_spilled_objects_" + "ab" * 28
FILE = "c" * 32 + "-multi-3"
WORKER = "worker-a1b2c3d4"


class Reap(cases.OnStores):
    @classmethod
    def setUpClass(cls):
        cases.call_myself("test")  # not python: that could be Dask
        cls.store = m.Mounted().mount()

    @classmethod
    def tearDownClass(cls):
        cls.store.umount()
        cls.store.check()
        cls.store.check_log()
        cls.store.close()

    def tearDown(self):
        subprocess.run(["find", self.store.path, "-mindepth", "1", "-delete"], check=True)

    def child(self, body):
        child = Child(body)
        self.addCleanup(child.end)
        return child

    def reap(self, *arguments):
        return reap(self.store, "--older-than", "0s", *arguments)

    def raylet(self, *, worker):
        """The raylet, whose I/O worker is started and runs `worker(say)`."""
        def run(say):
            cases.call_myself("raylet")
            child = Child(worker)
            say(str(child.pid))
            for text in child.says:
                say(text.strip())
            child.wait()
            say("worker gone")
            signal.pause()
        raylet = self.child(run)
        return raylet, int(raylet.line())

    def spill(self, say, end):
        """An I/O worker that makes its directory and writes a file, as far as `end` says."""
        folder = self.store.path / NODE
        folder.mkdir(exist_ok=True)
        file = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(file, b"x" * 6_000_000)
        if end == "closed":
            os.close(file)
        say(end)
        if end != "exits":
            signal.pause()

    def test_a_directory_goes_with_its_raylet(self):
        raylet, worker = self.raylet(worker=lambda say: self.spill(say, "closed"))
        self.assertEqual(raylet.line(), "closed")
        creator = json.loads(os.getxattr(self.store.path / NODE, "user.spillfs.creator"))
        self.assertEqual([p["pid"] for p in creator["processes"][:2]], [worker, raylet.pid])
        self.assertEqual(creator["processes"][1]["name"], "raylet")
        self.assertEqual(self.reap(), {}, "both live")
        os.kill(worker, signal.SIGKILL)
        self.assertEqual(raylet.line(), "worker gone")
        self.assertEqual(self.reap(), {}, "its raylet reads it still")
        raylet.end()
        self.assertEqual(reap(self.store), {}, "younger than an hour")
        with open(self.store.path / NODE / FILE, "rb"):
            self.assertEqual(self.reap(), {}, "a file in it is open")
        found = self.reap("--dry-run")
        self.assertEqual(list(found), [NODE])
        self.assertIn("raylet", found[NODE]["why"])
        self.assertGreaterEqual(found[NODE]["bytes"], 6_000_000)
        self.assertEqual(os.stat(self.store.path / NODE / FILE).st_size, 6_000_000)
        self.assertTrue(self.reap()[NODE]["removed"])
        self.assertEqual(os.listdir(self.store.path), [])

    def test_a_file_goes_whose_writer_was_killed_half_way(self):
        raylet, worker = self.raylet(worker=lambda say: self.spill(say, "half"))
        self.assertEqual(raylet.line(), "half")
        self.assertEqual(self.reap(), {}, "it is being written")
        os.kill(worker, signal.SIGKILL)
        self.assertEqual(raylet.line(), "worker gone")
        path = self.store.path / NODE / FILE
        m.wait_until(lambda: os.getxattr(path, "user.spillfs.opens") == b"0", 10, "its release")
        self.assertEqual(os.getxattr(path, "user.spillfs.half_written"),
                         b"its writer was killed by signal 9")
        self.assertEqual(os.listxattr(path), [])
        self.assertEqual(reap(self.store), {}, "younger than an hour")
        self.assertEqual(list(self.reap()), [f"{NODE}/{FILE}"])
        self.assertEqual(os.listdir(self.store.path / NODE), [], "the directory is a living raylet's")
        raylet.end()
        self.assertEqual(list(self.reap()), [NODE])

    def test_files_that_somebody_may_read_stay(self):
        for end in ("closed", "exits"):
            raylet, worker = self.raylet(worker=lambda say, end=end: self.spill(say, end))
            self.assertEqual(raylet.line(), end)
            if end == "closed":
                os.kill(worker, signal.SIGKILL)
            self.assertEqual(raylet.line(), "worker gone")
            self.assertEqual(self.reap(), {}, end)
            self.assertEqual((self.store.path / NODE / FILE).stat().st_size, 6_000_000)
            raylet.end()
            self.assertEqual(list(self.reap()), [NODE])

    def test_other_files_stay_whoever_died(self):
        def write(say):
            (self.store.path / "ray_spilled_objects_mine").mkdir()
            names = ["log", "ray_spilled_objects_mine/copy", FILE]
            files = [os.open(self.store.path / name, os.O_WRONLY | os.O_CREAT) for name in names]
            for file in files:
                os.write(file, b"half a line")
            say("written")
            signal.pause()
        writer = self.child(write)
        self.assertEqual(writer.line(), "written")
        writer.end()
        self.assertEqual(self.reap(), {})

    def test_a_mark_goes_when_somebody_writes_on_or_says_so(self):
        folder = self.store.path / NODE
        folder.mkdir()
        for name, keep in (("d" * 32 + "-multi-1", lambda path: open(path, "ab").close()),
                           ("e" * 32 + "-multi-1",
                            lambda path: os.removexattr(path, "user.spillfs.half_written"))):
            def write(say, name=name):
                file = os.open(folder / name, os.O_WRONLY | os.O_CREAT)
                os.write(file, b"half")
                say("half")
                signal.pause()
            writer = self.child(write)
            self.assertEqual(writer.line(), "half")
            writer.end()
            m.wait_until(lambda name=name: f"{NODE}/{name}" in self.reap("--dry-run"), 10, name)
            keep(folder / name)
            self.assertEqual(self.reap(), {})
        os.setxattr(folder / name, "user.spillfs.half_written", b"as it came back")
        with self.assertRaises(OSError):
            os.getxattr(folder / name, "user.spillfs.half_written")
        os.removexattr(folder, "user.spillfs.creator")
        self.assertTrue(os.getxattr(folder, "user.spillfs.creator"))

    def test_a_duckdb_that_was_killed(self):
        def run(say):
            (self.store.path / "tmp").mkdir()
            file = os.open(self.store.path / "tmp/duckdb_temp_storage_S32K-0.tmp",
                           os.O_RDWR | os.O_CREAT)
            os.pwrite(file, b"x" * 32768, 65536)
            say("written")
            signal.pause()
        duckdb = self.child(run)
        self.assertEqual(duckdb.line(), "written")
        self.assertEqual(self.reap(), {})
        duckdb.end()
        m.wait_until(lambda: list(self.reap()) == ["tmp/duckdb_temp_storage_S32K-0.tmp"], 10, "gone")
        self.assertEqual(os.listdir(self.store.path), ["tmp"], "whose directory it is nobody knows")

    def dask_worker(self, say):
        cases.call_myself("python3.11")
        space = self.store.path / "dask-scratch-space"
        space.mkdir(exist_ok=True)
        lock = os.open(space / (WORKER + ".dirlock"), os.O_WRONLY | os.O_CREAT)
        (space / WORKER / "storage").mkdir(parents=True)
        (space / WORKER / "storage/key%231").write_bytes(b"x" * 10000)
        os.symlink("/etc", space / WORKER / "link")
        os.chmod(space / WORKER, 0o700)
        say("ready")
        signal.pause()
        os.close(lock)

    def test_a_dask_worker(self):
        worker = self.child(self.dask_worker)
        self.assertEqual(worker.line(), "ready")
        self.assertEqual(self.reap(), {})
        worker.end()
        m.wait_until(lambda: self.reap("--dry-run"), 10, "its files are closed")
        inside = self.store.path / "dask-scratch-space" / WORKER
        (inside / "by me").mkdir()
        self.assertEqual(self.reap(), {}, "a living process made something in it")
        (inside / "by me").rmdir()
        self.assertEqual(list(self.reap()), [f"dask-scratch-space/{WORKER}"])
        self.assertEqual(os.listdir(self.store.path / "dask-scratch-space"), [])
        self.assertTrue(os.path.exists("/etc/passwd"))

    def test_a_copy_by_hand_stays(self):
        worker = self.child(self.dask_worker)
        self.assertEqual(worker.line(), "ready")
        worker.end()
        space = self.store.path / "dask-scratch-space"
        copy = self.store.path / "dask-scratch-space.old"
        subprocess.run(["cp", "-a", space, copy], check=True)
        m.wait_until(lambda: list(self.reap()) == [f"dask-scratch-space/{WORKER}"], 10, "the other")
        self.assertEqual((copy / WORKER / "storage/key%231").stat().st_size, 10000)

    def test_only_root_and_the_daemons_owner_may(self):
        worker = self.child(self.dask_worker)
        self.assertEqual(worker.line(), "ready")
        worker.end()
        m.wait_until(lambda: self.reap("--dry-run"), 10, "its files are closed")
        program = shutil.copy(m.PROGRAM, self.store.root)  # where anybody may run it
        done = m.spillfs("reap", self.store.path, "--older-than", "0s", program=program,
                         user=65534, group=65534, extra_groups=[])
        self.assertEqual(done.returncode, 6, done.stdout)
        self.assertIn("only root and the owner of its daemon may reap there", done.stderr)
        self.assertEqual(len(self.reap()), 1)

    def test_what_is_not_asked_right(self):
        self.assertEqual(m.spillfs("reap", self.store.path, "--older-than", "soon").returncode, 2)
        self.assertEqual(m.spillfs("reap", "/").returncode, 3)

    def test_all_mounts_while_another_comes_and_goes(self):
        other = m.Mounted()
        self.addCleanup(other.close)
        (self.store.path / NODE).mkdir()

        def come_and_go():
            for _ in range(6):
                other.mount()
                other.umount()
        coming = threading.Thread(target=come_and_go)
        coming.start()
        runs = 0
        while coming.is_alive():
            done = m.spillfs("reap", "--dry-run", "--older-than", "0s", "--json")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            runs += 1
        self.assertGreater(runs, 6)
        coming.join()
        other.mount()
        other.kill()
        done = m.spillfs("reap")
        self.assertEqual((done.returncode, done.stderr),
                         (0, f"spillfs: the daemon of {other.path} is gone\n"))
        other.mount()
        other.umount()

    def test_in_the_background(self):
        store = self.mounted("reap=1s")
        self.assertIn('reap = "1s"', (store.path / ".spillfs/config").read_text())
        kept = store.path / NODE
        kept.mkdir()
        was, self.store = self.store, store
        try:
            worker = self.child(self.dask_worker)
            self.assertEqual(worker.line(), "ready")
            time.sleep(2.5)
            self.assertTrue((store.path / "dask-scratch-space" / WORKER).exists())
            worker.end()
            m.wait_until(lambda: not (store.path / "dask-scratch-space" / WORKER).exists(), 20, "it")
        finally:
            self.store = was
        self.assertTrue(kept.exists())
        m.wait_until(lambda: "reap: " in store.log(), 10, "a line in the log")
        self.assertIn(f"reap: {store.path}/dask-scratch-space/{WORKER}  1", store.log())
        status = store.status()
        self.assertEqual(status["reaped"], 1)
        self.assertGreaterEqual(status["reaped_bytes"], 10000)
        self.ended_well(store)

    def test_as_the_service(self):
        """With the capabilities of the unit alone, for a runtime of another user."""
        unit = (ROOT / "systemd/spillfs@.service.in").read_text()
        names = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.M)[1].lower().split()
        bounds = ",".join(["-all", *("+" + name.removeprefix("cap_") for name in names)])
        store = m.Mounted("reap=1s")
        self.addCleanup(store.close)
        store.mount(prefix=["setpriv", f"--bounding-set={bounds}"])
        was, self.store = self.store, store
        try:
            def run(say):
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                self.dask_worker(lambda text: self.spill(say, "half"))
            runtime = self.child(run)
            self.assertEqual(runtime.line(), "half")
            space = store.path / "dask-scratch-space"
            os.chown(space, 0, 0)
            os.chmod(space, 0o1777)  # as the root of the mount, in which Ray's directories are
            runtime.end()
            worker = space / WORKER
            m.wait_until(lambda: not worker.exists(), 20, "the worker's directory gone")
            m.wait_until(lambda: not (store.path / NODE / FILE).exists(), 20, "the file gone")
        finally:
            self.store = was
        self.ended_well(store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
