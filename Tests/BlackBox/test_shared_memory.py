"""Bodies that lie in memory which the client shares: passed over a Unix socket as a file descriptor."""
import contextlib
import fcntl
import mmap
import os
import pathlib
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import uuid

import numpy as np
import pytest
from bodies import PRUNE, TINY, TINY_KEPT, features, npy, numbers, safetensors_bytes
from server import Server, target
from wire import Connection, request

SEALS = 1033  # F_ADD_SEALS
SHRINK, GROW, WRITE = 2, 4, 8


@pytest.fixture(scope="module")
def unix():
    """A server behind a socket file, for tests that leave it as it was."""
    with tempfile.TemporaryDirectory(prefix="crop") as folder, Server("--listen", f"unix:{folder}/crop.sock") as server:
        yield server


@contextlib.contextmanager
def memory(data, offset=0, size=None):
    """A descriptor of memory that holds `data` from `offset` on."""
    descriptor = os.memfd_create("crop", os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size or offset + len(data))
        os.pwrite(descriptor, data, offset)
        yield descriptor
    finally:
        os.close(descriptor)


def head(target, value, *fields, method="POST"):
    return request(method, target, [("Crop-Shared-Memory", value), *fields], body=b"")


def share(connection, data, descriptors):
    socket.send_fds(connection.socket, [data], descriptors)


def exchange(connection, target, descriptor, value, *fields):
    share(connection, head(target, value, *fields), [descriptor])
    return connection.read_answer()


def kept(answer):
    assert answer.status == 200, answer.body
    return answer.json["kept_indices"]


BODIES = {
    "json": (PRUNE, TINY),
    "row": ("/prune?method=topk&keep_tokens=64", npy(numbers(576, dtype=np.float16))),
    "heads": ("/prune?method=topk&keep_tokens=64", npy(numbers(16, 576))),
    "features": ("/prune?method=divprune&keep_tokens=64", npy(features(300, 200, dtype=np.float16))),
    "uniform": ("/prune?method=uniform&keep_tokens=64&tensor=image_features", npy(features(576, 1024, dtype=np.float16))),
    "safetensors": ("/prune", safetensors_bytes(
        {"image_features": features(300, 64)}, {"method": "divprune", "keep_tokens": 30})),
    "bulk": ("/prune?method=uniform&keep_tokens=64&tensor=image_features", npy(features(2400, 1024))),
}


@pytest.mark.parametrize("name", BODIES)
def test_shared_memory_answers_as_the_same_bytes_on_the_connection_do(unix, name):
    target, body = BODIES[name]
    with Connection(unix.target) as connection, memory(body, offset=12_345, size=len(body) + 50_000) as descriptor:
        wanted = kept(connection.exchange(request("POST", target, body=body)))
        for _ in range(3):
            assert kept(exchange(connection, target, descriptor, f"length={len(body)}, offset=12345")) == wanted


def test_answers_follow_the_memory_as_it_is_written_anew(unix):
    with Connection(unix.target) as connection, memory(bytes(1 << 20)) as descriptor, mmap.mmap(descriptor, 1 << 20) as view:
        for seed in range(6):
            for method in ("topk", "uniform"):
                body = npy(numbers(16, 500 + seed, seed=seed))
                view[:len(body)] = body
                target = f"/prune?method={method}&keep_tokens=9"
                wanted = kept(connection.exchange(request("POST", target, body=body)))
                assert kept(exchange(connection, target, descriptor, f"length={len(body)}")) == wanted


@pytest.mark.parametrize("kind", ["sealed", "read only", "shm_open"])
def test_every_kind_of_memory_is_read(unix, kind):
    with contextlib.ExitStack() as stack:
        if kind == "shm_open":
            path = pathlib.Path("/dev/shm") / f"crop-test-{uuid.uuid4()}"
            path.write_bytes(TINY)
            stack.callback(path.unlink)
            descriptor = os.open(path, os.O_RDONLY)
            stack.callback(os.close, descriptor)
        else:
            descriptor = stack.enter_context(memory(TINY))
            if kind == "sealed":
                fcntl.fcntl(descriptor, SEALS, SHRINK | GROW | WRITE)
            else:
                descriptor = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
                stack.callback(os.close, descriptor)
        with Connection(unix.target) as connection:
            assert kept(exchange(connection, PRUNE, descriptor, f"length={len(TINY)}")) == TINY_KEPT


