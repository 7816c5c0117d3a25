# SPDX-License-Identifier: Apache-2.0
"""A mount that an ordinary user makes with fusermount3 and that calls itself spillfs: what is in its
.spillfs is what the test says, or is never answered."""
import contextlib
import os
import signal
import socket
import stat
import struct
import subprocess

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, INIT, OPENDIR, READDIR = (
    1, 2, 3, 14, 15, 17, 18, 26, 27, 28)
NO_REPLY = (FORGET, 42)  # and those of several nodes at once
ROOT, FOLDER, FIRST_FILE = 1, 2, 3
DIRECT_IO = 1
NO_ENTRY, NOT_SUPPORTED = 2, 38
HANGS = object()


class FakeMount:
    """`files`: bytes by name, or HANGS for one whose reads are not answered."""

    def __init__(self, path, user, files, options="allow_other"):
        self.path, self.names, self.texts = str(path), list(files), list(files.values())
        ready, done = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(ready)
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
                connection = self._connect(options)
                os.write(done, b"+")
                os.close(done)
                self._serve(connection)
            except BaseException as problem:
                print("the fake mount ends:", problem, getattr(problem, "stderr", ""), flush=True)
            os._exit(1)
        os.close(done)
        self.mounted = os.read(ready, 1) == b"+"
        os.close(ready)

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        subprocess.run(["umount", "-l", self.path], check=False, capture_output=True)

    def _connect(self, options):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            subprocess.run(["fusermount3", "-o", f"{options},fsname=fake,subtype=spillfs", "--",
                            self.path], env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
                           pass_fds=[theirs.fileno()], check=True, capture_output=True)
            return socket.recv_fds(ours, 1, 1)[1][0]

    def _serve(self, connection):
        while True:
            request = os.read(connection, 1 << 20)
            _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
            if opcode in NO_REPLY:
                continue
            answer = self._answer(opcode, node, request[40:])
            if answer is None:
                continue
            error, body = (-answer, b"") if isinstance(answer, int) else (0, answer)
            os.write(connection, struct.pack("<IiQ", 16 + len(body), error, unique) + body)

    def _answer(self, opcode, node, body):
        if opcode == INIT:
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, 1 << 16, 0, 12, 9, 1 << 16, 1, 0, 0, 0)
        if opcode == LOOKUP:
            found = self._find(node, body.split(b"\0", 1)[0].decode())
            return struct.pack("<QQQQII", found, 0, 0, 0, 0, 0) + self._attributes(found) if found else NO_ENTRY
        if opcode == GETATTR:
            return struct.pack("<QII", 0, 0, 0) + self._attributes(node)
        if opcode in (OPEN, OPENDIR):
            return struct.pack("<QII", 0, DIRECT_IO, 0)
        if opcode == READ:
            text = self.texts[node - FIRST_FILE]
            _, offset, size = struct.unpack_from("<QQI", body)
            return None if text is HANGS else text[offset:offset + size]
        if opcode == STATFS:
            return bytes(80)
        return b"" if opcode in (RELEASE, READDIR, 29) else NOT_SUPPORTED

    def _find(self, parent, name):
        if parent == ROOT and name == ".spillfs":
            return FOLDER
        if parent == FOLDER and name in self.names:
            return FIRST_FILE + self.names.index(name)
        return None

    def _attributes(self, node):
        is_folder = node in (ROOT, FOLDER)
        text = b"" if is_folder else self.texts[node - FIRST_FILE]
        size = 1 << 12 if text is HANGS else len(text)
        mode = stat.S_IFDIR | 0o755 if is_folder else stat.S_IFREG | 0o444
        return struct.pack("<QQQQQQIIIIIIIIII", node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, os.getuid(),
                           os.getgid(), 0, 512, 0)
