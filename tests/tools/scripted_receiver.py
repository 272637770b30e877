"""A receiver of webhooks that does as it is told, for tests.

    receiver = Receiver()
    receiver.script("/path", [status(500), drop_after(), status(200)])
    ... receiver.url("/path") ...
    receiver.requests("/path")

Each request to a path takes the next step of its script; the last one repeats, and
without a script the answer is 200. Requests are recorded before they are answered, with
their raw body, and calls of `hook`, if it is set, come before that.
"""
import base64
import hashlib
import hmac
import socket
import ssl
import threading
import time


class Request:
    def __init__(self, path, headers, body, at, connection):
        self.path, self.headers, self.body, self.at, self.connection = path, headers, body, at, connection

    @property
    def id(self):
        return self.headers.get("webhook-id")

    def signed_by(self, secret):
        """Is one of its signatures right?  secret: the raw bytes."""
        content = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        wanted = "v1," + base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
        return wanted in self.headers["webhook-signature"].split(" ")


# ---- steps: functions of (receiver, socket, request); true: the connection goes on ----

def status(code, headers=None, body=b""):
    def step(_, sock, __):
        lines = [f"HTTP/1.1 {code} Scripted", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return True
    return step


def endless():
    """A body without end, until the other side hangs up."""
    def step(receiver, sock, _):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not receiver.released.is_set():
            sock.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
        return False
    return step


def drop_after():
    """The request was read; no answer."""
    return lambda *_: False


def reset_after():
    """The same, by RST."""
    def step(_, sock, __):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return False
    return step


def half_status_line():
    def step(_, sock, __):
        sock.sendall(b"HTTP/1.1 2")
        return False
    return step


def status_then_stall():
    """A whole header, a body that never comes."""
    def step(receiver, sock, _):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        receiver.released.wait(60)
        return False
    return step


def stall():
    """No answer until release()."""
    def step(receiver, *_):
        receiver.released.wait(60)
        return False
    return step


class Receiver:
    def __init__(self, address="127.0.0.1", certificate=None):
        """certificate: a file with certificate and key; then it speaks TLS."""
        self.hook = None
        self.released = threading.Event()
        self._scripts, self._requests = {}, []
        self._lock = threading.Lock()
        self._connections = 0
        self._context = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, 0))
        self._listener.listen(256)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path, host="127.0.0.1"):
        return f"{'https' if self._context else 'http'}://{host}:{self.port}{path}"

    def script(self, path, steps):
        with self._lock:
            self._scripts[path] = list(steps)

    def requests(self, path=None):
        with self._lock:
            return [r for r in self._requests if path in (None, r.path)]

    def connections(self):
        with self._lock:
            return self._connections

    def release(self):
        """Ends every stall."""
        self.released.set()

    def close(self):
        self.release()
        self._listener.close()

    # ---- below: one thread for each connection ----

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections += 1
                number = self._connections
            threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, sock, number):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context:
                sock = self._context.wrap_socket(sock, server_side=True)
            stream = sock.makefile("rb")
            while True:
                request = self._read(stream, number)
                if not request or not self._next_step(request)(self, sock, request):
                    break
        except (OSError, ssl.SSLError, ValueError):
            pass
        finally:
            # a stream that is still open would keep the connection open
            try:
                stream.close()
            except (OSError, UnboundLocalError):
                pass
            sock.close()

    def _read(self, stream, number):
        line = stream.readline()
        if not line:
            return None
        path = line.split()[1].decode()
        headers = {}
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("utf-8", "replace").partition(":")
            headers[name.strip().lower()] = value.strip()
        request = Request(path, headers, b"", time.monotonic(), number)
        if self.hook:
            self.hook(request)
        request.body = stream.read(int(headers.get("content-length", "0")))
        with self._lock:
            self._requests.append(request)
        return request

    def _next_step(self, request):
        path = request.path.partition("?")[0]
        with self._lock:
            steps = self._scripts.get(path)
            if not steps:
                return status(200)
            return steps.pop(0) if len(steps) > 1 else steps[0]
