"""HTTPS as clients see it: openssl, curl, Python's ssl and the libraries on top of it, friendly and not."""
import concurrent.futures
import contextlib
import json
import signal
import socket
import ssl
import subprocess
import time

import httpx
import numpy as np
import pytest
import requests
from bodies import PRUNE, TINY, TINY_KEPT, features, npy
from certificates import Issued, client_context, openssl
from server import Server, crop
from wire import Connection, chunked, request

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Secure(Connection):
    """A connection that begins with a handshake, and takes a missing close_notify for the error it is."""

    def __init__(self, port, context, session=None, **options):
        super().__init__(port, **options)
        try:
            self.socket = context.wrap_socket(
                self.socket, server_hostname="localhost", session=session, suppress_ragged_eofs=False)
        except BaseException:
            self.socket.close()
            raise

    @property
    def serial_number(self):
        return self.socket.getpeercert()["serialNumber"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder):
    return Issued(folder, "authority")


@pytest.fixture(scope="module")
def site(folder, authority):
    return Issued(folder, "localhost", authority)


@pytest.fixture(scope="module")
def user(folder, authority):
    return Issued(folder, "user", authority)


@pytest.fixture(scope="module")
def secure(site):
    """One server for all tests that leave it as it was."""
    with Server(*site.flags) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(site, authority):
    """A server that asks for client certificates."""
    with Server(*site.flags, "--tls-client-ca", authority.certificate) as server:
        yield server


@pytest.fixture
def context(authority):
    return client_context(authority)


def post(body=TINY, target=PRUNE, *fields):
    return request("POST", target, fields, body)


def raw(port):
    return socket.create_connection(("127.0.0.1", port), timeout=15)


