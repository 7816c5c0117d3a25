# SPDX-License-Identifier: Apache-2.0
"""Processes that are killed, and what `reap` makes of what they leave."""
import contextlib
import ctypes
import json
import os
import signal

from support import mounted as m


class Child:
    """A process that runs `body(say)`, with what it says on a pipe, until it is killed or done."""

    def __init__(self, body):
        read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(read)
            ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # with the test, however that ends
            with contextlib.suppress(BaseException):
                body(lambda text: os.write(write, text.encode() + b"\n"))
            os._exit(0)
        os.close(write)
        self.says = os.fdopen(read)

    def line(self):
        return self.says.readline().strip()

    def end(self):
        if self.says.closed:
            return
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self):
        os.waitpid(self.pid, 0)
        self.says.close()


def reap(store, *arguments):
    """What it found, by path."""
    done = m.spillfs("reap", store.path, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return {os.path.relpath(found["path"], store.path): found
            for found in map(json.loads, done.stdout.splitlines())}
