# SPDX-License-Identifier: Apache-2.0
"""spill, restore, delete and destroy on the command line, without a mount."""
import base64
import http.server
import itertools
import json
import os
import pathlib
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import minio
from support import mounted as m

m.limit_time(100)


class Verbs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="spillfs-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.numbers = itertools.count()
        self.spilled = self.root / "spill"
        self.config = json.dumps({"type": "filesystem",
                                  "params": {"directory_path": str(self.spilled)}})

    def run_verb(self, verb, *arguments, config=None, code=0, **options):
        done = subprocess.run([m.PROGRAM, verb, "--config", config or self.config,
                               *map(str, arguments)], capture_output=True, timeout=60, check=False,
                              **options)
        self.assertEqual(done.returncode, code, done.stderr)
        if code != 0:
            self.assertTrue(done.stderr, "an error without a word")
            self.assertEqual(done.stdout, b"")
        return done

    def spill(self, *arguments, **options):
        return self.run_verb("spill", *arguments, **options).stdout.decode().splitlines()

    def files(self, *contents):
        paths = [self.root / f"in{next(self.numbers)}" for _ in contents]
        for path, content in zip(paths, contents):
            path.write_bytes(content)
        return paths

    def left(self):
        return [path for path in self.spilled.rglob("*") if path.is_file()]

    def test_round_trip(self):
        contents = [os.urandom(size) for size in (0, 1, 5000, 9 << 20, 0)]
        urls = self.spill(*self.files(*contents))
        self.assertEqual(len(urls), len(contents))
        self.assertEqual(len({url.split("?")[0] for url in urls}), 1)
        out = self.root / "out"
        done = self.run_verb("restore", "-o", out, *urls)
        self.assertEqual(done.stdout, b"")
        self.assertEqual(done.stderr, f"{sum(map(len, contents))} bytes restored\n".encode())
        for n, content in enumerate(contents):
            self.assertEqual((out / str(n)).read_bytes(), content)
        done = self.run_verb("restore", "--stdout", *reversed(urls))
        self.assertEqual(done.stdout, b"".join(reversed(contents)))

    def test_a_certificate_that_is_refused(self):
        """The one thing that is said: nothing was sent, so no object can be left."""
        certificates = minio.make_certificate(self.root / "certificates")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "public.crt", certificates / "private.key")
        server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
        self.addCleanup(server.server_close)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        transport = {"endpoint_url": f"https://127.0.0.1:{server.server_port}", "retries": 0,
                     "aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        config = {"type": "smart_open", "params": {"uri": "s3://bucket",
                                                   "override_transport_params": transport}}
        done = self.run_verb("spill", *self.files(b"abc"), config=json.dumps(config), code=8)
        self.assertRegex(done.stderr.decode(), r"\Aspillfs: [^\n]*certificate[^\n]*verify\n\Z")

    def test_json(self):
        urls = json.loads(self.run_verb("spill", "--json", "--owner-address", "größe",
                                        "--metadata=-M", *self.files(b"abc")).stdout)["urls"]
        document = json.loads(self.run_verb("restore", "--json", "-o", self.root / "out",
                                            *urls).stdout)
        self.assertEqual(document, {"bytes": 3, "objects": [{
            "path": str(self.root / "out/0"), "length": 3,
            "owner_address": base64.b64encode("größe".encode()).decode(),
            "metadata": base64.b64encode(b"-M").decode()}]})

    def test_standard_input(self):
        data = os.urandom(3 << 20)
        with open(self.files(data)[0], "rb") as file:
            for options in ({"input": data}, {"stdin": file}):
                urls = self.spill("-", *self.files(b"beside it"), **options)
                done = self.run_verb("restore", "--stdout", *urls)
                self.assertEqual(done.stdout, data + b"beside it")

    def test_config_in_a_file(self):
        path = self.root / "config.json"
        path.write_text(self.config)
        urls = self.spill(*self.files(b"x"), config=f"@{path}")
        self.assertEqual(self.run_verb("restore", "--stdout", *urls).stdout, b"x")

    def test_delete_and_destroy(self):
        urls = self.spill(*self.files(b"1", b"2"))
        stays = self.spill(*self.files(b"3"))
        self.run_verb("delete", urls[0])
        self.run_verb("delete", *urls)
        self.run_verb("restore", "--stdout", urls[1], code=8)
        self.assertEqual(self.run_verb("restore", "--stdout", *stays).stdout, b"3")
        self.run_verb("destroy")
        self.assertEqual(os.listdir(self.spilled), [])

    def test_session(self):
        config = json.dumps({"type": "ray_storage", "params": {"storage": str(self.spilled)}})
        self.spill(*self.files(b"1"), "--session", "one", config=config)
        urls = self.spill(*self.files(b"2"), "--session", "two", config=config)
        self.run_verb("destroy", "--session", "one", config=config)
        self.assertEqual(len(self.left()), 1)
        done = self.run_verb("restore", "--session", "two", "--stdout", *urls, config=config)
        self.assertEqual(done.stdout, b"2")
        self.run_verb("destroy", config=config, code=2)

    def test_exit_codes(self):
        url = self.spill(*self.files(b"abc"))[0]
        self.run_verb("spill", self.root / "absent", code=6)
        self.run_verb("spill", "-", "-", code=2)
        self.run_verb("spill", *self.files(b"x"), config='{"type": "floppy"}', code=2)
        self.run_verb("spill", *self.files(b"x"), config="@/absent", code=2)
        self.run_verb("spill", *self.files(b"x"), config="{}", code=8)
        self.run_verb("restore", "--stdout", "no url", code=2)
        self.run_verb("restore", url, code=2)
        self.run_verb("restore", "--stdout", "--json", url, code=2)
        done = self.run_verb("restore", "--stdout", url.replace("size=27", "size=28"), code=8)
        self.assertIn(b"Obtained data has a size of 27, although it is supposed", done.stderr)
        blocked = json.dumps({"type": "filesystem", "params": {"directory_path": "/dev/null"}})
        self.run_verb("spill", *self.files(b"x"), config=blocked, code=8)

    def test_failed_restore_leaves_no_half(self):
        urls = self.spill(*self.files(b"whole", os.urandom(9 << 20)))
        os.truncate(urls[0].split("?")[0], 6 << 20)
        out = self.root / "out"
        self.run_verb("restore", "-o", out, *urls, code=8)
        self.assertEqual(os.listdir(out), ["0"])

    def test_signals_wait_for_the_clean_up(self):
        """The storage sleeps before it writes: the signal comes first."""
        config = json.dumps({"type": "slow_fs", "params": {
            "directory_path": str(self.spilled), "min_delay": 3, "max_delay": 3}})
        path = self.files(os.urandom(1000))[0]
        for signal_ in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = subprocess.Popen([m.PROGRAM, "spill", "--config", config, path],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            m.wait_until(lambda: self.blocks(process.pid, signal_), 30, "held back")
            process.send_signal(signal_)
            out, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, -signal_)
            self.assertEqual((out, err), (b"", b"spillfs: interrupted\n"))
            self.assertEqual(self.left(), [])

    @staticmethod
    def blocks(pid, signal_):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigBlk:"):
                return int(line.split()[1], 16) >> (signal_ - 1) & 1
        return False

    def test_large_objects_do_not_fill_the_memory(self):
        path = self.root / "large"
        with open(path, "wb") as out:
            out.truncate(300 << 20)
        urls = self.spill(path, *self.files(b""))
        self.assertLess(self.memory_of_restore(urls[0]) - self.memory_of_restore(urls[1]), 30 << 20)

    def memory_of_restore(self, url):
        """The most that it had in memory, bytes."""
        process = subprocess.Popen([m.PROGRAM, "restore", "--config", self.config, "--stdout", url],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        return usage.ru_maxrss << 10


if __name__ == "__main__":
    unittest.main(verbosity=2)