def hello():
    """-> the first message of a handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


# Clients.


def curl(authority, *arguments, stdin=None, code=0):
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", "--cacert", authority.certificate, *map(str, arguments)],
        capture_output=True, timeout=30, input=stdin)
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.parametrize("version", [["--http1.1"], ["--http1.0"], ["--http2"], ["--no-alpn"], ["--tls-max", "1.2"]])
def test_curl(secure, authority, version):
    answer = curl(authority, *version, "--data-binary", "@-", f"https://localhost:{secure.port}{PRUNE}", stdin=TINY)
    assert json.loads(answer)["kept_indices"] == TINY_KEPT


def test_curl_of_many_requests_on_one_connection(secure, authority):
    url = f"https://localhost:{secure.port}/livez"
    counts = curl(authority, "-w", "%{num_connects}\n", "-o", "/dev/null", url, "-o", "/dev/null", url,
                  "-o", "/dev/null", url)
    assert counts.split() == [b"1", b"0", b"0"]


def test_requests_and_httpx(secure, authority):
    url = f"https://localhost:{secure.port}{PRUNE}"
    with requests.Session() as session:
        # A bundle that the environment names would win over the one below.
        session.trust_env = False
        session.verify = str(authority.certificate)
        for _ in range(3):
            assert session.post(url, data=TINY).json()["kept_indices"] == TINY_KEPT
    with httpx.Client(verify=client_context(authority), http2=False) as client:
        for _ in range(3):
            assert client.post(url, content=TINY).json()["kept_indices"] == TINY_KEPT


@pytest.mark.parametrize("version", VERSIONS)
def test_python_and_the_agreed_protocol(secure, authority, version):
    context = client_context(authority, version=version)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with Secure(secure.port, context) as connection:
        assert connection.socket.selected_alpn_protocol() == "http/1.1"
        assert connection.socket.compression() is None
        assert connection.exchange(post()).json["kept_indices"] == TINY_KEPT
        assert connection.is_alive()


def test_the_log_names_the_address_and_the_certificate(secure):
    assert secure.wait_for_line(rf"listening .*url=https://127\.0\.0\.1:{secure.port}\b")
    assert secure.wait_for_line(r"TLS .*certificate=CN=localhost .*expires=\d{4}-\d\d-\d\dT")


def test_the_expiry_is_a_metric(secure, site, context):
    end = openssl("x509", "-in", site.certificate, "-noout", "-enddate").stdout.decode().strip().split("=")[1]
    with Secure(secure.port, context) as connection:
        metrics = connection.exchange(request(target="/metrics")).body.decode()
    line = next(line for line in metrics.splitlines() if line.startswith("crop_tls_certificate_expiry"))
    assert float(line.split()[1]) == ssl.cert_time_to_seconds(end)


# What is agreed on, and what is refused.


@pytest.mark.parametrize("flags", [
    ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
    ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"], ["-alpn", "h2"], ["-alpn", "h2,spdy/3"],
], ids=" ".join)
def test_openssl_is_refused(secure, flags):
    done = openssl("s_client", "-connect", f"127.0.0.1:{secure.port}", *flags, check=False)
    assert done.returncode != 0 and b"alert" in done.stderr
    assert b"Cipher is (NONE)" in done.stdout


def test_openssl_cannot_renegotiate(secure):
    done = openssl("s_client", "-connect", f"127.0.0.1:{secure.port}", "-tls1_2", stdin=b"R\n", check=False)
    assert b"no renegotiation" in done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_resumed(secure, authority, version):
    context = client_context(authority, version=version)
    with Secure(secure.port, context) as connection:
        assert connection.is_alive() and not connection.socket.session_reused
        session = connection.socket.session
    with Secure(secure.port, context, session=session) as connection:
        assert connection.socket.session_reused
        assert connection.exchange(post()).json["kept_indices"] == TINY_KEPT


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_with_a_client_certificate_is_resumed(guarded, authority, user, version):
    context = client_context(authority, user, version)
    with Secure(guarded.port, context) as connection:
        assert connection.is_alive()
        session = connection.socket.session
    with Secure(guarded.port, context, session=session) as connection:
        assert connection.socket.session_reused and connection.is_alive()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_without_a_certificate_is_refused(guarded, authority, version):
    with pytest.raises(ssl.SSLError, match="alert"):
        with Secure(guarded.port, client_context(authority, version=version)) as connection:
            connection.exchange(request())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_with_a_foreign_certificate_is_refused(guarded, authority, folder, version):
    stranger = Issued(folder, "stranger", Issued(folder, "others"))
    with pytest.raises(ssl.SSLError, match="alert unknown ca"):
        with Secure(guarded.port, client_context(authority, stranger, version)) as connection:
            connection.exchange(request())


def test_curl_with_a_client_certificate(guarded, authority, user):
    url = f"https://localhost:{guarded.port}/livez"
    assert json.loads(curl(authority, "--cert", user.certificate, "--key", user.key, url))["status"] == "live"
    assert curl(authority, url, code=56) == b""


def test_an_rsa_certificate(folder, authority):
    rsa = Issued(folder, "rsa", authority, algorithm="rsa")
    with Server(*rsa.flags) as server:
        for version in VERSIONS:
            with Secure(server.port, client_context(authority, version=version)) as connection:
                assert connection.is_alive()


# Bytes.


@pytest.mark.parametrize("tokens", [37_500, 750_000], ids=["1.2 MB", "24 MB"])
def test_large_bodies(secure, context, tokens):
    """The highest of so many scores are found only if all bytes are right."""
    heads = np.random.default_rng(7).integers(0, 1 << 20, (8, tokens))
    wanted = np.sort(np.argsort(-heads.sum(axis=0), kind="stable")[:50]).tolist()
    target, body = "/prune?method=topk&keep_tokens=50&tensor=attention", npy(heads.astype(np.float32))
    with Secure(secure.port, context, timeout=60) as connection:
        assert connection.exchange(request("POST", target, body=body)).json["kept_indices"] == wanted
        pieces = request("POST", target, [("Transfer-Encoding", "chunked")]) + chunked(body, size=100_000)
        assert connection.exchange(pieces).json["kept_indices"] == wanted
        assert connection.is_alive()


def test_a_large_answer_to_a_slow_reader(secure, context):
    """Megabytes of indices come back, and the client takes its time."""
    count = 1_000_000
    target = f"/prune?method=topk&keep_tokens={count - 1}&tensor=attention"
    body = npy(np.arange(count, dtype=np.float32))
    with Secure(secure.port, context, timeout=60) as connection:
        connection.send(request("POST", target, body=body))
        time.sleep(1)
        answer = connection.read_answer()
        assert len(answer.body) > 5_000_000
        assert answer.json["kept_indices"] == list(range(1, count))
        assert connection.is_alive()


def test_pipelined_requests_in_one_record(secure, context):
    with Secure(secure.port, context) as connection:
        connection.send((request() + post()) * 50)
        for _ in range(50):
            assert connection.read_answer().status == 200
            assert connection.read_answer().json["kept_indices"] == TINY_KEPT


def test_a_request_in_records_of_one_byte(secure, context):
    with Secure(secure.port, context) as connection:
        connection.send_bytewise(post())
        assert connection.read_answer().json["kept_indices"] == TINY_KEPT


def test_expect_continue(secure, context):
    with Secure(secure.port, context) as connection:
        head, body = post(TINY, PRUNE, ("Expect", "100-continue")).split(b"\r\n\r\n")
        assert connection.exchange(head + b"\r\n\r\n").status == 100
        assert connection.exchange(body).json["kept_indices"] == TINY_KEPT


# Ends.


@pytest.mark.parametrize("version", VERSIONS)
def test_the_end_is_announced(secure, authority, version):
    with Secure(secure.port, client_context(authority, version=version)) as connection:
        answer = connection.exchange(request(fields=[("Connection", "close")]))
        assert answer.closes
        # Without a close_notify this would raise SSLEOFError.
        assert connection.is_closed_by_server()


def test_a_refused_request_is_answered_before_the_end(secure, context):
    with Secure(secure.port, context) as connection:
        assert connection.exchange(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n").status == 400
        assert connection.is_closed_by_server()


def test_a_client_that_only_finishes_sending_gets_its_answer(secure, context):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with raw(secure.port) as peer:
        def complete(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    peer.sendall(outgoing.read())
                    incoming.write(peer.recv(65536))
        complete(client.do_handshake)
        client.write(post())
        # The close_notify in the same packet as the request; the socket stays open both ways.
        with contextlib.suppress(ssl.SSLWantReadError):
            client.unwrap()
        assert b"200 OK" in complete(lambda: client.read(4096))


def test_a_body_that_is_cut_off_is_no_request(secure, context):
    """RFC 9112 section 9.8: an end without close_notify; the framing says that something is missing."""
    with Secure(secure.port, context) as connection:
        connection.send(post()[:-5])
        with socket.socket(fileno=socket.dup(connection.socket.fileno())) as beneath:
            beneath.shutdown(socket.SHUT_WR)
        assert connection.read_answer().status == 400


def test_resets_and_vanishing_clients_leave_nothing_behind(secure, context):
    before = secure.descriptor_count()
    for step in range(60):
        connection = Connection(secure.port)
        if step % 3:
            connection.send(hello()[:step * 7])
        if step % 2:
            connection.reset()
        else:
            connection.close()
    assert secure.settled_descriptor_count(before) <= before
    with Secure(secure.port, context) as connection:
        assert connection.is_alive()


# The wrong language.


@pytest.mark.parametrize("step", [1000, 1])
def test_a_plain_request_is_answered_in_the_clear(secure, step):
    with Connection(secure.port) as connection:
        connection.send_bytewise(request(), step)
        answer = connection.read_answer()
        assert answer.status == 400 and answer.closes and "https://" in answer.json["detail"]
        assert connection.is_closed_by_server()


def test_a_plain_request_with_a_large_body_reads_its_answer(secure):
    with Connection(secure.port) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(post(bytes(300_000)))
        assert connection.read_answer().status == 400


@pytest.mark.parametrize("data", [
    b"\x00" * 64, b"\xff" * 600, b"\x80\x2e\x01\x00\x02", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n\r\n", b"SSH-2.0-x\r\n",
], ids=repr)
def test_garbage_is_refused_in_the_clear(secure, data):
    with Connection(secure.port) as connection:
        connection.send(data)
        assert connection.read_answer().status == 400


@pytest.mark.parametrize("data", [
    b"\x16\x03\x01\x00\x00", b"\x16" + b"\xff" * 600, b"\x16\x03\x01\x00\x04\x09\x09\x09\x09",
    b"\x16\x03\x01\x40\x01" + bytes(16385), b"\x16\x03\x03\x00\x04\x01\xff\xff\xff",
], ids=lambda data: data[:12].hex())
def test_garbage_in_a_handshake_ends_it(secure, data, context):
    with raw(secure.port) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while more := connection.recv(4096):
                received += more
        # Nothing, or an alert.
        assert received[:1] in (b"", b"\x15")
    with Secure(secure.port, context) as connection:
        assert connection.is_alive()


def test_a_damaged_record_ends_the_connection(secure, context):
    with Secure(secure.port, context) as connection:
        assert connection.is_alive()
        with socket.socket(fileno=socket.dup(connection.socket.fileno())) as beneath:
            beneath.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            with pytest.raises(ssl.SSLError, match="bad record mac"):
                connection.socket.recv(1)


# Time.


def test_slow_and_half_finished_handshakes_disturb_nobody(site, context):
    with Server(*site.flags, "--header-timeout", "700ms", "--event-loops", "1") as server:
        halves = [raw(server.port) for _ in range(50)]
        for number, half in enumerate(halves):
            half.sendall(hello()[:1 + number * 5])
        silent = [raw(server.port) for _ in range(50)]
        begin = time.monotonic()
        with Secure(server.port, context) as connection:
            for _ in range(20):
                assert connection.is_alive()
        assert time.monotonic() - begin < 5
        for half in halves + silent:
            half.settimeout(10)
            with contextlib.suppress(ConnectionResetError):
                assert half.recv(100) == b""
            half.close()
        assert time.monotonic() - begin > 0.4


def test_a_handshake_byte_by_byte_succeeds_in_time_only(site, context):
    with Server(*site.flags, "--header-timeout", "2s") as server:
        for pause, is_served in [(0.0005, True), (0.05, False)]:
            assert drip(server.port, context, pause) == is_served


def drip(port, context, pause):
    """-> whether a handshake whose bytes are sent one by one ends well."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with raw(port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
            try:
                for byte in outgoing.read():
                    connection.sendall(bytes([byte]))
                    time.sleep(pause)
                received = connection.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                return False
            if not received:
                return False
            incoming.write(received)
        session.write(request(fields=[("Connection", "close")]))
        connection.sendall(outgoing.read())
        while received := connection.recv(65536):
            incoming.write(received)
        return b"200 OK" in session.read()