def test_requests_sent_ahead_each_take_their_own_memory(unix):
    other = b'{"attention":[0.9,0.8,0.1,0.1]}'
    with Connection(unix.target) as connection, memory(TINY) as one, memory(other) as two:
        connection.send(request())
        share(connection, head(PRUNE, f"length={len(TINY)}"), [one])
        share(connection, head(PRUNE, f"length={len(other)}"), [two])
        connection.send(request("POST", PRUNE, body=TINY))
        assert connection.read_answer().status == 200
        assert [kept(connection.read_answer()) for _ in range(3)] == [TINY_KEPT, [0, 1], TINY_KEPT]


def test_the_descriptor_may_come_with_any_part_of_the_head(unix):
    data = head(PRUNE, f"length={len(TINY)}")
    with Connection(unix.target) as connection, memory(TINY) as descriptor:
        for place in (1, 20, len(data) - 2):
            connection.send(data[:place - 1])
            share(connection, data[place - 1:place], [descriptor])
            connection.send(data[place:])
            assert kept(connection.read_answer()) == TINY_KEPT


# What is refused, and by which cause.


def refused(answer, kind, *words, status=400):
    assert (answer.status, answer.json["type"]) == (status, f"/problems/{kind}"), answer.body
    for word in words:
        assert word in answer.json["detail"], answer.body


@pytest.mark.parametrize("value, word", [
    ("length=32", "31 bytes"), ("length=31, offset=1", "exceed the"), ("length=1, offset=31", "exceed the"),
    ("length=31, offset=999999999999999", "exceed the"), ("length=0, offset=32", "exceed the"),
])
def test_what_lies_outside_of_the_memory_is_refused(unix, value, word):
    assert len(TINY) == 31
    with Connection(unix.target) as connection, memory(TINY) as descriptor:
        refused(exchange(connection, PRUNE, descriptor, value), "shared-memory", word)
        assert kept(exchange(connection, PRUNE, descriptor, "length=31")) == TINY_KEPT


@pytest.mark.parametrize("value", [
    "", "31", "length", "length=", "length=-1", "length=1.5", "length=31;a=1", "length=1000000000000000",
    "length=99999999999999999999999", "length=31, length=31", "offset=0", "length=31, size=1", "length=31,",
    'name="", length=31', 'name=a, length=31', 'name="a\\"b", length=31', 'name="a, length=31', "LENGTH=31",
])
def test_a_malformed_field_is_refused(unix, value):
    with Connection(unix.target) as connection, memory(TINY) as descriptor:
        refused(exchange(connection, PRUNE, descriptor, value), "bad-framing", "length=1024")


def test_a_body_in_two_places_is_refused(unix):
    for data in (
        request("POST", PRUNE, [("Crop-Shared-Memory", "length=31")], body=TINY),
        request("POST", PRUNE, [("Crop-Shared-Memory", "length=31"), ("Transfer-Encoding", "chunked")]) + b"0\r\n\r\n",
        request("POST", PRUNE, [("Crop-Shared-Memory", "length=31")] * 2, body=b""),
    ):
        with Connection(unix.target) as connection, memory(TINY) as descriptor:
            share(connection, data, [descriptor])
            answer = connection.read_answer()
            refused(answer, "bad-framing")
            assert answer.closes


def descriptors_of_other_things(stack, folder):
    """-> name and descriptor of what is no memory, or not to be read."""
    path = folder / "disk"
    path.write_bytes(TINY)
    pipe, pair = os.pipe(), socket.socketpair()
    hidden = stack.enter_context(memory(TINY))
    found = {
        "file on disk": os.open(path, os.O_RDONLY), "folder": os.open(folder, os.O_RDONLY), "pipe": pipe[0],
        "device": os.open("/dev/zero", os.O_RDONLY), "socket": os.dup(pair[0].fileno()),
        "proc": os.open("/proc/self/maps", os.O_RDONLY),
        "write only": os.open(f"/proc/self/fd/{hidden}", os.O_WRONLY),
        "path": os.open(f"/proc/self/fd/{hidden}", os.O_PATH),
    }
    for descriptor in [*found.values(), pipe[1]]:
        stack.callback(os.close, descriptor)
    for one in pair:
        stack.callback(one.close)
    return found


