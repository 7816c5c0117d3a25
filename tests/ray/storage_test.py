# SPDX-License-Identifier: Apache-2.0
"""Ray's own FileSystemStorage on the mount, and its reader on the record inside a fused segment."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import mounted as m

m.need_fuse()
m.run_with_ray()
m.limit_time(120)

from ray._private.external_storage import FileSystemStorage
from support.ray_worker import new_ref, with_worker

SIZES = (0, 1, 4095, 4096, 100_000, (1 << 20) + 1, 5 << 20)


def test_round_trip(path):
    """Every size alone and all in one file; deleted by url; destroyed."""
    storage = with_worker(FileSystemStorage("node", path))
    worker = storage.core_worker
    for sizes in [*([size] for size in SIZES), SIZES]:
        refs = [new_ref() for _ in sizes]
        for ref, size in zip(refs, sizes):
            worker.objects[ref.binary()] = (memoryview(os.urandom(size)), b"META", None)
        owners = [f"owner{n}".encode() for n in range(len(refs))]
        urls = storage.spill_objects(refs, owners)
        assert storage.restore_spilled_objects(refs, urls) == sum(sizes)
        for ref, owner in zip(refs, owners):
            data, metadata, owner_read = worker.restored[ref.binary()]
            assert data == worker.objects[ref.binary()][0]
            assert (metadata, owner_read) == (b"META", owner)
        storage.delete_spilled_objects(urls)
    storage.destroy_external_storage()
    assert os.listdir(path) == []


def test_stock_reader_reads_fused_record(path, backing):
    """user.spill.url of a small file names a record that Ray's class restores."""
    data = os.urandom(70_000)
    file = os.path.join(path, "small")
    with open(file, "wb") as out:
        os.setxattr(out.fileno(), "user.spill.owner_address", b"an owner")
        os.setxattr(out.fileno(), "user.spill.metadata", b"some metadata")
        out.write(data)
    url = os.getxattr(file, "user.spill.url")
    assert b".fused?offset=" in url, url
    storage = with_worker(FileSystemStorage("reader", backing))
    worker = storage.core_worker
    ref = new_ref()
    assert storage.restore_spilled_objects([ref], [url]) == len(data)
    assert worker.restored[ref.binary()] == (data, b"some metadata", b"an owner")
    os.unlink(file)


if __name__ == "__main__":
    with m.mounted() as store:
        test_round_trip(str(store.path))
        test_stock_reader_reads_fused_record(str(store.path), str(store.root))
    print("storage_test: all passed")
