"""Runs an image of buildah's storage as an engine would, as far as this program can tell the difference: its file system
read-only, its user, a network, processes and mounts of its own, no capability, and process 1. Needs root on Linux, no engine."""
import contextlib
import ctypes
import json
import os
import pathlib
import signal
import subprocess

from server import ROOT
from wire import Connection

CLONE_NEWNET = 0x40000000
# The image's root is mounted read-only over itself; /dev has what the image's programs may open. The host's programs prepare all
# of it, since the image may have not even a shell.
PREPARE = """
ip link set lo up
mkdir -p "$1/proc" "$1/dev"
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"
mount -t proc proc "$1/proc"
mount -t tmpfs -o mode=755 tmpfs "$1/dev"
for name in null zero urandom; do touch "$1/dev/$name"; mount --bind "/dev/$name" "$1/dev/$name"; done
shift
exec setpriv --no-new-privs "$@"
"""


def buildah(*arguments, folder):
    words = [ROOT / "tools" / "image-bases.sh", folder, "run", "buildah", *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def size(root):
    """-> bytes of the files of a file system, each counted once."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            about = os.lstat(os.path.join(folder, name))
            found[about.st_ino] = about.st_size
    return sum(found.values())


class Image:
    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.docker = json.loads(buildah("inspect", "--type", "image", name, folder=folder))["Docker"]
        self.config = self.docker["config"]

    @contextlib.contextmanager
    def files(self):
        """-> where its files lie."""
        container = buildah("from", "--pull=never", self.name, folder=self.folder)
        try:
            yield pathlib.Path(buildah("mount", container, folder=self.folder))
        finally:
            buildah("rm", container, folder=self.folder)


class Container:
    """What the image runs, in `root`; `with Container(image, root) as running:` kills it at the end."""

    def __init__(self, image, root):
        self.image, self.root = image, root
        self.user, self.group = image.config["User"].split(":")
        # The PATH that engines set where an image has none.
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                            **dict(one.split("=", 1) for one in image.config["Env"])}
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-ec", PREPARE, "sh", root,
             *self.inside("/usr/sbin/chroot", f"--userspec={self.user}:{self.group}", "--groups=", root),
             *image.config["Entrypoint"], *image.config["Cmd"]],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.first = []
        # Until it listens; the rest of the log is read at the end.
        for line in self.process.stderr:
            self.first.append(line)
            if '"message":"listening"' in line:
                break
        assert self.process.poll() is None and self.first and "listening" in self.first[-1], "".join(self.first)
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.pid = int(children[0])

    def inside(self, *words):
        """-> a command with the image's environment alone; what `words` start is found by its PATH."""
        return ["env", "-i", *(f"{name}={value}" for name, value in self.environment.items()), *words]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Becoming another user, the program lost the signal that it gets when unshare ends.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.process.kill()
        self.process.communicate()

    def status(self):
        return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines())

    def connect(self, port=8080):
        """-> a connection from within the container's network. The thread returns to its own right away."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as own, open(f"/proc/{self.pid}/ns/net") as there:
            assert libc.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            try:
                return Connection(port)
            finally:
                assert libc.setns(own.fileno(), CLONE_NEWNET) == 0

    def run(self, words):
        """-> what a program of the image says, run beside the first one as an engine runs a health check."""
        command = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--ipc", "--uts",
                   *self.inside("/usr/sbin/chroot", f"--userspec={self.user}:{self.group}", "--groups=", self.root), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def stop(self):
        """Sends the image's stop signal."""
        os.kill(self.pid, getattr(signal, self.image.config["StopSignal"]))

    def kill_thread(self, name, number):
        """Sends a signal to one of the threads of that name."""
        threads = pathlib.Path(f"/proc/{self.pid}/task").iterdir()
        thread = next(int(one.name) for one in threads if (one / "comm").read_text().strip() == name)
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.tgkill(self.pid, thread, number) == 0, os.strerror(ctypes.get_errno())

    def wait(self, seconds=60):
        """-> its exit status, and the rest of its log."""
        said = self.process.communicate(timeout=seconds)[1]
        return self.process.returncode, said