def test_a_descriptor_of_anything_but_readable_memory_is_refused(unix):
    disk = pathlib.Path(__file__).parent
    with contextlib.ExitStack() as stack, Connection(unix.target) as connection:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(dir=disk)))
        for name, descriptor in descriptors_of_other_things(stack, folder).items():
            answer = exchange(connection, PRUNE, descriptor, f"length={len(TINY)}")
            assert answer.status == 400 and "memfd_create" in answer.json["detail"], (name, answer.body)
        assert connection.is_alive()


def test_a_request_without_its_descriptor_is_refused(unix):
    with Connection(unix.target) as connection:
        refused(connection.exchange(head(PRUNE, "length=31")), "shared-memory", "SCM_RIGHTS")
        assert connection.is_alive()


def test_a_request_over_tcp_cannot_pass_a_descriptor(server):
    with Connection(server.port) as connection:
        refused(connection.exchange(head(PRUNE, "length=31")), "shared-memory", "Unix socket")
        assert connection.is_alive()


def test_names_are_refused_unless_they_are_allowed(unix):
    with Connection(unix.target) as connection:
        refused(connection.exchange(head(PRUNE, 'length=31, name="a"')), "shared-memory", "--shared-memory named")


def test_coded_and_too_large_bodies_are_refused(unix):
    with Connection(unix.target) as connection, memory(TINY, size=(64 << 20) + 1) as descriptor:
        answer = exchange(connection, PRUNE, descriptor, "length=31", ("Content-Encoding", "gzip"))
        refused(answer, "unsupported-format", status=415)
        refused(exchange(connection, PRUNE, descriptor, f"length={(64 << 20) + 1}"), "body-too-large", status=413)
        refused(exchange(connection, PRUNE, descriptor, "length=0"), "body-required")
        assert connection.is_alive()


def test_shared_memory_can_be_switched_off(socket_path):
    with Server("--listen", f"unix:{socket_path}", "--shared-memory", "off") as server:
        with Connection(server.target) as connection, memory(TINY) as descriptor:
            assert connection.is_alive()
            # Not before: some descriptors of the start may be open still.
            before = server.descriptor_count()
            answer = exchange(connection, PRUNE, descriptor, "length=31")
            refused(answer, "shared-memory", "--shared-memory descriptors")
            assert server.descriptor_count() == before
            assert connection.is_alive()