def test_a_slow_head_is_cut_off_whatever_came_with_the_handshake(site, context):
    with Server(*site.flags, "--header-timeout", "500ms", "--idle-timeout", "60s") as server:
        with Secure(server.port, context) as connection:
            connection.send(b"GET /livez")
            assert connection.read_answer().status == 408


def test_an_idle_connection_ends_after_the_idle_timeout(site, context):
    with Server(*site.flags, "--header-timeout", "300ms", "--idle-timeout", "1500ms") as server:
        with Secure(server.port, context) as connection:
            # Longer than a handshake may take: that deadline is over.
            time.sleep(0.8)
            assert connection.is_alive()
            assert connection.is_closed_by_server()


# Renewal.


@pytest.fixture
def renewable(folder, authority, tmp_path):
    certificate, key = tmp_path / "site.pem", tmp_path / "site.key"
    Issued(folder, "first", authority).copy_to(certificate, key)
    with Server("--tls-cert", certificate, "--tls-key", key) as server:
        yield server, certificate, key


def test_sighup_puts_a_new_certificate_in_force(renewable, folder, authority, context):
    server, certificate, key = renewable
    with Secure(server.port, context) as old:
        assert old.is_alive()
        first = old.serial_number
        second = Issued(folder, "second", authority)
        second.copy_to(certificate, key)
        server.send_signal(signal.SIGHUP)
        server.wait_for_line(r"reloaded .*CN=second, expires")
        with Secure(server.port, context) as new:
            assert new.is_alive()
            assert new.serial_number != first
        # The old connection never noticed.
        assert old.is_alive()


