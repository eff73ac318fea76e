"""Where the server is: a TCP port, with or without TLS, or a Unix socket. Goes to other processes as it is."""
import dataclasses
import pathlib
import socket
import ssl
import sys

BLACK_BOX = pathlib.Path(__file__).resolve().parents[1] / "BlackBox"
if str(BLACK_BOX) not in sys.path:
    sys.path.insert(0, str(BLACK_BOX))


@dataclasses.dataclass(frozen=True)
class Endpoint:
    port: int = 0
    unix_path: str = ""
    #: The certificate that clients trust; empty for plain HTTP.
    certificate: str = ""

    def dial_plain(self, timeout, receive_buffer=0):
        family = socket.AF_UNIX if self.unix_path else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            if receive_buffer:
                # Before connecting: the window is agreed on then.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            connection.connect(self.unix_path or ("127.0.0.1", self.port))
            if not self.unix_path:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            connection.close()
            raise
        return connection

    def dial(self, timeout, receive_buffer=0):
        """A connected socket; with TLS once the handshake is done."""
        connection = self.dial_plain(timeout, receive_buffer)
        if not self.certificate:
            return connection
        try:
            return _context(self.certificate).wrap_socket(connection, server_hostname="localhost")
        except BaseException:
            connection.close()
            raise


_contexts = {}


def _context(certificate):
    if certificate not in _contexts:
        _contexts[certificate] = ssl.create_default_context(cafile=certificate)
    return _contexts[certificate]
