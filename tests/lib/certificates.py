"""For the tests of secure connections: a private CA, and what it signs.

    ca = certificates.Authority(directory)
    server = ca.issue("server", "DNS:localhost")
    server.certificate, server.key, server.both    # paths of PEM files
"""
import os
import subprocess


class Issued:
    """A certificate with its key; `both` is one file with the two, as Kafka wants it."""

    def __init__(self, path):
        self.certificate, self.key, self.both = path + ".crt", path + ".key", path + ".pem"


def openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")


def new_key(path):
    """An EC key: an RSA one takes its time."""
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    os.chmod(path, 0o600)


class Authority:
    def __init__(self, directory, name="ca"):
        os.makedirs(directory, exist_ok=True)
        self.directory = directory
        self.certificate, self.key = f"{directory}/{name}.crt", f"{directory}/{name}.key"
        new_key(self.key)
        openssl("req", "-x509", "-new", "-key", self.key, "-subj", f"/CN=outbox test {name}", "-days", "2",
                "-out", self.certificate)

    def issue(self, name, names="DNS:localhost", days=2):
        """names: as in subjectAltName. With days below 0 it has expired."""
        made = Issued(f"{self.directory}/{name}")
        new_key(made.key)
        openssl("req", "-new", "-key", made.key, "-subj", f"/CN={name}", "-out", made.certificate + ".req")
        with open(made.certificate + ".ext", "w", encoding="utf-8") as f:
            f.write(f"subjectAltName={names}\n")
        openssl("x509", "-req", "-in", made.certificate + ".req", "-CA", self.certificate, "-CAkey", self.key,
                "-CAcreateserial", "-days", str(days), "-extfile", made.certificate + ".ext",
                "-out", made.certificate)
        with open(made.both, "w", encoding="utf-8") as both:
            os.chmod(made.both, 0o600)
            for part in (made.key, made.certificate):
                with open(part, encoding="utf-8") as f:
                    both.write(f.read())
        return made