def test_a_certificate_that_cannot_be_used_changes_nothing(renewable, context):
    server, certificate, key = renewable
    key.write_text("nothing")
    server.send_signal(signal.SIGHUP)
    server.wait_for_line(r"error not reloaded.*not a PEM file with a private key")
    with Secure(server.port, context) as connection:
        assert connection.is_alive()
    certificate.unlink()
    server.send_signal(signal.SIGHUP)
    server.wait_for_line(r"error not reloaded.*No such file")
    with Secure(server.port, context) as connection:
        assert connection.is_alive()


def test_renewals_under_load_drop_nothing(renewable, folder, authority, context):
    server, certificate, key = renewable
    issued = [Issued(folder, f"renewal{number}", authority) for number in range(2)]

    def work(_):
        count = 0
        end = time.monotonic() + 2
        while time.monotonic() < end:
            with Secure(server.port, context) as connection:
                for _ in range(3):
                    assert connection.exchange(post()).json["kept_indices"] == TINY_KEPT
                    count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = [pool.submit(work, number) for number in range(4)]
        for number in range(8):
            issued[number % 2].copy_to(certificate, key)
            server.send_signal(signal.SIGHUP)
            time.sleep(0.2)
        assert all(result.result() > 0 for result in results)


# Starting and stopping.


