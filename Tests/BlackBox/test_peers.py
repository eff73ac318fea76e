"""Who the client is behind a balancer: the PROXY protocol, X-Forwarded-For and Forwarded."""
import contextlib
import re
import socket
import ssl
import struct
import time

import numpy as np
import pytest
from bodies import PRUNE, TINY, TINY_KEPT, npy
from server import Server, crop
from test_capacity import endless, pooled
from wire import Connection, request

POST = request("POST", PRUNE, body=TINY)
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def version_2(command=1, family=0x11, addresses=None, tail=b""):
    if addresses is None:
        addresses = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 4711, 443)
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack("!H", len(addresses + tail)) + addresses + tail


SIX = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "::1") + struct.pack("!HH", 4711, 443)
HEADERS = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", "192.0.2.7:4711"),
    (b"PROXY TCP6 2001:DB8:0::7 ::1 4711 443\r\n", "[2001:db8::7]:4711"),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN whatever the balancer adds 1 2\r\n", None),
    (version_2(), "192.0.2.7:4711"),
    (version_2(tail=b"\x03\0\x04\1\2\3\4\x02\0\3abc"), "192.0.2.7:4711"),
    (version_2(family=0x21, addresses=SIX), "[2001:db8::7]:4711"),
    (version_2(family=0x31, addresses=bytes(216)), None),
    (version_2(command=0), None),
    (version_2(family=0, addresses=b"ignored"), None),
]


@pytest.fixture(scope="module")
def proxied():
    with Server("--listen", "proxy+http://127.0.0.1:0,http://127.0.0.1:0", "--header-timeout", "30s") as server:
        server.proxied, server.plain = server.listeners(2)
        yield server


@pytest.mark.parametrize("cuts", ["whole", "bytewise"])
@pytest.mark.parametrize("header, remote", HEADERS)
def test_the_log_names_whom_the_balancer_speaks_for(proxied, header, remote, cuts):
    mark = f"{abs(hash((header, cuts)))}"
    post = request("POST", PRUNE, [("X-Request-Id", mark)], TINY)
    with Connection(proxied.proxied) as connection:
        if cuts == "bytewise":
            for byte in header:
                connection.send(bytes([byte]))
            connection.send(post)
        else:
            connection.send(header + post)
        assert connection.read_answer().json["kept_indices"] == TINY_KEPT
        # The header comes once, whatever is asked on the connection.
        assert connection.exchange(post).status == 200
    line = proxied.wait_for_line(rf"id={mark} .*remote=(\S+)").group(1)
    assert line == remote if remote else line.startswith("127.0.0.1:")


@pytest.mark.parametrize("start, words", [
    (POST, "expects the PROXY protocol"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\n", "CR LF"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n", "two ports"),
    (b"PROXY TCP4 192.0.2.7  198.51.100.1 4711 443\r\n", "two ports"),
    (b"PROXY TCP4 192.0.2.256 198.51.100.1 4711 443\r\n", "addresses"),
    (b"PROXY TCP4 ::1 ::1 4711 443\r\n", "addresses"),
    (b"PROXY TCP6 192.0.2.7 192.0.2.8 4711 443\r\n", "addresses"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n", "port"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 04711 443\r\n", "port"),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n", "port"),
    (b"PROXY UDP4 192.0.2.7 198.51.100.1 4711 443\r\n", "TCP4, TCP6 or UNKNOWN"),
    (b"proxy TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", "expects the PROXY protocol"),
    (b"PROXY UNKNOWN " + b"x" * 200, "no end"),
    (SIGNATURE[:-1] + b"X", "signature"),
    (SIGNATURE + b"\x11\x11\0\0", "version 1"),
    (SIGNATURE + b"\x22\x11\0\0", "command 2"),
    (SIGNATURE + b"\x21\x12\0\x0c" + bytes(12), "not those of a stream"),
    (SIGNATURE + b"\x21\x11\0\x0b" + bytes(11), "do not hold"),
    (SIGNATURE + b"\x21\x21\0\x23" + bytes(35), "do not hold"),
    (SIGNATURE + b"\x21\x11\xff\xff", "more than 4096"),
])
def test_a_connection_that_begins_otherwise_is_refused_and_says_why(proxied, start, words):
    with Connection(proxied.proxied) as connection:
        connection.send(start)
        answer = connection.read_answer()
        assert answer.status == 400 and words in answer.json["detail"] and answer.closes
    with Connection(proxied.proxied) as connection:
        assert connection.exchange(HEADERS[0][0] + POST).status == 200


