# SPDX-License-Identifier: Apache-2.0
"""Runs the C++ tests of the S3 object store against a real MinIO, with and without faults between,
and the conformance suites of the object stores and the external storages.

With arguments, such as --gtest_filter=S3Faults.*, only the former.
"""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from support.minio import need_minio, servers  # noqa: E402
from support.mounted import limit_time  # noqa: E402


def main():
    need_minio()
    limit_time(280)
    with servers() as environment:
        environment = {**os.environ, **environment}
        done = [subprocess.run(command, env=environment, check=False).returncode
                for command in commands()]
    return max(map(abs, done))


def commands():
    own = [os.environ["S3_TESTS"], *sys.argv[1:]]
    if sys.argv[1:]:
        return [own]
    # Those that run on directories too, and look for a service in the environment.
    suites = [os.environ["CONFORMANCE"], "--gtest_filter=*s3*"]
    listed = subprocess.run([*suites, "--gtest_list_tests"], capture_output=True, text=True,
                            check=True).stdout
    assert "/s3" in listed and "smart_open_s3" in listed, listed
    return [own, suites]


if __name__ == "__main__":
    sys.exit(main())