@pytest.mark.parametrize("flags, message", [
    (("--tls-cert", "{site.certificate}"), "tls.cert needs tls.key"),
    (("--tls-key", "{site.key}"), "tls.key needs tls.cert"),
    (("--tls-client-ca", "{site.certificate}"), "tls.client-ca needs tls.cert"),
    (("--listen", "https://127.0.0.1:0"), "needs tls.cert and tls.key"),
    (("--listen", "http://127.0.0.1:0", "--tls-cert", "{site.certificate}", "--tls-key", "{site.key}"), "no https:// address"),
    (("--tls-cert", "/nowhere", "--tls-key", "{site.key}"), "/nowhere cannot be read: No such file"),
    (("--tls-cert", "{site.certificate}", "--tls-key", "{user.key}"), "does not belong to the first certificate"),
    (("--tls-cert", "{site.key}", "--tls-key", "{site.key}"), "is not a PEM file of certificates"),
])
def test_a_wrong_start_is_refused(site, user, flags, message):
    done = crop("serve", "--http-port" if "--listen" not in flags else "--drain-delay", "0",
                *(flag.format(site=site, user=user) for flag in flags))
    assert done.returncode == 78 and message in done.stderr, done.stderr


def test_an_encrypted_key_is_refused_without_a_question(site, tmp_path):
    key = tmp_path / "encrypted.key"
    openssl("pkey", "-in", site.key, "-aes256", "-passout", "pass:secret", "-out", key)
    done = crop("serve", "--http-port", "0", "--tls-cert", site.certificate, "--tls-key", key)
    assert done.returncode == 78 and "is encrypted" in done.stderr


def test_plain_and_encrypted_addresses_side_by_side(site, context):
    with Server("--listen", "https://127.0.0.1:0,http://127.0.0.1:0", *site.flags) as server:
        plain = int(server.wait_for_line(r"url=http://127\.0\.0\.1:(\d+)").group(1))
        with Secure(server.port, context) as connection, Connection(plain) as other:
            assert connection.is_alive() and other.is_alive()


def test_a_drain_finishes_what_is_in_flight(site, context):
    array = features(2048, 256)
    body = npy(array)
    target = "/prune?method=divprune&tensor=image_features&keep_tokens=1024"
    with Server(*site.flags) as server:
        with Secure(server.port, context, timeout=60) as connection, Secure(server.port, context) as idle:
            assert idle.is_alive()
            connection.send(request("POST", target, body=body)[:-1])
            server.send_signal(signal.SIGTERM)
            server.wait_for_line("draining")
            connection.send(body[-1:])
            answer = connection.read_answer()
            assert answer.status == 200 and answer.closes
            assert connection.is_closed_by_server()
            assert idle.is_closed_by_server(seconds=10)
        assert server.stop() == 0


def test_the_health_check(secure, guarded):
    done = crop("healthcheck", "--url", f"https://127.0.0.1:{secure.port}/readyz")
    assert done.returncode == 0 and done.stdout.startswith("healthy: 200")
    done = crop("healthcheck", "--url", f"https://127.0.0.1:{guarded.port}/readyz")
    assert done.returncode == 1 and "certificate required" in done.stdout
    done = crop("healthcheck", "--url", f"http://127.0.0.1:{secure.port}/readyz")
    assert done.returncode == 1 and done.stdout.startswith("unhealthy: 400")


# Size.


def test_idle_connections_are_small(site, context):
    """A thousand clients that have asked once; what one costs the server beyond its socket."""
    count = 1000
    with Server(*site.flags) as server, contextlib.ExitStack() as stack:
        for _ in range(50):
            assert stack.enter_context(Secure(server.port, context)).is_alive()
        before = server.resident_bytes()
        for _ in range(count):
            assert stack.enter_context(Secure(server.port, context)).is_alive()
        each = (server.resident_bytes() - before) / count
        print(f"{each / 1024:.1f} KiB for each idle connection")
        assert each < 64 << 10
