# SPDX-License-Identifier: Apache-2.0
"""What the command line spills Ray's own class restores, and the other way round, byte for byte: in
a directory and on a mount, or, as 'interop_test.py s3', in a MinIO server.
"""
import base64
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))
from support import mounted as m

m.run_with_ray()
m.limit_time(140)

from ray._private.external_storage import FileSystemStorage, parse_url_with_offset
from support.ray_worker import new_ref, with_worker

SIZES = (0, 1, 23, 4095, 4096, 100_000, (1 << 20) - 1, 1 << 20, (9 << 20) + 1, 0)
OWNER, METADATA = "an owner's address", "PYTHON"


class Base:
    """A place that both reach: ours by `config`, Ray's by `storage`. `exists` says whether there is
    a file for a url."""

    def __init__(self, config, storage, exists):
        self.config = json.dumps(config)
        self.storage = with_worker(storage)
        self.exists = exists
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-"))

    def run(self, verb, *arguments):
        done = subprocess.run([m.PROGRAM, verb, "--config", self.config, *map(str, arguments)],
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def spill(self, contents):
        """With our command line."""
        paths = [self.folder / str(n) for n in range(len(contents))]
        for path, content in zip(paths, contents):
            path.write_bytes(content)
        return self.run("spill", "--owner-address", OWNER, "--metadata", METADATA,
                        *paths).splitlines()

    def spill_with_ray(self, contents, owners, metadata):
        refs = [new_ref() for _ in contents]
        for ref, content, one in zip(refs, contents, metadata):
            self.storage.core_worker.objects[ref.binary()] = (memoryview(content), one, None)
        return [url.decode() for url in self.storage.spill_objects(refs, owners)]

    def restore_with_ray(self, urls):
        """[(data, metadata, owner)] and Ray's count of bytes."""
        refs = [new_ref() for _ in urls]
        total = self.storage.restore_spilled_objects(refs, [url.encode() for url in urls])
        return [self.storage.core_worker.restored[ref.binary()] for ref in refs], total


def batches():
    """Every size alone, and all in one file."""
    contents = [os.urandom(size) for size in SIZES]
    return [*([content] for content in contents), contents]


def test_ray_restores_what_we_spill(base):
    for contents in batches():
        urls = base.spill(contents)
        assert base.exists(urls[0])
        for order in (urls, urls[::-1]):
            restored, total = base.restore_with_ray(order)
            expected = contents if order is urls else contents[::-1]
            assert restored == [(data, METADATA.encode(), OWNER.encode()) for data in expected]
            assert total == sum(map(len, contents))
        base.run("delete", *urls)
        assert not base.exists(urls[0])


def test_we_restore_what_ray_spills(base):
    for contents in batches():
        owners = [os.urandom(n * 40) for n in range(len(contents))]
        metadata = [os.urandom(n % 3 + 1) for n in range(len(contents))]
        urls = base.spill_with_ray(contents, owners, metadata)
        out = base.folder / "out"
        document = json.loads(base.run("restore", "--json", "-o", out, *urls))
        assert document["bytes"] == sum(map(len, contents))
        for n, item in enumerate(document["objects"]):
            assert (out / str(n)).read_bytes() == contents[n]
            assert item["length"] == len(contents[n])
            assert base64.b64decode(item["owner_address"]) == owners[n]
            assert base64.b64decode(item["metadata"]) == metadata[n]
        base.run("delete", *urls)
        base.run("delete", *urls)
        assert not base.exists(urls[0])


def test_both_write_the_same_records(base):
    contents = [os.urandom(size) for size in SIZES]
    count = len(contents)
    ours = base.spill(contents)
    theirs = base.spill_with_ray(contents, [OWNER.encode()] * count, [METADATA.encode()] * count)
    for our, their in zip(map(parse_url_with_offset, ours), map(parse_url_with_offset, theirs)):
        assert (our.offset, our.size) == (their.offset, their.size)
    assert base.restore_with_ray(ours) == base.restore_with_ray(theirs)


def test_destroy(base):
    urls = base.spill([b"1"]) + base.spill([b"2", b"3"])
    base.run("destroy")
    assert not any(map(base.exists, urls))


def check(base):
    with contextlib.ExitStack() as stack:
        stack.callback(subprocess.run, ["rm", "-rf", base.folder], check=True)
        test_ray_restores_what_we_spill(base)
        test_we_restore_what_ray_spills(base)
        test_both_write_the_same_records(base)
        test_destroy(base)
        base.storage.destroy_external_storage()


def file_exists(url):
    return os.path.exists(parse_url_with_offset(url).base_url)


def check_directory(path):
    check(Base({"type": "filesystem", "params": {"directory_path": path}},
               FileSystemStorage("node", path), file_exists))
    assert os.listdir(path) == []


def check_smart_open_directory(path):
    """Ray's reader takes any path, so its filesystem class reads what smart_open's type wrote."""
    check(Base({"type": "smart_open", "params": {"uri": path}},
               FileSystemStorage("node", path), file_exists))
    assert os.listdir(path) == []


def check_s3():
    """Both sides find the server in the environment, as AWS's own tools do."""
    from support import minio
    try:
        import boto3
        import smart_open  # noqa: F401
    except ImportError:
        m.skip("no boto3 and smart_open; run 'scripts/venv'")
    minio.need_minio()
    from ray._private.external_storage import ExternalStorageSmartOpenImpl
    with tempfile.TemporaryDirectory(prefix="spillfs-") as root:
        server = minio.Minio(root).start()
        try:
            os.environ.update(AWS_ENDPOINT_URL=server.endpoint, AWS_DEFAULT_REGION=minio.REGION,
                              AWS_ACCESS_KEY_ID=minio.ACCESS_KEY,
                              AWS_SECRET_ACCESS_KEY=minio.SECRET_KEY,
                              NO_PROXY="127.0.0.1,localhost")
            bucket = boto3.resource("s3").create_bucket(
                Bucket="spillfs-test",
                CreateBucketConfiguration={"LocationConstraint": minio.REGION})
            uri = f"s3://{bucket.name}/some/prefix"

            def exists(url):
                key = parse_url_with_offset(url).base_url.removeprefix(f"s3://{bucket.name}/")
                return any(found.key == key for found in bucket.objects.filter(Prefix=key))

            check(Base({"type": "smart_open", "params": {"uri": uri}},
                       ExternalStorageSmartOpenImpl("node", uri), exists))
        finally:
            server.stop()


if __name__ == "__main__":
    if sys.argv[1:] == ["s3"]:
        check_s3()
        print("interop_test: in S3 all passed")
        sys.exit()
    with tempfile.TemporaryDirectory(prefix="spillfs-") as plain:
        check_directory(plain)
        check_smart_open_directory(plain)
        print("interop_test: a plain directory passed", flush=True)
    m.need_fuse()
    with m.mounted() as store:
        check_directory(str(store.path))
        check_smart_open_directory(str(store.path))
    print("interop_test: all passed")