def test_a_stranger_is_refused_before_his_memory_is_looked_at(socket_path, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("0123456789abcdef\n")
    keys.chmod(0o600)
    with Server("--listen", f"unix:{socket_path}", "--api-key-file", keys) as server:
        with Connection(server.target) as connection, memory(TINY) as descriptor:
            assert connection.is_alive()
            # Not before: some descriptors of the start may be open still.
            before = server.descriptor_count()
            refused(exchange(connection, PRUNE, descriptor, "length=31"), "unauthorized", status=401)
            allowed = exchange(connection, PRUNE, descriptor, "length=31", ("X-API-Key", "0123456789abcdef"))
            assert kept(allowed) == TINY_KEPT
            assert server.settled_descriptor_count(before) == before


# Descriptors never pile up, and nothing that a client does with its memory harms the server.


def test_descriptors_are_closed_with_their_requests(unix):
    with Connection(unix.target) as connection, memory(TINY) as descriptor:
        assert connection.is_alive()
        before = unix.descriptor_count()
        for _ in range(50):
            assert kept(exchange(connection, PRUNE, descriptor, "length=31")) == TINY_KEPT
            exchange(connection, PRUNE, descriptor, "length=99")
        assert unix.settled_descriptor_count(before) == before
    unix.wait_for_metric("crop_shared_memory_descriptors 0")


def test_descriptors_that_nobody_wants_are_closed(unix):
    with Connection(unix.target) as connection, memory(TINY) as descriptor:
        assert connection.is_alive()
        before = unix.descriptor_count()
        for _ in range(20):
            share(connection, request(), [descriptor] * 253)
            assert connection.read_answer().status == 200
        share(connection, head(PRUNE, "length=31"), [descriptor] * 253)
        assert kept(connection.read_answer()) == TINY_KEPT
        # With every piece of a body.
        body = npy(numbers(16, 576))
        data = request("POST", "/prune?method=topk&keep_tokens=5", body=body)
        for start in range(0, len(data), 4000):
            share(connection, data[start:start + 4000], [descriptor] * 10)
            assert unix.settled_descriptor_count(before + 2) <= before + 2
        kept(connection.read_answer())
        assert unix.settled_descriptor_count(before) == before
        # With a head that never ends.
        for _ in range(50):
            share(connection, b"GET / HTTP/1.1\r\n"[:1], [descriptor] * 10)
        # Those of the last piece may not be closed yet; at most two are kept with the connection.
        assert unix.settled_descriptor_count(before + 2) <= before + 2
    assert unix.settled_descriptor_count(before - 1) == before - 1


def test_a_connection_that_passes_itself_ends_with_its_client(socket_path):
    """What is not memory is not kept with the connection: a socket would keep its own connection open."""
    with Server("--listen", f"unix:{socket_path}", "--header-timeout", "600s") as server:
        with Connection(server.target) as connection:
            assert connection.is_alive()
            before = server.descriptor_count()
            share(connection, b"G", [connection.socket.fileno()])
        assert server.settled_descriptor_count(before - 1) == before - 1


@pytest.fixture
def lingering():
    """A socket whose closing takes as long as its peer likes: it lingers over bytes that nobody reads."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as opened:
        peer, _ = listener.accept()
        opened.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                opened.send(bytes(1 << 16))
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3000))
        yield opened
        # Only now may this process close its own, and the server's.
        peer.close()


@pytest.mark.parametrize("shared", ["descriptors", "off"])
@pytest.mark.parametrize("when", ["with a request", "with a part of one", "unread"])
def test_a_descriptor_whose_closing_hangs_holds_up_nobody(socket_path, lingering, when, shared):
    flags = "--listen", f"http://127.0.0.1:0,unix:{socket_path}", "--event-loops", "1", "--shared-memory", shared
    with Server(*flags) as server:
        with Connection(target(f"unix:{socket_path}")) as connection:
            if when == "unread":
                connection.send(request("POST", "/prune", [("Connection", "close")], body=b"{}"))
            share(connection, {"with a request": request(), "with a part of one": b"G", "unread": b"more"}[when], [lingering.fileno()])
            # Whose is the last reference waits: nearly always the server's, but this process must not hang either.
            threading.Thread(target=lingering.close, daemon=True).start()
            if when == "with a request":
                assert connection.read_answer().status == 200
        server.wait_for_metric("crop_connections 1")
        with Connection(server.target) as connection:
            assert connection.is_alive()


def test_a_killed_client_leaves_no_descriptor(unix):
    before = unix.descriptor_count()
    program = (
        "import os, socket, sys, time\n"
        "memory = os.memfd_create('m'); os.ftruncate(memory, 1 << 20)\n"
        "held = []\n"
        "for _ in range(8):\n"
        "    one = socket.socket(socket.AF_UNIX); one.connect(sys.argv[1]); held.append(one)\n"
        "    socket.send_fds(one, [b'POST /prune HTTP/1.1\\r\\nHost: a\\r\\n'], [memory])\n"
        "print('sent', flush=True); time.sleep(60)\n")
    client = subprocess.Popen([sys.executable, "-c", program, str(unix.target)], stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"sent\n"
    unix.wait_for_metric("crop_shared_memory_descriptors 8")
    client.send_signal(signal.SIGKILL)
    client.wait()
    assert unix.settled_descriptor_count(before) == before


def test_memory_that_shrinks_and_grows_meanwhile_harms_nobody(unix):
    target, body = BODIES["features"]
    stop = threading.Event()
    with Connection(unix.target, timeout=60) as connection, memory(body) as descriptor:
        def resize():
            while not stop.is_set():
                os.ftruncate(descriptor, 4096)
                os.ftruncate(descriptor, 0)
                os.ftruncate(descriptor, len(body))

        other = threading.Thread(target=resize)
        other.start()
        try:
            for _ in range(40):
                with Connection(unix.target, timeout=60) as connection:
                    answer = exchange(connection, target, descriptor, f"length={len(body)}")
                    assert answer.status in (200, 400, 415, 422), answer.body
        finally:
            stop.set()
            other.join()
    with Connection(unix.target) as connection:
        assert connection.is_alive()


@pytest.mark.parametrize("name", ["heads", "uniform", "safetensors", "json"])
def test_memory_that_is_written_meanwhile_harms_nobody(unix, name):
    target, body = BODIES[name]
    stop = threading.Event()
    with memory(body) as descriptor, mmap.mmap(descriptor, len(body)) as view:
        def scribble():
            random = np.random.default_rng(5)
            while not stop.is_set():
                # The header above all: lengths, shapes, offsets, names.
                place = int(random.integers(0, min(len(body), 400)))
                view[place] = int(random.integers(0, 256))
                if random.random() < 0.3:
                    view[:400] = body[:400]

        other = threading.Thread(target=scribble)
        other.start()
        try:
            with Connection(unix.target, timeout=60) as connection:
                for _ in range(200):
                    answer = exchange(connection, target, descriptor, f"length={len(body)}")
                    assert answer.status in (200, 400, 404, 413, 415, 422), answer.body
        finally:
            stop.set()
            other.join()
    with Connection(unix.target) as connection:
        assert kept(connection.exchange(request("POST", PRUNE, body=TINY))) == TINY_KEPT


def test_without_descriptors_to_spare_the_server_says_so_and_goes_on(socket_path):
    limit = 80

    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    with Server("--listen", f"unix:{socket_path}", preexec_fn=few) as server, memory(TINY) as descriptor:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(Connection(server.target))
            assert first.is_alive()
            for _ in range(limit):
                stack.enter_context(Connection(server.target))
            server_is_full(server, limit)
            answer = exchange(first, PRUNE, descriptor, "length=31")
            refused(answer, "overloaded", "descriptors", status=503)
            assert answer.field("Retry-After") == "1"
        with Connection(server.target) as connection:
            assert kept(exchange(connection, PRUNE, descriptor, "length=31")) == TINY_KEPT


def server_is_full(server, limit):
    for _ in range(1000):
        if server.descriptor_count() >= limit:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{server.descriptor_count()} descriptors of {limit}")


def test_refusals_are_counted(unix):
    with Connection(unix.target) as connection:
        connection.exchange(head(PRUNE, "length=31"))
    unix.wait_for_metric(r'crop_http_refusals_total\{reason="shared-memory"\} [1-9]\d*')


# Regions that are registered by name, over the Open Inference Protocol's routes.


@contextlib.contextmanager
def named_memory(data):
    path = pathlib.Path("/dev/shm") / f"crop-test-{uuid.uuid4()}"
    path.write_bytes(data)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def register(connection, region, path, size, offset=0):
    body = b'{"key": "/%b", "offset": %d, "byte_size": %d}' % (path.name.encode(), offset, size)
    return connection.exchange(request("POST", f"/v2/systemsharedmemory/region/{region}/register", body=body))


def unregister(connection, region):
    return connection.exchange(request("POST", f"/v2/systemsharedmemory/region/{region}/unregister", body=b""))


def test_a_named_region_is_read_over_tcp_until_it_is_unregistered():
    field = f'length={len(TINY)}, offset=3, name="in0"'
    with Server("--shared-memory", "named") as server, Connection(server.target) as connection:
        with named_memory(b"12345" + TINY + b"more") as path:
            refused(connection.exchange(head(PRUNE, field)), "shared-memory", "there is no region 'in0'")
            assert register(connection, "in0", path, len(TINY) + 3, offset=2).status == 200
            for _ in range(3):
                assert kept(connection.exchange(head(PRUNE, field))) == TINY_KEPT
            outside = head(PRUNE, f'length={len(TINY)}, offset=4, name="in0"')
            refused(connection.exchange(outside), "shared-memory", "exceed the")
            # The owner removes the name and shrinks the memory: what was opened stays open, and ends where it ends.
            os.truncate(path, 10)
            answer = connection.exchange(head(PRUNE, field))
            refused(answer, "shared-memory", "became shorter")
        with Connection(server.target) as again:
            assert unregister(again, "in0").status == 200
            refused(again.exchange(head(PRUNE, field)), "shared-memory", "there is no region 'in0'")
        server.wait_for_metric("crop_shared_memory_regions 0")
