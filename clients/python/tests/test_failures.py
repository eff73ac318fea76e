"""What stands in the way of an answer is named: certificates, other servers, redirections, and requests that came too slowly."""

import asyncio
import ssl

import numpy as np
import pytest
from certificates import Issued
from conftest import Scripted, response
from server import Server

from crop_client import AsyncClient, Client, ConnectionFailed, InvalidRequest, NotFound, Overloaded, ProtocolError, layouts
from crop_client._retry import pause

ARGUMENTS = {"attention": np.ones(4, np.float32), "layout": layouts.raw(4), "keep_tokens": 1, "method": "topk"}


def blocking(url, name, arguments, options):
    with Client(url, **options) as client:
        return getattr(client, name)(**arguments)


def awaited(url, name, arguments, options):
    async def ask():
        async with AsyncClient(url, **options) as client:
            return await getattr(client, name)(**arguments)

    return asyncio.run(asyncio.wait_for(ask(), 60))


@pytest.fixture(params=[blocking, awaited])
def ask(request):
    """Makes one call with a client of its own, of either kind."""

    def made(url, name="methods", arguments=None, **options):
        return request.param(url, name, arguments or {}, options)

    return made


# Certificates.


@pytest.fixture(scope="module")
def encrypted(certificate):
    with Server(*certificate.flags) as server:
        yield server


def test_an_unknown_authority_is_named(ask, encrypted, certificate, tmp_path):
    for options in ({}, {"ca_file": Issued(tmp_path, "another").certificate}):
        with pytest.raises(ConnectionFailed, match="certificate is not accepted: .*ca_file") as caught:
            ask(encrypted.url, retries=5, timeout=60, **options)
        assert "is `crop serve` running" not in str(caught.value) and "attempts" not in str(caught.value)
        # Waiting until it is ready would never end.
        with pytest.raises(ConnectionFailed, match="not accepted"):
            ask(encrypted.url, "is_ready", **options)
    assert ask(encrypted.url, "is_ready", ca_file=certificate.authority)


def test_a_certificate_of_another_host_is_named(ask, certificate, tmp_path):
    authority = Issued(tmp_path, "authority")
    with Server(*Issued(tmp_path, "localhost", authority).flags, "--listen", "https://127.0.0.2:0") as server:
        with pytest.raises(ConnectionFailed, match=r"not accepted: .*127\.0\.0\.2") as caught:
            ask(server.url, ca_file=authority.certificate)
        assert "ca_file" not in str(caught.value)


def test_a_missing_certificate_of_the_client_is_named(ask, certificate, tmp_path):
    user = Issued(tmp_path, "user", authority := Issued(tmp_path, "users"))
    with Server(*certificate.flags, "--tls-client-ca", authority.certificate) as server:
        # The server may have closed before its reason was read.
        with pytest.raises(ConnectionFailed, match="the server ended TLS: .*ssl_context|reset|Broken pipe|closed"):
            ask(server.url, ca_file=certificate.authority)
        context = ssl.create_default_context(cafile=certificate.authority)
        context.load_cert_chain(user.certificate, user.key)
        assert ask(server.url, ssl_context=context)


def test_encryption_on_one_side_alone_is_named(ask, server, encrypted):
    with pytest.raises(ConnectionFailed, match="http:// meant"):
        ask(server.url.replace("http:", "https:"))
    with pytest.raises(InvalidRequest, match="speaks TLS"):
        ask(encrypted.url.replace("https:", "http:"))
    with Scripted(b"\x15\x03\x03\0\2\2\x46" + b"\0" * 9) as other, pytest.raises(ProtocolError, match="https:// meant"):
        ask(other.url)  # which only sends an alert


# Other servers.

FOREIGN = [b"<!doctype html><p>Welcome", b"{}", b"[]", b"", b"null", b'{"status": "ok"}', b"\x08\0\0\0\0\0\0\0{}      ",
           b'\x18\0\0\0\0\0\0\0{"__metadata__":{"a":1}}', b'{"note": "kept_indices", "x": "features tokens"}',
           b'{"error": "\\"kept_indices and \\"features and \\"overlap and \\"tokens and \\"swapped_in and \\"region_indices"}']


@pytest.mark.parametrize("body", FOREIGN)
def test_an_answer_of_another_server_is_no_answer(ask, body):
    previous = {"previous": [0]}
    for name, arguments in [
            ("prune", ARGUMENTS), ("localize", {"attention": ARGUMENTS["attention"], "layout": layouts.grid(2, 2)}),
            ("compress", {"image_features": np.ones((4, 2), np.float32), "layout": layouts.raw(4), "keep_tokens": 1}),
            ("compare", {**ARGUMENTS, "methods": ["topk"]} | {"method": None}), ("plan", {"layout": layouts.raw(4), "keep_tokens": 1}),
            ("reselect", {"attention": ARGUMENTS["attention"], "layout": layouts.raw(4), **previous})]:
        with Scripted(response(body, 200, "Content-Type: text/x")) as server, pytest.raises(ProtocolError, match="no answer of crop.*text/x"):
            ask(server.url, name, arguments).raw  # noqa: B018
    for name in ("methods", "models"):
        with Scripted(response(body)) as server, pytest.raises(ProtocolError, match="no answer of crop"):
            ask(server.url, name)
    with Scripted(response(body)) as server:
        assert not ask(server.url, "is_ready")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirections_are_named(ask, status):
    there = "https://elsewhere.example/crop/methods"
    with Scripted(response(b"<html>moved", status, f"Location: {there}")) as server:
        with pytest.raises(ProtocolError, match=f"{status} .*{there}"):
            ask(server.url)
    assert len(server.requests) == 1
    with Scripted(response(b"", 304)) as server, pytest.raises(ProtocolError, match="304"):
        ask(server.url)


def test_pages_of_other_servers_are_quoted(ask):
    with Scripted(response(b"<html>no such page", 404)) as server, pytest.raises(NotFound, match="no such page"):
        ask(server.url)


# Too slow.


def test_a_request_that_came_too_slowly_is_sent_again(ask):
    late = response(b'{"type": "/problems/timed-out", "status": 408, "error": "too slow"}', 408)
    with Scripted(late, late, response()) as server:
        assert ask(server.url) == []
        # On a new connection each time, although the server did not say that it would close.
        assert len(server.requests) == server.connections == 3
    with Scripted(late, late) as server, pytest.raises(Overloaded, match="too slow") as caught:
        ask(server.url, retries=1)
    assert caught.value.status == 408


def test_pauses_grow_to_two_seconds_and_no_further():
    assert 1 <= pause(5000, None, 60) <= 2 and pause(5000, 0, 60) == 0
