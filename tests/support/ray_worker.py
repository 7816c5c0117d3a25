# SPDX-License-Identifier: Apache-2.0
"""For tests of Ray's storage classes without a Ray cluster; needs the ray package."""
import os

from ray._raylet import ObjectRef


class CoreWorker:
    """Stands in for the process that owns Ray's object store."""

    def __init__(self):
        self.objects, self.restored = {}, {}

    def get_if_local(self, refs):
        return [self.objects[ref.binary()] for ref in refs]

    def put_file_like_object(self, metadata, size, file, ref, owner):
        data = file.read(size)
        assert len(data) == size, f"{len(data)} of {size} bytes"
        self.restored[ref.binary()] = (data, metadata, owner)


def new_ref():
    return ObjectRef(os.urandom(28))


def with_worker(storage):
    """The storage, with a CoreWorker of its own."""
    storage._core_worker = CoreWorker()
    return storage
