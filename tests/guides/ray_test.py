# SPDX-License-Identifier: Apache-2.0
"""What docs/guides/ray.md prints, as it is printed: the program for one node, the commands for a
cluster, here of two nodes on one machine, and what Kubernetes does with the volume."""
import fcntl
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import cases, machine, mounted as m

m.need_fuse()
m.run_with_ray()
# `ray stop` ends every Ray that it sees, and waits until somebody has taken leave of each process;
# `ray start` wants its usual port.
machine.own_mounts(also=("--net", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c",
                         '"$@"; exit $?', "sh"))
m.limit_time(170)

import yaml

GUIDE = pathlib.Path(__file__).resolve().parent.parent.parent / "docs/guides/ray.md"
PROPAGATIONS = {"None": "private", "HostToContainer": "slave", "Bidirectional": "shared"}
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
ON_THE_OTHER_NODE = """
import ray
ray.init()
here = ray.get_runtime_context().get_node_id()
other = next(node["NodeID"] for node in ray.nodes() if node["NodeID"] != here)

@ray.remote(scheduling_strategy=ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
    other, soft=False))
def work():
    values = [bytes([n]) * 10_000_000 for n in range(20)]
    return [ray.get(reference) for reference in [ray.put(value) for value in values]] == values

print("done:", ray.get(work.remote()), "at", other)
"""


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    return [text for marked, text in found if marked == language]


def bring_loopback_up():
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


class Ray(cases.OnStores):
    @classmethod
    def setUpClass(cls):
        bring_loopback_up()

    def setUp(self):
        self.store = self.mounted("")
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="r", dir="/tmp"))
        programs = pathlib.Path(sys.executable).parent
        self.environment = {**os.environ, "RAY_TMPDIR": self.folder,
                            "PATH": f"{programs}:{os.environ['PATH']}",
                            "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": "100000000"}

    def run_there(self, *words):
        """To files, which what it starts may keep open."""
        with tempfile.TemporaryFile("w+") as output:
            code = subprocess.run([*words], env=self.environment, stdin=subprocess.DEVNULL,
                                  stdout=output, stderr=output, check=False, timeout=100).returncode
            output.seek(0)
            said = output.read()
        self.assertEqual(code, 0, said)
        return said

    def here(self, text):
        return text.replace("/mnt/spill", str(self.store.path))

    def spilled(self):
        return {path.name for path in self.store.path.glob("ray_spilled_objects_*")}

    def test_one_node(self):
        program, = blocks("python")
        said = self.run_there(sys.executable, "-c", self.here(program))
        self.assertGreater(int(re.search(r"spilled bytes: (\d+)", said)[1]), 250_000_000, said)
        self.assertIn("all are right: True", said)
        self.assertEqual(self.spilled(), set())
        self.ended_well(self.store)

    def test_a_cluster(self):
        commands = [re.split(" {3,}", line)[0] for line in blocks("")[0].splitlines()]
        self.assertEqual([command.split()[1] for command in commands], ["start", "start", "stop"])
        *start, stop = [self.here(command).replace("HEAD", "127.0.0.1") for command in commands]
        for command in start:
            self.run_there("sh", "-c", command)
        said = self.run_there(sys.executable, "-c", ON_THE_OTHER_NODE)
        other = re.search(r"done: True at (\w+)", said)[1]
        self.assertIn(f"ray_spilled_objects_{other}", self.spilled())
        self.run_there("sh", "-c", stop)
        self.assertIn(f"ray_spilled_objects_{other}", self.spilled(), "what `ray stop` leaves")
        m.wait_until(lambda: self.reap() and not self.spilled(), 20, "it is reaped")
        self.ended_well(self.store)

    def reap(self):
        return m.spillfs("reap", self.store.path, "--older-than", "0s").returncode == 0


class Kubernetes(unittest.TestCase):
    """The kubelet's part done by hand: the host's path bound to the container's, with propagation."""

    def setUp(self):
        self.node = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        cluster = yaml.safe_load(blocks("yaml")[0])["spec"]
        self.spills_to = cluster["headGroupSpec"]["rayStartParams"]["object-spilling-directory"]
        pod = cluster["headGroupSpec"]["template"]["spec"]
        self.assertEqual(cluster["workerGroupSpecs"][0]["template"]["spec"], pod)
        self.volume, = pod["volumes"]
        self.given, = pod["containers"][0]["volumeMounts"]

    def call(self, *words):
        done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def start_container(self, path):
        """Where its root is, and whose mounts are the container's."""
        root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        root.chmod(0o755)
        inside = root / self.given["mountPath"].lstrip("/")
        inside.mkdir()
        script = 'mount --rbind "$0" "$1" && echo started && read line'
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", PROPAGATIONS[self.given["mountPropagation"]], "sh",
             "-c", script, path, inside], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.assertEqual(process.stdout.readline(), "started\n")
        return process.pid, root

    def test_the_volume(self):
        self.assertEqual(self.volume["name"], self.given["name"])
        self.assertTrue(self.spills_to.startswith(self.given["mountPath"] + "/"))
        path = self.volume["hostPath"]["path"]
        command = re.search(r"`(spillfs mount [^`]+)`", GUIDE.read_text(encoding="utf-8"))[1]
        mount = command.replace(path, str(self.node)).split()[1:]
        mountpoint = pathlib.Path(mount[2])
        mountpoint.mkdir()
        self.node.chmod(0o755)
        self.call("mount", "--bind", self.node, self.node)
        self.addCleanup(self.call, "umount", self.node)
        self.call("mount", "--make-shared", self.node)
        container, root = self.start_container(self.node)
        file = root / self.spills_to.lstrip("/") / "file"
        user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        for number in ("1", "2"):  # the pod goes on when the mount is another one
            self.call(m.PROGRAM, *mount)
            self.call("nsenter", "--target", container, "--mount", *user, "sh", "-c",
                      'printf "$0" >> "$1"', number, file)
            self.assertEqual((mountpoint / "file").read_text(), "12"[:int(number)])
            self.call(m.PROGRAM, "umount", mountpoint)
            self.assertFalse(m.is_mounted(mountpoint))


if __name__ == "__main__":
    unittest.main(verbosity=2)