def test_a_header_where_none_is_expected_is_refused_and_names_the_setting(proxied):
    for header, _ in (HEADERS[0], HEADERS[4]):
        with Connection(proxied.plain) as connection:
            answer = connection.exchange(header + POST)
            assert answer.status == 400 and "proxy+" in answer.json["detail"]


@pytest.mark.parametrize("start", [b"", b"PRO", b"PROXY TCP4 192.0.2.7 ", SIGNATURE, SIGNATURE + b"\x21\x11\0\x0c\xc0"])
def test_a_header_that_does_not_end_is_waited_for_as_long_as_a_head(start):
    with Server("--listen", "proxy+http://127.0.0.1:0", "--header-timeout", "300ms") as server:
        with Connection(server.target) as slow, Connection(server.target) as good:
            slow.send(start)
            assert good.exchange(HEADERS[0][0] + POST).status == 200
            assert slow.is_closed_by_server()


class Greeted(Connection):
    """A connection whose first bytes are a balancer's; then it is encrypted if there is a context."""

    def __init__(self, target, header, context=None):
        super().__init__(target)
        self.socket.sendall(header)
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost", suppress_ragged_eofs=False)


def client_of(address):
    return b"PROXY TCP4 %b 198.51.100.1 4711 443\r\n" % address.encode()


def test_a_header_comes_before_the_handshake(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificate.certificate.with_name("authority.pem"))
    with Server("--listen", "proxy+https://127.0.0.1:0", *certificate.flags) as server:
        with Greeted(server.port, client_of("192.0.2.9"), context) as connection:
            assert connection.exchange(POST).json["kept_indices"] == TINY_KEPT
        server.wait_for_line(r"route=/prune .*remote=192.0.2.9:4711 ")
        # An answer in the clear would look like a broken handshake.
        for start in (POST, b"PROXY TCP4 nonsense\r\n"):
            with Connection(server.port) as connection:
                connection.send(start)
                assert connection.is_closed_by_server()
        with pytest.raises((ssl.SSLError, OSError)), Greeted(server.port, b"", context):
            pass
        with Greeted(server.port, client_of("192.0.2.9"), context) as connection:
            assert connection.is_alive()


def test_a_socket_file_can_expect_a_header(socket_path):
    with Server("--listen", f"http://127.0.0.1:0,proxy+unix:{socket_path}") as server:
        with Greeted(socket_path, client_of("192.0.2.9")) as connection:
            assert connection.exchange(POST).status == 200
        server.wait_for_line(r"route=/prune .*remote=192.0.2.9:4711 ")
        with Greeted(socket_path, b"PROXY UNKNOWN\r\n") as connection:
            assert connection.exchange(POST).status == 200
        server.wait_for_line(r"route=/prune .*remote=unix ")


def test_a_client_of_a_large_body_keeps_its_address():
    """Such connections move to other threads and back."""
    scores = np.random.default_rng(1).random((4, 550_000), dtype=np.float32)
    large = request("POST", "/prune?method=topk&keep_tokens=4&tensor=attention", [("Content-Type", "application/x-npy")],
                    npy(scores))
    with Server("--listen", "proxy+http://127.0.0.1:0", "--bulk-priority", "normal") as server:
        with Greeted(server.port, client_of("192.0.2.9")) as connection:
            assert connection.exchange(large).status == 200
            assert connection.exchange(POST).status == 200
        for digits in ("{7}", "{2,4}"):
            server.wait_for_line(rf"bytes_in=[0-9]{digits} .*remote=192.0.2.9:4711 ")


@pytest.mark.parametrize("newcomer, displaces", [("192.0.2.2", True), ("192.0.2.1", False)])
def test_clients_behind_one_balancer_share_the_queue_by_their_own_addresses(newcomer, displaces):
    """One client has one request computed and two waiting: another client's takes the place of the last of them."""
    with Server("--listen", "proxy+http://127.0.0.1:0", "--max-in-flight", "3", "--compute-threads", "1",
                "--compute-timeout", "60s", "--admin-listen", "http://127.0.0.1:0") as server:
        admin = int(server.wait_for_line(r"listening for administration .*url=http://127.0.0.1:(\d+)").group(1))

        def wait_for_in_flight(count):
            end = time.monotonic() + 20
            while True:
                with Connection(admin) as connection:
                    if f"\ncrop_requests_in_flight {count}\n" in connection.exchange(request(target="/metrics")).body.decode():
                        return
                assert time.monotonic() < end, f"{count} requests in flight"

        with contextlib.ExitStack() as stack:
            first, second, third, other = (
                stack.enter_context(Greeted(server.port, client_of(address))) for address in ["192.0.2.1"] * 3 + [newcomer])
            for count, connection in enumerate((first, second, third), 1):
                connection.send(endless() if count == 1 else pooled())
                wait_for_in_flight(count)
            other.send(pooled())
            assert (third if displaces else other).read_answer().status == 429
            first.close()
            assert (other if displaces else third).read_answer().status == 200


