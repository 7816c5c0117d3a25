# SPDX-License-Identifier: Apache-2.0
"""What test cases on mounts have in common."""
import contextlib
import ctypes
import os
import unittest

from support import mounted as m


@contextlib.contextmanager
def opened(path, flags, mode=0o600):
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def call_myself(name):
    """What this process is called from now on, for those that look runtimes up by it."""
    ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)


class OnStores(unittest.TestCase):
    """Mounts stores by itself."""

    def mounted(self, options, directory=None):
        store = m.Mounted(options, directory)
        self.addCleanup(store.close)
        return store.mount()

    def ended_well(self, store):
        store.umount()
        store.check()
        store.check_log()
