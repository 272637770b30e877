"""A receiver of webhooks that breaks a connection at a chosen phase, for tests.

    receiver = PhaseReceiver([("whole", RESET)])
    ... receiver.url ...
    receiver.began(), receiver.whole()

Each connection takes the next (phase, manner) of the list; those beyond it are answered
with 200, request after request. It counts for itself, by the bytes that it read: requests
of which it saw anything, and those that it read to their end.
"""
import socket
import ssl
import struct
import threading

CLOSE, RESET, STALL = "closes", "resets", "stalls"

# What came before is done, and then it happens. With "large", the request must not fit
# into the buffers of the sockets.
PHASES = {
    "accept": "when it has accepted",
    "handshake": "in the midst of the TLS handshake",
    "secured": "after the TLS handshake",
    "half": "after half of the request (large)",
    "whole": "after the whole request",
    "status": "after half of the status line",
    "headers": "within the headers of its answer",
    "body": "within the body of its answer",
    "keep": "after an answer that keeps the connection",
    "second": "after the second request of a connection",
}
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class PhaseReceiver:
    def __init__(self, script, certificate=None, answers=(200,)):
        """certificate: a file with certificate and key; then it speaks TLS. answers: what is said at
        phase "body", connection by connection; the last one repeats."""
        self.released = threading.Event()
        self._script, self._answers = list(script), list(answers)
        self._lock = threading.Lock()
        self._began, self._whole, self._connections = 0, [], 0
        self._context = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._listener = socket.socket()
        if any(phase == "half" for phase, _ in script):
            # inherited by its connections: else a request of any size would be with the kernel at once
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        port = self._listener.getsockname()[1]
        self.url = f"https://localhost:{port}/" if certificate else f"http://127.0.0.1:{port}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def began(self):
        """Requests of which at least a byte was read."""
        with self._lock:
            return self._began

    def whole(self):
        """The webhook-id of each request that was read to its end."""
        with self._lock:
            return list(self._whole)

    def connections(self):
        with self._lock:
            return self._connections

    def refuse(self):
        """No connection any more; those that exist stay."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close(self):
        self.released.set()
        self._listener.close()

    # ---- below: one thread for each connection ----

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                step = self._script.pop(0) if self._script else (None, None)
                answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                self._connections += 1
            threading.Thread(target=self._serve, args=(sock, *step, answer), daemon=True).start()

    def _serve(self, sock, phase, manner, answer):
        broken = [sock]
        try:
            self._play(broken, phase, answer)
            if manner == STALL:
                self.released.wait(60)
        except (OSError, ValueError):
            pass
        sock = broken[0]
        if manner == RESET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def _play(self, sock, phase, answer):
        """Returns when the phase has come. sock: a list, for TLS puts another one there."""
        if phase == "accept":
            return
        if phase == "handshake":
            sock[0].recv(5)
            sock[0].sendall(b"\x16\x03\x03\x00\x7a\x02")
            return
        if self._context:
            sock[0] = self._context.wrap_socket(sock[0], server_side=True)
        if phase == "secured":
            return
        number = 0
        while self._read(sock[0], phase):
            number += 1
            if phase in ("half", "whole") or (phase == "second" and number == 2):
                return
            if phase == "status":
                sock[0].sendall(b"HTTP/1.1 2")
                return
            if phase == "headers":
                sock[0].sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
                return
            if phase == "body":
                sock[0].sendall(b"HTTP/1.1 %d Said\r\nContent-Length: 10\r\n\r\nabc" % answer)
                return
            sock[0].sendall(ANSWER)
            if phase == "keep":
                return

    def _read(self, sock, phase):
        """A request; false if there is none."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(1024)
            if not more:
                return False
            if not data:
                with self._lock:
                    self._began += 1
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        left = int(headers[b"content-length"]) - len(body)
        if phase == "half":
            left //= 2
        while left > 0:
            more = sock.recv(min(left, 65536))
            if not more:
                return False
            left -= len(more)
        if phase != "half":
            with self._lock:
                self._whole.append(headers[b"webhook-id"].decode())
        return True
