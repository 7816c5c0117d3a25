# SPDX-License-Identifier: Apache-2.0
"""What an administrator sees of a real mount: metrics by file, HTTP, unix socket and textfile, and
the verbs that show them."""
import contextlib
import errno
import fcntl
import http.client
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import cases
from support import exposition
from support import mounted as m
from support.scrape import UnixConnection, get

m.need_fuse()
m.limit_time(140)
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@contextlib.contextmanager
def slow_clients(connect):
    """One that says nothing, more than there are threads that never come to an end."""
    silent, *dripping = connections = [connect() for _ in range(4)]

    def drip(connection):
        with contextlib.suppress(OSError):
            connection.sock.sendall(b"GET /metrics HTTP/1.1\r\nSlow: ")
            while True:
                connection.sock.sendall(b"a")
                time.sleep(0.1)

    for connection in connections:
        connection.connect()
    threads = [threading.Thread(target=drip, args=(connection,)) for connection in dripping]
    for thread in threads:
        thread.start()
    try:
        yield
        silent.sock.settimeout(10)
        assert silent.sock.recv(1) == b""
    finally:
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)
        for connection in connections:
            connection.close()


class Metrics(cases.OnStores):
    def scrape(self, store):
        return exposition.Exposition((store.path / ".spillfs/metrics").read_text())

    def folder(self):
        root = tempfile.TemporaryDirectory(prefix="spillfs-metrics-")
        self.addCleanup(root.cleanup)
        return pathlib.Path(root.name)

    def test_counters_move_by_what_was_done(self):
        store = self.mounted("without=passthrough")
        before = self.scrape(store)
        for number in range(5):
            (store.path / f"f{number}").write_bytes(bytes(10_000))
        self.assertEqual((store.path / "f1").read_bytes(), bytes(10_000))
        os.setxattr(store.path / "f2", "user.x", b"1")
        for number in range(3):
            with self.assertRaises(OSError):
                os.getxattr(store.path / "f2", "user.nothing")
        (store.path / "f3").unlink()
        with open(store.path / "f4", "ab") as held:
            os.fsync(held.fileno())
            m.wait_until(lambda: self.scrape(store).value("spillfs_open_handles") == 1, 10,
                         "the others' releases")
            after = self.scrape(store)

        def moved(name, **labels):
            return after.value(name, **labels) - before.value(name, **labels)

        times = "spillfs_request_duration_seconds"
        self.assertEqual(moved("spillfs_requests_total", operation="create"), 5)
        self.assertEqual(moved(times + "_count", operation="create"), 5)
        self.assertEqual(moved(times + "_bucket", operation="create", le="+Inf"), 5)
        self.assertGreater(moved(times + "_sum", operation="create"), 0)
        self.assertEqual(moved("spillfs_written_bytes_total"), 50_000)
        self.assertEqual(moved("spillfs_read_bytes_total"), 10_000)
        self.assertEqual(moved("spillfs_request_errors_total", operation="getxattr",
                               errno="ENODATA"), 3)
        self.assertEqual(moved(times + "_count", operation="fsync"), 1)
        self.assertEqual(moved("spillfs_sync_requests_total"), 1)
        self.assertEqual(after.value("spillfs_open_handles"), 1)
        self.assertEqual(after.value("spillfs_waiting_requests"), 0)
        m.wait_until(lambda: self.scrape(store).value("spillfs_inodes") == before.value(
            "spillfs_inodes") + 4, 10, "four files")
        self.assertGreater(self.scrape(store).value("spillfs_reclaim_runs_total"), 0)
        clients = json.loads((store.path / ".spillfs/clients").read_text())
        mine = [client for client in clients if client["pid"] == os.getpid()]
        self.assertGreater(mine[0]["requests"], 20)
        self.assertRegex(mine[0]["command"], "python")
        self.ended_well(store)

    def test_the_document_and_promtool(self):
        """docs/MONITORING.md has a line for each metric, and Prometheus takes them."""
        store = self.mounted("")
        text = (store.path / ".spillfs/metrics").read_text()
        found = exposition.Exposition(text)
        documented = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$",
                                (ROOT / "docs/MONITORING.md").read_text(), re.M)
        self.assertEqual([(name, kind, told) for name, (kind, told) in found.families.items()],
                         documented)
        for name, (kind, _) in found.families.items():
            self.assertTrue(name.startswith(("spillfs_", "process_")), name)
            self.assertEqual(kind == "counter", name.endswith("_total"), name)
        self.assertEqual(exposition.complaints("metrics", input=text), "")
        self.assertEqual(found.value("spillfs_build_info", version=store.status()["version"],
                                     mountpoint=str(store.path)), 1)
        self.assertEqual(found.value("process_open_fds"),
                         len(os.listdir(f"/proc/{store.worker()}/fd")))
        self.ended_well(store)

    def test_http(self):
        """Also at once after a restart; only what is of this machine."""
        port = m.free_port()
        store = self.mounted(f"metrics=127.0.0.1:{port}")
        connect = lambda: http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        m.wait_until(lambda: get(connect(), "/healthz"), 10, "an answer")
        self.assertEqual(get(connect(), "/healthz")[::2], (200, "ok\n"))
        status, kind, text = get(connect(), "/metrics")
        self.assertEqual((status, kind), (200, "text/plain; version=0.0.4; charset=utf-8"))
        self.assertEqual(exposition.complaints("metrics", input=text), "")
        self.assertEqual(exposition.Exposition(text).value("spillfs_worker_restarts_total"), 0)
        self.assertEqual(get(connect(), "/etc")[0], 404)
        if store.goes_on():
            store.kill_worker()
            m.wait_until(lambda: get(connect(), "/healthz"), 4, "an answer of the next worker")
            text = get(connect(), "/metrics")[2]
            self.assertEqual(exposition.Exposition(text).value("spillfs_worker_restarts_total"), 1)
        with slow_clients(connect):
            self.ended_well(store)
        self.assertIsNone(get(connect(), "/healthz"))
        refused = m.spillfs("mount", store.store, store.path, "-o", f"metrics=0.0.0.0:{port}")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("other machines", refused.stderr)

    def test_unix_socket(self):
        path = self.folder() / "metrics.sock"
        old = socket.socket(socket.AF_UNIX)
        old.bind(str(path))
        old.close()  # its file stays
        store = self.mounted(f"metrics=unix:{path}")
        m.wait_until(lambda: get(UnixConnection(path), "/healthz"), 10, "an answer")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(get(UnixConnection(path), "/metrics")[0], 200)
        if store.goes_on():
            store.kill_worker()
            m.wait_until(lambda: get(UnixConnection(path), "/healthz"), 4, "an answer")
        with slow_clients(lambda: UnixConnection(path)):
            self.ended_well(store)
        self.assertFalse(path.exists())

    def test_a_file_where_the_socket_should_be(self):
        path = self.folder() / "metrics.sock"
        path.write_text("mine")
        store = self.mounted(f"metrics=unix:{path}")
        m.wait_until(lambda: "is not a socket" in store.log(), 10, "a line in the log")
        self.ended_well(store)
        self.assertEqual(path.read_text(), "mine")

    def test_textfile(self):
        path = self.folder() / "spillfs.prom"
        store = self.mounted(f"metrics_file={path}")
        m.wait_until(path.exists, 10, "the file")
        text = path.read_text()
        found = exposition.Exposition(text)
        self.assertEqual(exposition.complaints("metrics", input=text), "")
        self.assertEqual(found.value("spillfs_build_info", mountpoint=str(store.path)), 1)
        self.assertFalse([name for name in found.families if name.startswith("process_")])
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o644)
        self.ended_well(store)
        self.assertEqual(os.listdir(path.parent), [])

    def test_status(self):
        store = self.mounted("quota=1GiB")
        (store.path / "f").write_bytes(bytes(300 << 10))
        shown = m.spillfs("status", store.path)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        groups = re.findall(r"^(\S.*)$", shown.stdout, re.M)
        self.assertEqual(groups, [str(store.path), "space", "activity", "memory", "durability",
                                  "restarts"])
        self.assertRegex(shown.stdout, r"\n  used +301\.\d KiB of 1\.0 GiB \(0 %\), 1023\.7 MiB free")
        self.assertRegex(shown.stdout, r"\n  staging +0 B of 64\.0 MiB used")
        status = json.loads(m.spillfs("status", store.path, "--json").stdout)
        self.assertEqual(status["quota_bytes"], 1 << 30)
        self.assertEqual(status["written_bytes"], 300 << 10)
        self.ended_well(store)

    def test_top_on_a_pipe(self):
        store = self.mounted("")
        (store.path / "folder").mkdir()
        with open(store.path / "folder/f", "wb") as file:
            file.write(bytes(300_000))
        stop = threading.Event()

        def work():
            while not stop.wait(0.01):
                os.statvfs(store.path)

        worker = threading.Thread(target=work)
        worker.start()
        try:
            shown = m.spillfs("top", store.path, "--count", "2", "--interval", "1")
        finally:
            stop.set()
            worker.join()
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertEqual(shown.stdout.count(f"spillfs {store.path}"), 2)
        self.assertNotIn("\033", shown.stdout)
        rates = re.findall(r"^statfs +(\d+\.\d)(?: +(?:\d+ us|\d+\.\d ms)){2} +\S+ \S+$", shown.stdout, re.M)
        self.assertEqual(len(rates), 2, shown.stdout)
        self.assertGreater(float(rates[0]), 1)
        self.assertRegex(shown.stdout, rf"(?m)^{os.getpid()} +python\S* +\d")
        # The first look has a count begin, the second shows it.
        self.assertRegex(shown.stdout, r"(?m)^ *\d+\.\d KiB +2  /folder$")
        self.ended_well(store)
        self.assertEqual(m.spillfs("top", store.path, "--once").returncode, 3)

    def test_top_on_a_terminal(self):
        """It fits, is redrawn at another size, and leaves the terminal as it was."""
        store = self.mounted("")
        parent, child = pty.openpty()
        self.addCleanup(os.close, parent)
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 40, 0, 0))
        before = termios.tcgetattr(child)
        top = subprocess.Popen([m.PROGRAM, "top", store.path, "--interval", "0.2"], stdin=child,
                               stdout=child, stderr=child)
        self.addCleanup(top.kill)
        text = b""

        def shows(what):
            nonlocal text
            while select.select([parent], [], [], 0)[0]:
                text += os.read(parent, 65536)
            return what in text

        m.wait_until(lambda: shows(b"memory   staging"), 10, "a screen")
        screen = text.split(b"\033[H")[-1].decode()
        lines = re.sub(r"\033\[[?0-9]*[A-Za-z]", "", screen).replace("\r", "").split("\n")
        self.assertLessEqual(max(map(len, lines)), 40)
        self.assertLessEqual(len(lines), 10)
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        top.send_signal(signal.SIGWINCH)
        m.wait_until(lambda: shows(b"operation "), 10, "a larger screen")
        self.assertNotEqual(termios.tcgetattr(child)[3], before[3])
        os.write(parent, b"q")
        self.assertEqual(top.wait(10), 0)
        shows(b"")
        self.assertIn(b"\033[?1049l", text)
        self.assertEqual(termios.tcgetattr(child), before)
        os.close(child)
        self.ended_well(store)

    def test_doctor(self):
        store = self.mounted("")
        right = json.dumps({"type": "filesystem", "params": {"directory_path": str(store.path)}})
        wrong = json.dumps({"type": "filesystem", "params": {"directory_path": ["/"]}})
        found = m.spillfs("doctor", store.path, "--ray-config", right, "--json")
        findings = json.loads(found.stdout)
        self.assertIn(found.returncode, (0, 1))
        self.assertEqual(found.returncode, int(any(f["level"] == "FAIL" for f in findings)))
        self.assertEqual({"kernel", "fuse", "fusermount3", "descriptors", "memory", "clock", "mount",
                          "disk", "space", "ray"} - {f["what"] for f in findings}, set())
        levels = {f["what"]: f["level"] for f in findings}
        self.assertEqual((levels["fuse"], levels["mount"], levels["ray"]), ("OK", "OK", "OK"))
        for finding in findings:
            self.assertEqual(finding["level"] == "OK", finding["change"] == "", finding)
        bad = m.spillfs("doctor", store.path, "--ray-config", wrong)
        self.assertEqual(bad.returncode, 1)
        self.assertRegex(bad.stdout, r"(?m)^FAIL  ray +.* spill to /, which lies not on a spillfs\n"
                                     r" +-> give Ray the mountpoint")
        by_environment = m.spillfs("doctor", store.path, env={
            **os.environ, "RAY_object_spilling_directory": str(store.path / "new")})
        self.assertRegex(by_environment.stdout, rf"(?m)^OK    ray +the environment .*{store.path}/new")
        self.ended_well(store)
        gone = m.spillfs("doctor", store.path)
        self.assertEqual(gone.returncode, 1)
        self.assertIn("no live spillfs is mounted on", gone.stdout)

    def test_bench(self):
        """On a mount and on any directory; nothing is left."""
        store = self.mounted("")
        elsewhere = self.folder()
        for place in (store.path, elsewhere):
            done = m.spillfs("bench", place, "--size", "1MiB", "--objects", "5", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            told = json.loads(done.stdout)
            self.assertEqual((told["objects"], told["object_bytes"]), (5, 1 << 20))
            for phase in ("spill", "sync", "restore", "delete"):
                self.assertGreater(told[phase]["seconds"], 0)
            self.assertEqual(os.listdir(place), [])
        shown = m.spillfs("bench", store.path, "--size", "1MiB", "--objects", "5").stdout
        for phase in ("spill", "sync", "restore", "delete"):
            self.assertRegex(shown, rf"(?m)^{phase} ")
        self.assertEqual(m.spillfs("bench", elsewhere / "nowhere").returncode, 6)
        self.ended_well(store)

    def test_lines_about_damage(self):
        """Say which file, which segment and which errno."""
        store = self.mounted("without=passthrough,fuse_limit=64KiB")
        (store.path / "folder").mkdir()
        (store.path / "folder/f").write_bytes(os.urandom(1 << 20))
        store.umount()
        segment = next((store.store / "segments").glob("*.private"))
        with open(segment, "r+b") as file:
            file.write(b"wrong")
        store.mount()
        with self.assertRaises(OSError) as caught:
            (store.path / "folder/f").read_bytes()
        self.assertEqual(caught.exception.errno, errno.EIO)
        number = os.stat(store.path / "folder/f").st_ino
        self.assertRegex(store.log(), rf"\[error\] \w+ of inode {number}, '/folder/f': EIO: ")
        self.assertRegex(store.log(), rf"segment {segment.stem}\S* is damaged at 0")
        store.umount()

    def test_dashboard_and_alerts(self):
        """Name metrics that there are."""
        store = self.mounted("")
        found = self.scrape(store)
        known = set(found.families) | {name for name, _ in found.samples} | {"up"}
        histogram = "spillfs_request_duration_seconds"
        known |= {histogram + end for end in ("_bucket", "_sum", "_count")}
        folder = ROOT / "docs/monitoring"
        board = json.loads((folder / "spillfs-dashboard.json").read_text())
        rules = (folder / "alerts.yml").read_text()
        asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
        asked += re.findall(r"expr: (.*)", rules)
        self.assertGreater(len(asked), 20)
        for expression in asked:
            names = re.findall(r"\b((?:spillfs|process)_\w+|up)\b(?!\")", expression)
            self.assertTrue(names, expression)
            self.assertLessEqual(set(names), known, expression)
        self.assertEqual(exposition.complaints("rules", folder / "alerts.yml"), "")
        self.ended_well(store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