# Fields of trusted proxies.


@pytest.fixture(scope="module")
def trusting():
    with Server("--trusted-proxies", "127.0.0.0/8,10.0.0.0/8,fd00::/8", "--http-host", "127.0.0.1") as server:
        yield server


def logged(server, fields):
    mark = f"{time.monotonic_ns()}"
    with Connection(server.target) as connection:
        assert connection.exchange(request("POST", PRUNE, [("X-Request-Id", mark), *fields], TINY)).status == 200
    line = server.wait_for_line(rf".*id={mark} .*").group(0)
    found = re.search(r" client=(\S+)", line)
    assert " remote=127.0.0.1:" in line or " remote=unix" in line
    return found and found.group(1)


@pytest.mark.parametrize("values, client", [
    (["192.0.2.7"], "192.0.2.7"),
    (["192.0.2.7, 10.1.2.3"], "192.0.2.7"),
    (["198.51.100.66, 192.0.2.7, 10.1.2.3"], "192.0.2.7"),
    (["198.51.100.66", "192.0.2.7, fd00::1"], "192.0.2.7"),
    (["10.9.9.9, 10.1.2.3"], "10.9.9.9"),
    (["192.0.2.7:4711"], "192.0.2.7"),
    (["2001:DB8:0:0::7"], "2001:db8::7"),
    (["[2001:db8::7]:4711"], "2001:db8::7"),
    (["::ffff:192.0.2.7"], "192.0.2.7"),
    (["192.0.2.7, unknown, 10.1.2.3"], "10.1.2.3"),
    (["192.0.2.7, <script>"], None),
    (["192.0.2.07"], None),
    (["192.0.2.7 10.1.2.3"], None),
    ([""], None),
    ([], None),
])
def test_the_client_is_the_last_address_that_no_trusted_proxy_has(trusting, values, client):
    assert logged(trusting, [("X-Forwarded-For", value) for value in values]) == client


def test_a_forwarded_field_is_not_read_where_proxies_append_to_the_other(trusting):
    fields = [("Forwarded", "for=198.51.100.66"), ("X-Forwarded-For", "192.0.2.7")]
    assert logged(trusting, fields) == "192.0.2.7"
    assert logged(trusting, fields[:1]) is None


def test_nobody_else_is_believed(socket_path):
    fields = [("X-Forwarded-For", "192.0.2.7")]
    for trusted, believed in (("none", False), ("10.0.0.0/8,::1", False), ("unix", False), ("127.0.0.1", True)):
        with Server("--trusted-proxies", trusted) as server:
            assert logged(server, fields) == ("192.0.2.7" if believed else None)
    for trusted, believed in (("127.0.0.1", False), ("unix", True)):
        with Server("--listen", f"unix:{socket_path}", "--trusted-proxies", trusted) as server:
            assert logged(server, fields) == ("192.0.2.7" if believed else None)


@pytest.mark.parametrize("values, client", [
    (["for=192.0.2.7"], "192.0.2.7"),
    (['proto=https;For="[2001:db8::7]:4711";by=10.0.0.1, for=10.1.2.3'], "2001:db8::7"),
    (['for="192.0.2.7:4711"'], "192.0.2.7"),
    (["for=198.51.100.66, for=192.0.2.7;by=unknown", "for=127.0.0.1"], "192.0.2.7"),
    (["for=192.0.2.7, for=_hidden"], None),
    (["for=unknown"], None),
    (["by=192.0.2.7"], None),
    (['for="192.0.2.7'], None),
])
def test_forwarded_is_read_when_the_proxies_append_to_it(values, client):
    with Server("--trusted-proxies", "127.0.0.0/8,10.0.0.0/8", "--forwarded-header", "forwarded") as server:
        assert logged(server, [("Forwarded", value) for value in values] + [("X-Forwarded-For", "198.51.100.66")]) == client


@pytest.mark.parametrize("value", ["10.0.0.0/33", "10.0.0.1/8", "10.0.0", "fd00::/129", "localhost", "10.0.0.0/8,", "*", ""])
def test_what_is_no_network_is_refused(value):
    done = crop("serve", "--trusted-proxies", value, "--print-config")
    assert done.returncode == 78 and "is not a list of networks" in done.stderr
