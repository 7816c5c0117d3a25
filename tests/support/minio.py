# SPDX-License-Identifier: Apache-2.0
"""A MinIO server and a fault proxy before it, for a test: on free ports, in a private directory, gone
afterwards."""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from support.mounted import free_port, skip, wait_until

BUILD = pathlib.Path(os.environ.get("SPILLFS_BUILD", "build"))
ACCESS_KEY = "spillfs-test-access"
SECRET_KEY = "spillfs-test-secret-8Yq1"
REGION = "eu-test-1"


def need_minio():
    if not (BUILD / "bin/minio").exists():
        skip("no MinIO; run 'scripts/minio'")


def end(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Minio:
    """One server over one directory; `certificates` makes it speak TLS."""

    def __init__(self, root, certificates=None):
        self.root = pathlib.Path(root)
        self.port = free_port()
        self.scheme = "https" if certificates else "http"
        self.endpoint = f"{self.scheme}://127.0.0.1:{self.port}"
        self.certificates = certificates or self.root / "no-certificates"
        self.log_path = self.root / f"minio-{self.scheme}.log"
        self.process = None

    def start(self):
        data = self.root / f"data-{self.scheme}"
        data.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "HOME": str(self.root), "MINIO_ROOT_USER": ACCESS_KEY,
                       "MINIO_ROOT_PASSWORD": SECRET_KEY, "MINIO_SITE_REGION": REGION,
                       "MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "MINIO_DOMAIN": "localhost",
                       "MINIO_CI_CD": "1"}  # a data directory on the root disk is all right
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [BUILD / "bin/minio", "server", data, "--address", f"127.0.0.1:{self.port}",
                 "--certs-dir", self.certificates],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: self.answers() or self.process.poll() is not None, 60, "MinIO answers")
        if self.process.poll() is not None:
            raise AssertionError(self.log_path.read_text(errors="replace"))
        return self

    def answers(self):
        if self.scheme == "https":
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return True
            return False
        try:
            urllib.request.urlopen(self.endpoint + "/minio/health/ready", timeout=5).close()
            return True
        except (OSError, urllib.error.URLError):
            return False

    def stop(self):
        end(self.process)


def make_certificate(directory):
    directory.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=spillfs",
                    "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                    "-keyout", directory / "private.key", "-out", directory / "public.crt"],
                   check=True, capture_output=True)
    return directory


@contextlib.contextmanager
def proxy_before(port):
    """The fault proxy's endpoint."""
    script = pathlib.Path(__file__).with_name("fault_proxy.py")
    with subprocess.Popen([sys.executable, script, str(port)], stdout=subprocess.PIPE,
                          text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            end(process)


@contextlib.contextmanager
def servers():
    """Everything, as the environment that the C++ tests read."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="spillfs-s3-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        plain = Minio(root).start()
        stack.callback(plain.stop)
        certificates = make_certificate(root / "certificates")
        secure = Minio(root, certificates).start()
        stack.callback(secure.stop)
        proxy = stack.enter_context(proxy_before(plain.port))
        try:
            yield {"SPILLFS_TEST_S3_ENDPOINT": plain.endpoint, "SPILLFS_TEST_S3_PROXY": proxy,
                   "SPILLFS_TEST_S3_TLS_ENDPOINT": secure.endpoint,
                   "SPILLFS_TEST_S3_CA_FILE": str(certificates / "public.crt"),
                   "SPILLFS_TEST_S3_ACCESS_KEY": ACCESS_KEY,
                   "SPILLFS_TEST_S3_SECRET_KEY": SECRET_KEY, "SPILLFS_TEST_S3_REGION": REGION,
                   "NO_PROXY": "127.0.0.1,localhost"}
        except Exception:
            print(plain.log_path.read_text(errors="replace"), file=sys.stderr)
            raise
