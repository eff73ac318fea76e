"""Certificates for one test run, made by the openssl command; no private key is ever kept."""
import pathlib
import ssl
import subprocess

CONFIGURATION = """
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:localhost, IP:127.0.0.1
"""


def openssl(*arguments, stdin=b"", check=True):
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, timeout=30)
    assert not check or done.returncode == 0, done.stderr.decode()
    return done


class Issued:
    """A certificate and its key; `files` for programs that want both names."""

    def __init__(self, folder, name, issuer=None, algorithm="ec"):
        self.name = name
        self.certificate = pathlib.Path(folder) / f"{name}.pem"
        self.key = pathlib.Path(folder) / f"{name}.key"
        configuration = pathlib.Path(folder) / f"{name}.cnf"
        configuration.write_text(CONFIGURATION.format(name=name))
        kind = {"ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["-newkey", "rsa:2048"]}
        signer = ["-CA", issuer.certificate, "-CAkey", issuer.key] if issuer else []
        openssl("req", "-x509", *kind[algorithm], "-noenc", "-config", configuration, "-days", "30",
                "-extensions", "leaf" if issuer else "authority", *signer,
                "-keyout", self.key, "-out", self.certificate)

    @property
    def flags(self):
        """What makes a server use it."""
        return ("--tls-cert", self.certificate, "--tls-key", self.key)

    def copy_to(self, certificate, key):
        """As a renewal does it: the files change under their names."""
        certificate.write_bytes(self.certificate.read_bytes())
        key.write_bytes(self.key.read_bytes())


def client_context(authority, user=None, version=None):
    """What a careful Python client uses."""
    context = ssl.create_default_context(cafile=authority.certificate)
    if user:
        context.load_cert_chain(user.certificate, user.key)
    if version:
        context.minimum_version = context.maximum_version = version
    return context
