"""What surrounds a local cluster, without starting one."""

import os
import subprocess
import sys

from ray_jobs.cluster import local_cluster


def test_only_folders_of_killed_clusters_are_removed(tmp_path):
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    names = [f"quintet-ray-{pid}-abc" for pid in (done.pid, os.getpid())] + ["quintet-ray-other", "something"]
    for name in names:
        (tmp_path / name).mkdir()
    local_cluster._remove_stale_folders(str(tmp_path))
    assert sorted(folder.name for folder in tmp_path.iterdir()) == sorted(names[1:])


def test_free_ports_are_different():
    assert len(set(local_cluster.free_ports(5))) == 5
