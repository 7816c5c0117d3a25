# SPDX-License-Identifier: Apache-2.0
"""Clients that are slow on purpose, as any user of the machine may be, keep neither /healthz nor the
metrics from anybody else."""
import contextlib
import http.client
import os
import pathlib
import socket
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import cases
from support import mounted as m
from support.scrape import UnixConnection, get

m.need_fuse()
m.limit_time(200)
MALLORY = 4003
SECONDS = 10  # within which others are answered, times m.PATIENCE on a slow machine


class Slow:
    """A process of MALLORY's with `count` connections, each of which does one thing after another
    slowly: sends a header, reads an answer, or nothing."""

    def __init__(self, connect, count):
        self.connect = connect
        self.count = count
        ready, tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(ready)
            with contextlib.suppress(BaseException):
                os.setgroups([])
                os.setgid(MALLORY)
                os.setuid(MALLORY)
                self.attack(lambda: os.write(tell, b"+"))
            os._exit(0)
        os.close(tell)
        self.failed = os.read(ready, 1) != b"+"
        os.close(ready)

    def attack(self, ready):
        connections = [self.begin(number) for number in range(self.count)]
        ready()
        while True:
            time.sleep(0.5)
            for number, connection in enumerate(connections):
                try:
                    self.step(number, connection)
                except OSError:  # it was ended; another one takes its place
                    connection.close()
                    connections[number] = self.begin(number)

    def begin(self, number):
        connection = self.connect()
        connection.settimeout(20)
        if number % 4 == 0:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nSlow: ")
        elif number % 4 == 1:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        elif number % 4 == 2:
            connection.sendall(b"G")
        return connection

    def step(self, number, connection):
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            if number % 4 in (0, 2):
                connection.send(b"a")
            elif connection.recv(1) == b"":
                raise ConnectionResetError
        connection.settimeout(20)

    def end(self):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)


@contextlib.contextmanager
def slow(connect, count):
    attacker = Slow(connect, count)
    try:
        assert not attacker.failed
        yield
    finally:
        attacker.end()


class Metrics(cases.OnStores):
    def answered(self, connection, path):
        """Status and text, which has to come in time."""
        limit = SECONDS * m.PATIENCE
        end = time.monotonic() + limit
        result = []
        asker = threading.Thread(target=lambda: result.append(get(connection(limit), path)))
        asker.start()
        asker.join(limit + 5)
        self.assertTrue(result and result[0], f"{path} is not answered within {limit} s")
        self.assertLess(time.monotonic(), end, path)
        return result[0][0], result[0][2]

    def check_others_are_answered(self, connection):
        for _ in range(3):
            self.assertEqual(self.answered(connection, "/healthz"), (200, "ok\n"))
            status, text = self.answered(connection, "/metrics")
            self.assertEqual(status, 200)
            self.assertIn("spillfs_build_info", text)

    def tcp(self):
        port = m.free_port()
        store = self.mounted(f"metrics=127.0.0.1:{port}")
        connection = lambda limit: http.client.HTTPConnection("127.0.0.1", port, timeout=limit)
        m.wait_until(lambda: get(connection(10), "/healthz"), 10, "an answer")
        return store, connection, lambda: socket.create_connection(("127.0.0.1", port), 20)

    def test_two_slow_connections(self):
        store, connection, connect = self.tcp()
        with slow(connect, 8):  # two of each kind
            self.check_others_are_answered(connection)
        self.ended_well(store)

    def test_two_hundred_slow_connections(self):
        store, connection, connect = self.tcp()
        with slow(connect, 200):
            self.check_others_are_answered(connection)
            self.assertLess(len(os.listdir(f"/proc/{store.worker()}/fd")), 400)
        self.ended_well(store)

    def test_two_hundred_on_a_unix_socket(self):
        """That its owner has opened to all: one user's connections take nothing from another's."""
        with tempfile.TemporaryDirectory(prefix="spillfs-metrics-") as folder:
            path = pathlib.Path(folder) / "socket"
            os.chmod(folder, 0o755)
            store = self.mounted(f"metrics=unix:{path}")
            m.wait_until(lambda: get(UnixConnection(path), "/healthz"), 10, "an answer")
            os.chmod(path, 0o666)

            def connect():
                made = socket.socket(socket.AF_UNIX)
                made.settimeout(20)
                made.connect(str(path))
                return made

            def connection(limit):
                made = UnixConnection(path)
                made.timeout = limit
                return made
            with slow(connect, 200):
                self.check_others_are_answered(connection)
            self.ended_well(store)

    def test_a_header_that_trickles_has_a_deadline(self):
        store, _, connect = self.tcp()
        with connect() as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nSlow: ")
            end = time.monotonic() + SECONDS * m.PATIENCE
            ended = False
            while not ended and time.monotonic() < end:
                time.sleep(0.5)
                try:
                    connection.send(b"a")
                    connection.setblocking(False)
                    ended = connection.recv(100) == b""
                except BlockingIOError:
                    connection.settimeout(20)
                except ConnectionError:
                    ended = True
            self.assertTrue(ended, "the connection goes on")
        self.ended_well(store)


if __name__ == "__main__":
    unittest.main(verbosity=2)
