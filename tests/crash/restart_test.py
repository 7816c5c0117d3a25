# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of the serving process under load, again and again: no client sees an error, a file with other
bytes, a name too many or too few. SPILLFS_KILLS says how often."""
import os
import random
import sys
import time

sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                os.path.dirname(os.path.abspath(__file__))]
import restart_load as load
from support import mounted as m

m.need_fuse()
KILLS = int(os.environ.get("SPILLFS_KILLS", "12"))
m.limit_time(120 + 10 * KILLS)


def kill_again_and_again(store, clients):
    chance = random.Random(3)
    for number in range(KILLS):
        time.sleep(0.7 + chance.random())
        store.kill_worker()
        load.check(clients, f"kill {number + 1}: ")


def main():
    with m.mounted("fuse_limit=1MiB,segment_size=8MiB") as store:
        if not store.goes_on():
            m.skip("this kernel can't send requests again")
        folder = str(store.path)
        clients = [load.Files(folder, 1), load.Files(folder, 2), load.Files(folder, 3),
                   load.Names(folder, 4), load.Mapped(folder, 5), load.Open(folder, 6)]
        with load.running(clients):
            kill_again_and_again(store, clients)
        for client in clients:
            assert client.steps > KILLS, f"{client.name} did nothing"
            print(f"{client.name}: {client.steps} steps, the longest {client.longest:.2f} s")
        assert store.status()["restarts"] == KILLS
    print(f"{KILLS} kills")


main()
