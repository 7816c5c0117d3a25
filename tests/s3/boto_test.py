# SPDX-License-Identifier: Apache-2.0
"""boto3 and smart_open read what the C++ object store wrote, and the reverse."""
import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from support.minio import BUILD, need_minio, servers  # noqa: E402
from support.mounted import limit_time, skip  # noqa: E402

BUCKET = "spillfs-test"
# As in interop_test.cc.
OBJECTS = {"empty": 0, "small + größe/雪": 1000, "one part": 5 << 20, "parts": (12 << 20) + 7}


def pattern(size):
    return bytes((i * 31 + i // 251) & 255 for i in range(size))


def run_in_venv():
    python = pathlib.Path(BUILD).resolve() / "venv/bin/python"
    if subprocess.run([python, "-c", "import boto3, smart_open"], capture_output=True,
                      check=False).returncode != 0:
        skip("no boto3 and smart_open; run 'scripts/venv'")
    if pathlib.Path(sys.prefix) != python.parent.parent:
        os.execv(python, [str(python), *sys.argv])


class Interop(unittest.TestCase):
    environment = {}

    @classmethod
    def setUpClass(cls):
        import boto3
        setting = cls.environment
        cls.s3 = boto3.client("s3", endpoint_url=setting["SPILLFS_TEST_S3_ENDPOINT"],
                              region_name=setting["SPILLFS_TEST_S3_REGION"],
                              aws_access_key_id=setting["SPILLFS_TEST_S3_ACCESS_KEY"],
                              aws_secret_access_key=setting["SPILLFS_TEST_S3_SECRET_KEY"])
        cls.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={
            "LocationConstraint": setting["SPILLFS_TEST_S3_REGION"]})

    def run_cpp(self, name):
        done = subprocess.run([os.environ["S3_TESTS"], f"--gtest_filter=S3Interop.{name}"],
                              env={**os.environ, **self.environment, "SPILLFS_TEST_S3_INTEROP": "1"},
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("1 test from 1 test suite ran", done.stdout)
        self.assertNotIn("SKIPPED", done.stdout)

    def tearDown(self):
        listed = self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        for found in listed:
            self.s3.delete_object(Bucket=BUCKET, Key=found["Key"])

    def test_python_reads_what_cpp_wrote(self):
        import smart_open
        self.run_cpp("WritesForOthers")
        listed = {found["Key"]: found
                  for found in self.s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
        self.assertEqual({key.removeprefix("interop/"): found["Size"]
                          for key, found in listed.items()}, OBJECTS)
        for name, size in OBJECTS.items():
            key = "interop/" + name
            got = self.s3.get_object(Bucket=BUCKET, Key=key)
            self.assertEqual(got["Body"].read(), pattern(size), name)
            self.assertEqual(got["ContentLength"], size)
            self.assertEqual(got["ETag"], listed[key]["ETag"])
            with smart_open.open(f"s3://{BUCKET}/{key}", "rb",
                                 transport_params={"client": self.s3}) as file:
                file.seek(size // 2)
                self.assertEqual(file.read(), pattern(size)[size // 2:], name)
        # The ETag says in how many parts it came.
        self.assertTrue(re.fullmatch(r'"[0-9a-f]{32}-3"', listed["interop/parts"]["ETag"]))
        self.assertTrue(re.fullmatch(r'"[0-9a-f]{32}"', listed["interop/one part"]["ETag"]))
        self.assertNotIn("Uploads", self.s3.list_multipart_uploads(Bucket=BUCKET))

    def test_cpp_reads_what_boto3_wrote(self):
        for name, size in OBJECTS.items():
            self.s3.put_object(Bucket=BUCKET, Key="interop/" + name, Body=pattern(size))
        self.run_cpp("ReadsOthers")

    def test_cpp_reads_what_smart_open_wrote(self):
        import smart_open
        for name, size in OBJECTS.items():
            with smart_open.open(f"s3://{BUCKET}/interop/{name}", "wb",
                                 transport_params={"client": self.s3}) as file:
                file.write(pattern(size))
        self.run_cpp("ReadsOthers")


if __name__ == "__main__":
    need_minio()
    run_in_venv()
    limit_time(140)
    with servers() as Interop.environment:
        program = unittest.main(verbosity=2, exit=False)
    sys.exit(not program.result.wasSuccessful())
