"""The units of deploy/systemd: checked by systemd's own tools, their command run with sockets as systemd passes them."""
import contextlib
import configparser
import pathlib
import shlex
import shutil
import socket
import subprocess

import pytest
from balancers import DEPLOY, LARGE, SMALL, check_nothing_failed, prune_request, wait_for_more, wait_until
from bodies import PRUNE, TINY, TINY_KEPT
from load import Load
from server import BINARY, ROOT, Server, crop, environment
from wire import Connection, request

UNITS = DEPLOY / "systemd"
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


def unit(name):
    """-> the sections of a unit file; of a key that stands there twice, the last value."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",))
    parser.optionxform = str
    parser.read(UNITS / name)
    return parser


def service_arguments():
    """-> what ExecStart gives to `crop serve`, with the repository's file in the place of the installed one."""
    words = shlex.split(unit("crop.service")["Service"]["ExecStart"])
    assert words[:2] == ["/usr/local/bin/crop", "serve"]
    return [str(ROOT / "config" / "production.yaml") if word == "/etc/crop/production.yaml" else word for word in words[2:]]


@needs_systemd
def test_the_service_is_exposed_little():
    checked = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", UNITS / "crop.service"],
        capture_output=True, text=True, timeout=60)
    line = [line for line in checked.stdout.splitlines() if "Overall exposure" in line]
    print(*line, flush=True)
    assert checked.returncode == 0 and line, checked.stdout + checked.stderr


@needs_systemd
def test_systemd_accepts_the_units(folder):
    """With the program at a place where it is: that it is executable belongs to what is verified."""
    for name in ("crop.service", "crop.socket"):
        (folder / name).write_text((UNITS / name).read_text().replace("/usr/local/bin/crop", str(pathlib.Path(BINARY).resolve())))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", folder / "crop.service", folder / "crop.socket"],
        capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0 and "crop.s" not in checked.stderr, checked.stderr


def test_a_restart_under_load_loses_nothing(folder):
    """Both sockets of crop.socket, TCP and Unix-domain, held while one server after another gets SIGTERM."""
    addresses = [line.split("=")[1] for line in (UNITS / "crop.socket").read_text().splitlines() if line.startswith("ListenStream")]
    assert addresses == ["8080", "/run/crop/crop.sock"]
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket(family)) for family in (socket.AF_INET, socket.AF_UNIX)]
        held[0].bind(("127.0.0.1", 0))
        held[1].bind(str(folder / "crop.sock"))
        backlog = int(unit("crop.socket")["Socket"]["Backlog"])
        for one in held:
            one.listen(backlog)
        targets = [held[0].getsockname()[1], str(folder / "crop.sock")]
        server = Server(*service_arguments(), inherited=held)
        with Load(targets[0], prune_request(SMALL), 4) as small, Load(targets[1], prune_request(LARGE), 2) as large:
            for _ in range(3):
                wait_for_more([small, large])
                assert server.stop(seconds=40) == 0
                server = Server(*service_arguments(), inherited=held)
            wait_for_more([small, large])
        assert server.stop() == 0

        class Sockets:
            name = "systemd's sockets"
        check_nothing_failed(Sockets, "3 restarts", [small, large])


def test_the_unit_is_ready_when_the_program_says_so_and_watched_as_long_as_it_says_it_lives(folder):
    """With a socket in the place of systemd's, as the unit's Type and WatchdogSec have systemd set the environment."""
    service = unit("crop.service")["Service"]
    assert service["Type"] == "notify" and int(service["WatchdogSec"]) > 0
    with contextlib.ExitStack() as stack:
        manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        manager.bind(str(folder / "notify"))
        manager.settimeout(60)
        held = stack.enter_context(socket.socket())
        held.bind(("127.0.0.1", 0))
        held.listen()
        microseconds = int(service["WatchdogSec"]) * 1_000_000
        server = Server(*service_arguments(), inherited=[held],
                        env={"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": str(microseconds)})
        said = [manager.recv(4096).decode() for _ in range(2)]
        assert said[0].startswith("READY=1\nSTATUS=listening on ") and said[1] == "WATCHDOG=1"
        assert server.stop(seconds=40) == 0
        while said[-1] == "WATCHDOG=1":
            said.append(manager.recv(4096).decode())
        assert said[-1].startswith("STOPPING=1")


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd-socket-activate is not installed")
def test_the_sockets_of_systemds_own_activation_are_taken(folder):
    """systemd-socket-activate listens, and runs the program when the first client connects."""
    path = folder / "crop.sock"
    started = subprocess.Popen(
        ["systemd-socket-activate", "-l", path, BINARY, "serve", *service_arguments()], env=environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(path.is_socket, "systemd-socket-activate listens")
        with Connection(path, timeout=60) as connection:
            # Not /readyz, which may still say "starting" to the client that caused the start.
            assert connection.exchange(request("POST", PRUNE, body=TINY)).json["kept_indices"] == TINY_KEPT
        started.terminate()
        assert started.wait(timeout=40) == 0
        assert path.is_socket(), "the file belongs to systemd"
    finally:
        started.kill()


def test_time_to_stop_and_statuses_that_forbid_a_restart_agree_with_the_program(folder):
    service = unit("crop.service")["Service"]
    lines = crop("serve", "--print-config", *service_arguments()).stdout.split("\n")
    values = {line.split()[0]: line.split()[1] for line in lines if len(line.split()) > 1}
    seconds = [int(values[name].removesuffix("s")) for name in ("drain-delay", "shutdown-timeout")]
    assert int(service["TimeoutStopSec"]) > sum(seconds)
    assert int(service["LimitNOFILE"]) >= int(values["max-connections"]) + 64
    forbidden = set(map(int, service["RestartPreventExitStatus"].split()))
    (folder / "bad.yaml").write_text("no-such-setting: 1\n")
    for flags in (["--no-such-flag"], ["--config", folder / "bad.yaml"], ["--listen", f"unix:{folder}/none/crop.sock"]):
        assert crop("serve", *flags).returncode in forbidden, flags
