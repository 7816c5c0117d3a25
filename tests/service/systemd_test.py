# SPDX-License-Identifier: Apache-2.0
"""The service under a real systemd: ready when it serves, upgraded by a reload, and the mount goes on
over a restart of the service and the death of any of its processes."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import machine, mounted as m

m.need_fuse()
m.limit_time(170)
machine.own_mounts("systemd-nspawn", "nsenter")
SCRIPTS = pathlib.Path(__file__).resolve().parent.parent.parent / "systemd/package/deb"
UNIT = "spillfs@test.service"
FOR_THE_TEST = """
[Unit]
StartLimitBurst=50
"""
THRESHOLD = 44  # of systemd's 100 points of exposure


class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.machine = machine.Machine()
        cls.addClassCleanup(cls.machine.close)
        cls.data = cls.machine.folder / "data"
        (cls.data / "mnt").mkdir(parents=True)
        root = cls.machine.root
        subprocess.run(["cmake", "--install", pathlib.Path(m.PROGRAM).resolve().parent, "--prefix",
                        "/usr"], env={**os.environ, "DESTDIR": str(root)}, check=True,
                       stdout=subprocess.DEVNULL)
        units = root / "etc/systemd/system"
        (units / f"{UNIT}.d").mkdir()
        (units / f"{UNIT}.d/test.conf").write_text(FOR_THE_TEST)
        (root / "etc/spillfs").mkdir(exist_ok=True)
        cls.machine.boot(cls.data)
        cls.mount = cls.machine.inside(cls.data / "mnt")
        cls.configure()

    @classmethod
    def configure(cls, *lines):
        names = [f"{name} = \"{cls.data / path}\"" for name, path in
                 (("store", "store"), ("mountpoint", "mnt"))]
        cls.machine.inside("/etc/spillfs/test.toml").write_text("\n".join([*names, *lines, ""]))

    def drop_in(self, line):
        """The unit has this line, too, until the test ends."""
        later = self.machine.inside("/run/systemd/system") / f"{UNIT}.d"
        later.mkdir(parents=True, exist_ok=True)
        (later / "later.conf").write_text(f"[Service]\n{line}\n")
        self.machine.run("systemctl", "daemon-reload")
        if line:
            self.addCleanup(self.drop_in, "")

    def setUp(self):
        self.configure()
        self.ctl("start")
        self.addCleanup(self.ctl, "stop")
        if self.status()["when_the_worker_dies"] != "another goes on":
            self.skipTest("this kernel can't send requests again")
        self.before = self.status()

    def ctl(self, verb, *words):
        done = self.machine.run("systemctl", verb, UNIT, *words, check=False)
        self.assertEqual(done.returncode, 0, done.stderr + self.journal())
        return done.stdout

    def show(self, name):
        return self.ctl("show", f"--property={name}", "--value").strip()

    def journal(self):
        return self.machine.run("journalctl", "--unit", UNIT, "--output=cat", check=False).stdout

    def status(self):
        return json.loads((self.mount / ".spillfs/status").read_text())

    def processes(self):
        """Supervisor and worker, by ids of this side; the worker's helpers are left out."""
        group = next(self.machine.group.rglob(UNIT))
        parents = {int(pid): int(pathlib.Path(f"/proc/{pid}/stat").read_text().split()[3])
                   for pid in (group / "cgroup.procs").read_text().split()}
        supervisor, = (pid for pid, parent in parents.items() if parent not in parents)
        worker, = (pid for pid, parent in parents.items() if parent == supervisor)
        return supervisor, worker

    @contextlib.contextmanager
    def goes_on(self):
        """What clients have open works on over what is done inside, and none of them sees an error."""
        written = []
        stop = threading.Event()

        def write():
            number = 0
            while not stop.is_set():
                (self.mount / f"new{number % 10}").write_bytes(b"%d" % number)
                written.append(number)
                number += 1
                time.sleep(0.001)

        writer = threading.Thread(target=write)
        with open(self.mount / "open", "w+b", buffering=0) as file:
            file.write(b"before")
            writer.start()
            try:
                yield
                count = len(written)
                m.wait_until(lambda: len(written) > count + 5 or not writer.is_alive(), 20, "writes")
            finally:
                stop.set()
                writer.join(20)
            self.assertTrue(written)
            self.assertEqual((self.mount / f"new{written[-1] % 10}").read_bytes(), b"%d" % written[-1])
            file.write(b"after")
            self.assertEqual(os.pread(file.fileno(), 100, 0), b"beforeafter")

    def wait_for(self, what, **numbers):
        def reached():
            now = self.status()
            return all(now[name] - self.before[name] == value for name, value in numbers.items())
        m.wait_until(reached, 30, what)

    def wait_for_another_daemon(self):
        before = self.before["supervisor_pid"]
        m.wait_until(lambda: self.status()["supervisor_pid"] != before, 20, "another daemon")

    def test_is_ready_when_it_serves_and_unmounts_at_its_stop(self):
        (self.mount / "file").write_bytes(b"x" * 5000)
        self.assertEqual(self.show("ActiveState"), "active")
        m.wait_until(lambda: "files" in self.show("StatusText"), 10, "the status")
        self.ctl("stop")
        self.assertFalse(os.path.ismount(self.mount))
        self.assertEqual(self.show("Result"), "success")
        self.assertEqual(self.show("NFileDescriptorStore"), "0")
        self.ctl("start")
        self.assertEqual((self.mount / "file").read_bytes(), b"x" * 5000)

    def test_metrics_over_http(self):
        self.ctl("stop")
        self.configure('metrics = "127.0.0.1:9123"')
        self.ctl("start")
        get = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9123/metrics').read())"
        self.assertIn("spillfs_build_info", self.machine.run("python3", "-c", get).stdout)

    def test_a_line_in_the_journal_has_fields(self):
        (self.mount / "damaged").write_bytes(b"x" * 5000)
        self.ctl("stop")
        segment = next((self.data / "store/segments").glob("*.fused"))
        with open(segment, "r+b") as file:
            file.seek(4096 + 500)
            file.write(b"damage")
        self.ctl("start")
        with self.assertRaises(OSError):
            (self.mount / "damaged").read_bytes()
        for field, message in (("ERRNO=5", "read of inode"), ("SPILLFS_PATH=/damaged", "read of inode"),
                               (f"SPILLFS_SEGMENT={segment.name}", "is damaged at")):
            done = self.machine.run("journalctl", "-t", "spillfs", "--output=json", field,
                                    f"SPILLFS_MOUNTPOINT={self.data}/mnt")
            line = json.loads(done.stdout.splitlines()[0])
            self.assertIn(message, line["MESSAGE"])
            self.assertEqual(line["PRIORITY"], "3")
            self.assertEqual(line["SPILLFS_STORE"], f"{self.data}/store")
            self.assertEqual(line["_SYSTEMD_UNIT"], UNIT)
            self.assertNotIn("CODE_FILE", line)

    def test_the_unit(self):
        done = self.machine.run("systemd-analyze", "verify", "--man=no", UNIT, check=False)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
        for unit in ("spillfs@", "spillfs-clear@"):
            self.machine.run("systemd-analyze", "security", "--offline=true",
                             f"--threshold={THRESHOLD}", f"/usr/lib/systemd/system/{unit}.service")
        self.assertIn("passthrough", self.before["kernel"].split("off:")[0])

    def test_a_reload_is_an_upgrade(self):
        self.configure("quota = \"7GiB\"")
        with self.goes_on():
            self.ctl("reload")
            self.wait_for("the upgrade", upgrades=1)
        self.assertEqual(self.status()["quota_bytes"], 7 << 30)
        self.assertEqual(self.show("MainPID"), str(self.before["supervisor_pid"]))
        m.wait_until(lambda: self.show("ActiveState") == "active", 10, "reloaded")

    def test_the_packages_scripts(self):
        def script(name, *words):
            self.machine.run("sh", "-c", (SCRIPTS / name).read_text(), name, *words)

        with self.goes_on():
            script("postinst", "configure", "0.0.1")
            self.wait_for("the upgrade", upgrades=1)
        script("prerm", "upgrade", "0.2.0")
        self.assertTrue(os.path.ismount(self.mount))
        script("prerm", "remove")
        self.assertFalse(os.path.ismount(self.mount))

    def test_a_restart_leaves_the_mount(self):
        device = os.stat(self.mount).st_dev
        self.configure("quota = \"5GiB\"")
        with self.goes_on():
            self.ctl("restart")
            self.assertNotEqual(self.status()["supervisor_pid"], self.before["supervisor_pid"])
        self.assertEqual(os.stat(self.mount).st_dev, device)
        self.assertEqual(self.status()["quota_bytes"], 5 << 30)
        self.assertIn("leaves the mount on", self.journal())

    def test_a_restart_while_it_is_reloaded_or_started(self):
        device = os.stat(self.mount).st_dev
        with self.goes_on():
            for _ in range(4):
                self.ctl("reload", "--no-block")
                self.ctl("restart", "--no-block")
                self.ctl("restart")
        self.assertEqual(os.stat(self.mount).st_dev, device)

    def test_a_restart_with_a_file_that_can_not_be_read(self):
        device = os.stat(self.mount).st_dev
        self.configure("quota = a lot")
        with self.goes_on():
            self.ctl("restart")
            self.wait_for_another_daemon()
        self.assertEqual(os.stat(self.mount).st_dev, device)
        self.assertIn("the mount goes on as it was", self.journal())

    def test_the_rights_of_the_processes(self):
        """Within the unit's bounds each gives up the rest by itself, also the next ones."""
        limits = pathlib.Path(f"/proc/{self.machine.pid}/status").read_text()
        lowers_scores = int(re.search(r"CapEff:\s+(\w+)", limits)[1], 16) >> 24 & 1

        def check():
            status = self.status()
            worker, supervisor = (status["rights"][name] for name in ("worker", "supervisor"))
            self.assertEqual(status["sandbox"], "on")
            self.assertLessEqual(set(worker["capabilities"]), {"CAP_SYS_ADMIN"})
            scores = (worker["oom_score_adj"], supervisor["oom_score_adj"])
            # A container's systemd may not be allowed to lower any.
            self.assertEqual(scores, (-500, -900) if lowers_scores else (0, 0))
            self.assertTrue(worker["no_new_privileges"] and supervisor["no_new_privileges"])
            self.assertEqual(set(supervisor["bounding_set"]),
                             set(self.show("CapabilityBoundingSet").upper().split()))
        check()
        with self.goes_on():
            self.ctl("restart")
            self.wait_for_another_daemon()
        check()

    def test_the_worker_dies(self):
        with self.goes_on():
            _, worker = self.processes()
            os.kill(worker, signal.SIGKILL)
            self.wait_for("another worker", restarts=1)

    def test_the_supervisor_dies(self):
        with self.goes_on():
            supervisor, _ = self.processes()
            os.kill(supervisor, signal.SIGKILL)
            self.wait_for_another_daemon()
        self.assertIn("goes on with the mount on", self.journal())

    def test_a_stop_while_there_is_no_daemon(self):
        def mounts():
            return pathlib.Path(f"/proc/{self.machine.pid}/mountinfo").read_text()

        (self.mount / "file").write_bytes(b"x")
        self.drop_in("RestartSec=100")
        supervisor, _ = self.processes()
        os.kill(supervisor, signal.SIGKILL)
        m.wait_until(lambda: self.show("SubState") == "auto-restart", 20, "there is none")
        self.assertIn("fuse.spillfs", mounts())
        self.ctl("stop")
        m.wait_until(lambda: "fuse.spillfs" not in mounts(), 20, "it is cleared away")
        self.drop_in("")
        self.ctl("start")
        self.assertEqual((self.mount / "file").read_bytes(), b"x")

    def test_both_die(self):
        with self.goes_on():
            for pid in reversed(self.processes()):
                os.kill(pid, signal.SIGKILL)
            self.wait_for_another_daemon()

    def test_a_worker_that_stands_still(self):
        self.drop_in("WatchdogSec=4")
        self.ctl("restart")
        with self.goes_on():
            _, worker = self.processes()
            os.kill(worker, signal.SIGSTOP)
            m.wait_until(lambda: "Watchdog timeout" in self.journal(), 20, "the watchdog")
            self.wait_for_another_daemon()

    def test_what_is_kept_of_a_mount_that_has_ended_is_dropped(self):
        supervisor, worker = self.processes()
        os.kill(worker, signal.SIGSTOP)
        self.machine.run("umount", "--lazy", self.data / "mnt")
        os.kill(supervisor, signal.SIGKILL)
        m.wait_until(lambda: os.path.ismount(self.mount), 20, "a new mount")
        self.assertIn("the mount that was kept is let go", self.journal())
        self.assertEqual(self.status()["restarts"], 0)
        (self.mount / "file").write_bytes(b"new")


if __name__ == "__main__":
    unittest.main(verbosity=2)
