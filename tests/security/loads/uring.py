# SPDX-License-Identifier: Apache-2.0
"""io_uring, as far as a load needs it: a ring that is filled, and waited for until all is done."""
import ctypes
import mmap
import os
import struct

from support.system_calls import libc

SETUP, ENTER = 425, 426
GETEVENTS = 1
ENTRIES_AT = 0x10000000
ENTRY = struct.Struct("<BBHiQQIIQ16x8x")  # opcode, flags, priority, fd, offset, address, length…
assert ENTRY.size == 64


class Ring:
    """OSError where the machine does not allow it."""
    FSYNC, READ, WRITE = 3, 22, 23

    def __init__(self, depth):
        parameters = ctypes.create_string_buffer(120)
        self.fd = libc.syscall(SETUP, depth, parameters)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "io_uring_setup")
        self.depth, completions = struct.unpack_from("II", parameters)
        self.submitted = struct.unpack_from("6I", parameters, 40)  # head, tail, mask, …, array
        array, = struct.unpack_from("I", parameters, 64)
        self.completed = struct.unpack_from("6I", parameters, 80)  # …, overflow, entries
        size = max(array + 4 * self.depth, self.completed[5] + 16 * completions)
        self.ring = mmap.mmap(self.fd, size)
        self.entries = mmap.mmap(self.fd, ENTRY.size * self.depth, offset=ENTRIES_AT)
        for number in range(self.depth):
            struct.pack_into("I", self.ring, array + 4 * number, number)

    def run(self, requests):
        """Submits (kind, fd, offset, address, length) of each, at most as many as it is deep; the
        results in the order in which they were done."""
        tail, = struct.unpack_from("I", self.ring, self.submitted[1])
        for number, (kind, fd, offset, address, length) in enumerate(requests):
            ENTRY.pack_into(self.entries, ENTRY.size * ((tail + number) % self.depth), kind, 0, 0,
                            fd, offset, address, length, 0, number)
        struct.pack_into("I", self.ring, self.submitted[1], tail + len(requests) & 0xFFFFFFFF)
        left, results = len(requests), []
        to_submit = len(requests)
        while left > 0:
            got = libc.syscall(ENTER, self.fd, to_submit, left, GETEVENTS, None, 0)
            if got < 0:
                raise OSError(ctypes.get_errno(), "io_uring_enter")
            to_submit -= got
            results += self._reap()
            left = len(requests) - len(results)
        return results

    def _reap(self):
        head, = struct.unpack_from("I", self.ring, self.completed[0])
        tail, = struct.unpack_from("I", self.ring, self.completed[1])
        mask, = struct.unpack_from("I", self.ring, self.completed[2])
        results = []
        while head != tail:
            at = self.completed[5] + 16 * (head & mask)
            results.append(struct.unpack_from("i", self.ring, at + 8)[0])
            head = head + 1 & 0xFFFFFFFF
        struct.pack_into("I", self.ring, self.completed[0], head)
        return results

    def close(self):
        os.close(self.fd)
