# SPDX-License-Identifier: Apache-2.0
"""What a daemon tells a service manager (sd_notify(3)), and that the next one goes on with what was
kept of its mount; the test is the service manager."""
import array
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

m.need_fuse()
m.limit_time(100)
LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE = 0x4206
NAMES = {"hand-over", "fuse", "staging", "open-files", "counts", "lock"}


class Manager:
    """Takes messages and descriptors as systemd does."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.messages = []
        self.kept = {}
        self.thread = threading.Thread(target=self.receive, daemon=True)
        self.thread.start()

    def receive(self):
        while True:
            text, ancillary, _, _ = self.socket.recvmsg(1 << 16, 1 << 12)
            if text == b"end":
                return
            files = array.array("i")
            for _, _, data in ancillary:
                files.frombytes(data)
            fields = dict(line.split("=", 1) for line in text.decode().splitlines())
            if "FDSTOREREMOVE" in fields and fields["FDNAME"] in self.kept:
                os.close(self.kept.pop(fields["FDNAME"]))
            if "FDSTORE" in fields and fields["FDNAME"] not in self.kept:
                self.kept[fields["FDNAME"]] = files.pop()
            for file in files:  # a barrier's, or of what is kept already
                os.close(file)
            self.messages.append(fields)

    def told(self, **wanted):
        return any(all(fields.get(name) == value for name, value in wanted.items())
                   for fields in list(self.messages))

    def names(self):
        return [name for fields in list(self.messages) for name in fields]

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as me:
            me.sendto(b"end", self.path)
        self.thread.join(10)
        self.socket.close()
        for file in self.kept.values():
            os.close(file)


@contextlib.contextmanager
def held(pid):
    """The process does not go before this is left, whatever ends it; as one that waits for a disk."""
    zero = ctypes.c_void_p(0)
    if LIBC.ptrace(ctypes.c_long(PTRACE_SEIZE), ctypes.c_long(pid), zero, zero) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    try:
        yield
    finally:
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), status


class Notify(unittest.TestCase):
    def setUp(self):
        self.store = m.Mounted()
        self.addCleanup(self.store.close)
        self.manager = Manager(self.store.root / "notify")
        self.addCleanup(self.manager.close)

    def start(self, *options, files=None, config=None, ready=True):
        """As systemd starts a service; `files` are passed from 3 on, as LISTEN_FDS says."""
        names = ["--config", str(config)] if config else [str(self.store.store), str(self.store.path)]
        env = {**os.environ, "NOTIFY_SOCKET": self.manager.path, "WATCHDOG_USEC": "1000000"}
        if files:
            env.update(LISTEN_FDS=str(len(files)), LISTEN_FDNAMES=":".join(files))

        def pass_files():
            os.environ["LISTEN_PID"] = env["LISTEN_PID"] = str(os.getpid())
            copies = [os.dup(file) for file in files.values()]
            high = [os.dup2(file, 100 + at) for at, file in enumerate(copies)]
            for at, file in enumerate(high):
                os.dup2(file, 3 + at)
            os.closerange(3 + len(high), 200)
            os.execve(m.PROGRAM, words, env)

        both = ",".join(filter(None, (os.environ.get("SPILLFS_MOUNT_OPTIONS"), *options)))
        words = [m.PROGRAM, "mount", "-f", *names, *(["-o", both] if both else [])]
        self.manager.messages.clear()
        with open(self.store.log_path(), "ab") as log:
            self.store.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, close_fds=not files,
                preexec_fn=pass_files if files else None)
        if ready:
            m.wait_until(lambda: self.manager.told(READY="1") or self.store.ended(), 30, "ready")
            self.assertFalse(self.store.ended(), self.store.log())

    def end(self):
        self.store.process.terminate()
        self.assertEqual(self.store.process.wait(30), 0, self.store.log())
        self.assertFalse(m.is_mounted(self.store.path))
        self.store.check()

    def leave(self):
        self.store.process.send_signal(signal.SIGUSR2)
        self.assertEqual(self.store.process.wait(30), 0, self.store.log())

    def size(self, name):
        path = self.store.path / name
        return path.stat().st_size if path.exists() else None

    def need_restarts(self):
        if not self.store.goes_on():
            self.skipTest("this kernel can't send requests again, or is told not to")

    def test_says_how_it_is(self):
        self.start()
        self.assertTrue(self.store.serves())
        first = next(fields for fields in self.manager.messages if "READY" in fields)
        before = self.manager.messages[:self.manager.messages.index(first)]
        self.assertTrue(any("EXTEND_TIMEOUT_USEC" in fields for fields in before))
        self.assertIn("recovering…", [fields.get("STATUS") for fields in before])
        count = len(self.manager.messages)
        m.wait_until(lambda: "WATCHDOG" in [name for fields in self.manager.messages[count:]
                                            for name in fields], 10, "a sign of life")
        (self.store.path / "file").write_bytes(b"x" * (1 << 20))
        m.wait_until(lambda: any("1.0 MiB used, 0 restarts" in fields.get("STATUS", "")
                                 for fields in list(self.manager.messages)), 10, "the bytes")
        self.end()
        self.assertTrue(self.manager.told(STOPPING="1"))
        self.assertEqual(self.manager.kept, {})

    def test_an_upgrade_is_a_reload(self):
        self.start()
        self.need_restarts()
        self.assertEqual(set(self.manager.kept), NAMES)
        self.manager.messages.clear()
        self.store.process.send_signal(signal.SIGHUP)
        m.wait_until(lambda: self.manager.told(READY="1"), 30, "reloaded")
        names = self.manager.names()
        self.assertLess(names.index("RELOADING"), names.index("READY"))
        self.assertIn("MONOTONIC_USEC", names)
        self.assertEqual(self.store.status()["upgrades"], 1)
        m.wait_until(lambda: set(self.manager.kept) == NAMES, 10, "kept by the new program")
        self.end()

    def wait_for_signs(self, process):
        """As many as a service manager would have missed."""
        count = len(self.manager.messages)
        m.wait_until(lambda: sum("WATCHDOG" in fields and str(process) in fields["STATUS"]
                                 for fields in self.manager.messages[count:]) >= 6, 10, "signs of life")

    def test_a_process_that_does_not_end_is_waited_for(self):
        self.start()
        self.need_restarts()
        with held(worker := self.store.worker()):
            os.kill(worker, signal.SIGKILL)
            self.wait_for_signs(worker)
        m.wait_until(lambda: self.store.status()["restarts"] == 1, 10, "another worker")
        with held(worker := self.store.worker()):
            self.store.process.send_signal(signal.SIGHUP)
            self.wait_for_signs(worker)
            m.wait_until(lambda: f"process {worker} ends and is not gone yet" in self.store.log(), 10,
                         "the log")
        m.wait_until(lambda: self.store.status()["upgrades"] == 1, 10, "the upgrade")
        (self.store.path / "closed").write_bytes(b"kept")
        with held(worker := self.store.worker()):
            self.store.process.send_signal(signal.SIGHUP)
            m.wait_until(lambda: self.manager.told(STATUS=f"upgrading… (waits for process {worker})"),
                         10, "the reload")
            self.store.process.terminate()
            m.wait_until(lambda: not m.is_mounted(self.store.path), 10, "unmounted")
        self.end()

    def test_who_leaves_is_not_kept_from_it(self):
        self.start()
        self.need_restarts()
        with held(self.store.worker()):
            for word in (signal.SIGHUP, signal.SIGUSR2, signal.SIGTERM):
                self.store.process.send_signal(word)
            m.wait_until(lambda: self.manager.told(STOPPING="1"), 10, "it leaves")
        self.assertEqual(self.store.process.wait(30), 0, self.store.log())
        self.assertTrue(m.is_mounted(self.store.path))
        self.start(files=self.manager.kept)
        self.end()

    def test_the_next_daemon_goes_on(self):
        self.start()
        self.need_restarts()
        # In a process of its own: a child of ours that closed its copy would wait for the daemon that
        # it is to become.
        with subprocess.Popen(["sh", "-c", f"exec cat > {self.store.path}/open"],
                              stdin=subprocess.PIPE, bufsize=0) as client:
            client.stdin.write(b"before")
            m.wait_until(lambda: self.size("open") == 6, 10, "it is written")
            self.leave()
            self.assertTrue(m.is_mounted(self.store.path))
            self.start("quota=1GiB,staging=32MiB", files=self.manager.kept)
            client.stdin.write(b"after")
            client.stdin.close()
            self.assertEqual(client.wait(30), 0)
        self.assertEqual(self.store.status()["quota_bytes"], 1 << 30)
        self.assertIn("staging stays 64MiB", self.store.log())
        self.store.kill_worker()
        self.assertEqual((self.store.path / "open").read_bytes(), b"beforeafter")
        self.end()

    def test_goes_on_as_it_was_without_its_file(self):
        config = self.store.root / "spill.toml"
        text = (f'store = "{self.store.store}"\nmountpoint = "{self.store.path}"\nquota = "7GiB"\n')
        config.write_text(text)
        self.start(config=config)
        self.need_restarts()
        device = os.stat(self.store.path).st_dev
        for broken in ("quota = ", f'{text}staging = "a lot"\n', None):
            config.write_text(broken) if broken else config.unlink()
            self.leave()
            self.start(config=config, files=self.manager.kept)
            self.assertIn("the mount goes on as it was", self.store.log())
            self.store.log_path().write_text("")
            self.assertEqual(os.stat(self.store.path).st_dev, device)
            self.assertEqual(self.store.status()["quota_bytes"], 7 << 30)
        config.write_text(text.replace("7GiB", "5GiB"))
        self.manager.messages.clear()
        self.store.process.send_signal(signal.SIGHUP)
        m.wait_until(lambda: self.manager.told(READY="1"), 30, "reloaded")
        self.assertEqual(self.store.status()["quota_bytes"], 5 << 30)
        self.end()

    def test_a_stop_before_it_goes_on(self):
        config = self.store.root / "spill.toml"
        config.write_text(f'store = "{self.store.store}"\nmountpoint = "{self.store.path}"\n')
        self.start(config=config)
        self.need_restarts()
        with open(self.store.path / "closed", "wb") as file:
            file.write(b"kept")
        self.leave()
        text = config.read_text()
        config.unlink()
        os.mkfifo(config)
        self.start(config=config, files=self.manager.kept, ready=False)
        with open(config, "w", encoding="utf-8") as pipe:  # it has begun to read
            self.store.process.terminate()
            pipe.write(text)
        self.assertEqual(self.store.process.wait(30), 0, self.store.log())
        self.assertFalse(m.is_mounted(self.store.path))
        m.wait_until(lambda: not self.manager.kept, 10, "nothing is kept")
        self.store.check()

    def test_a_new_mount_where_what_was_kept_can_not_be_used(self):
        self.start()
        self.need_restarts()
        with open(self.store.root / "junk", "wb") as junk:
            junk.write(b"{}")
        with open(self.store.root / "junk", "rb") as junk:
            for change in ({"hand-over": junk.fileno()}, {"staging": None}, {"fuse": junk.fileno()}):
                (self.store.path / "closed").write_bytes(b"kept")
                self.leave()
                files = {name: file for name, file in {**self.manager.kept, **change}.items()
                         if file is not None}
                self.start(files=files)
                self.assertIn("the mount that was kept is let go", self.store.log())
                self.store.log_path().write_text("")
                self.assertEqual((self.store.path / "closed").read_bytes(), b"kept")
                self.assertEqual(self.store.status()["restarts"], 0)
                self.assertEqual(set(self.manager.kept), NAMES)
        self.end()

    def test_another_store_in_its_place(self):
        self.start()
        self.need_restarts()
        (self.store.path / "closed").write_bytes(b"kept")
        self.leave()
        first, self.store.store = self.store.store, self.store.root / "other"
        self.start(files=self.manager.kept)
        self.assertEqual(os.listdir(self.store.path), [])
        self.end()
        self.store.store = first
        self.store.check()

    def test_nothing_is_kept_where_nothing_can_be_sent_again(self):
        self.start("without=resend")
        self.assertEqual(self.manager.kept, {})
        self.store.process.send_signal(signal.SIGUSR2)
        self.end()

    def test_no_one_is_left_the_mount_without_a_manager(self):
        self.store.mount()
        self.store.process.send_signal(signal.SIGUSR2)
        self.store.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.store.process.wait(30), 0)
        self.assertFalse(m.is_mounted(self.store.path))


if __name__ == "__main__":
    unittest.main(verbosity=2)
