"""TCP proxies on the loopback, between a program and a server, whose line can be cut.

    line = proxy.Proxy((host, port))     clients connect to line.port
    line.stall()       silence: nothing is read, written or closed any more
    line.resume()      what was on its way arrives
    line.forget()      new connections pass; those of before stay silent for ever,
                       as behind a router that has lost its state
    line.cut()         all connections end by a reset, and new ones are refused
    line.hang_up()     the same, but new ones are accepted and then end by a reset
    line.resume()

A KafkaProxy knows the frames of Kafka's protocol and can keep one back. The broker
behind it advertises the proxy's address (dev/kafka --proxy-port); nothing of what
passes is changed.
"""
import select
import socket
import struct
import threading
import time

import tap

END_TXN = 26


def reset(connection):
    """Closes it with a RST: as soon as no select(2) looks at it any more."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    connection.close()


def finish(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()


class Line:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.open = threading.Event()  # else it is silent
        self.open.set()
        self.ended = False
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def end(self, how=finish):
        self.ended = True
        self.open.set()  # for those that wait
        how(self.client)
        how(self.server)


class Proxy:
    def __init__(self, target=None):
        self.target = target
        self.lock = threading.Lock()
        self.lines = []
        self.silent = self.rude = False
        self.accepted = []  # when
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()
        tap.at_exit(self.close)

    # ---- what tests do ----

    def stall(self):
        with self.lock:
            self.silent = True
            for line in self.lines:
                line.open.clear()

    def forget(self):
        """After stall()."""
        with self.lock:
            self.silent = False
            self.lines = []

    def cut(self):
        with self.lock:
            listener, self.listener = self.listener, None
            lines, self.lines = self.lines, []
        if listener:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept(2)
            listener.close()
            # bound and not listening: refused, and nobody else gets the port
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", self.port))
        for line in lines:
            line.end(reset)

    def hang_up(self):
        with self.lock:
            self.rude = True
            lines, self.lines = self.lines, []
        self.listen()
        for line in lines:
            line.end(reset)

    def resume(self):
        with self.lock:
            self.silent = self.rude = False
            for line in self.lines:
                line.open.set()
        self.listen()

    def listen(self):
        if not self.listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            self.listener.listen(128)
            threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def close(self):
        with self.lock:
            lines, self.lines = self.lines, []
        self.listener.close()
        for line in lines:
            line.end()

    # ---- what it does ----

    def accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.accepted.append(time.monotonic())
            threading.Thread(target=self.join, args=(client,), daemon=True).start()

    def join(self, client):
        if self.rude:
            reset(client)
            return
        while self.silent:  # the handshake is the kernel's, but nobody answers
            time.sleep(0.05)
        try:
            server = socket.create_connection(self.target, timeout=10)
            server.settimeout(None)
        except OSError:
            reset(client)
            return
        line = Line(client, server)
        with self.lock:
            if self.silent:
                line.open.clear()
            self.lines.append(line)
        threading.Thread(target=self.carry, args=(line, client, server, self.take_sent), daemon=True).start()
        threading.Thread(target=self.carry, args=(line, server, client, self.take_answered), daemon=True).start()

    def carry(self, line, source, sink, take):
        """From one end to the other, until either closes."""
        try:
            while not line.ended:
                line.open.wait()
                if not select.select([source], [], [], 0.2)[0]:
                    continue
                line.open.wait()
                data = take(line, source)
                if data is None:
                    break
                line.open.wait()
                if data:
                    sink.sendall(data)
        except (OSError, ValueError):
            pass
        self.end_line(line, source)

    def end_line(self, line, source):
        line.end()
        with self.lock:
            if line in self.lines:
                self.lines.remove(line)

    # What came from there: None when it has closed.

    def take_sent(self, line, source):
        return source.recv(65536) or None

    def take_answered(self, line, source):
        return source.recv(65536) or None


def receive(connection, size):
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError
        data += part
    return data


def receive_frame(connection):
    head = receive(connection, 4)
    return head + receive(connection, struct.unpack(">i", head)[0])


def target_of(directory):
    """Of a broker that dev/kafka has started with --proxy-port."""
    with open(directory + "/proxy-target", encoding="ascii") as f:
        host, _, port = f.read().strip().partition(":")
    return host, int(port)


class KafkaProxy(Proxy):
    """Keeps back one EndTxn request, until release()."""

    def __init__(self, target=None):
        super().__init__(target)
        self.ends_sent = 0
        self.hold_at = None     # keep back the EndTxn with this number
        self.kept = None        # (its line, the frame)
        self.reply = None       # the broker's to it
        self.answered = threading.Event()
        self.open_ends = set()  # (line, correlation id) of those without an answer
        self.after_end = None   # called once, when the client has been handed the next answer to an EndTxn

    def hold(self, count=1):
        """The EndTxn that comes then: 1 is the next."""
        self.kept = self.reply = None
        self.answered.clear()
        self.hold_at = self.ends_sent + count

    def release(self, deadline=30):
        """The kept one goes on to the broker; True when that has answered it."""
        line, frame = self.kept
        line.server.sendall(frame)
        return self.answered.wait(deadline)

    def answer(self):
        """The error code in the broker's reply, version 0 or 1: after the size, the
        correlation id and the throttle time."""
        return struct.unpack(">h", self.reply[12:14])[0]

    def keeps(self, line):
        return self.kept is not None and self.kept[0] is line

    def take_sent(self, line, source):
        if self.keeps(line):
            return b"" if source.recv(65536) else None  # until the client gives up
        frame = receive_frame(source)
        if struct.unpack(">h", frame[4:6])[0] != END_TXN:
            return frame
        self.ends_sent += 1
        if self.ends_sent != self.hold_at:
            self.open_ends.add((line, frame[8:12]))
            return frame
        self.kept = (line, frame)
        return b""

    def end_line(self, line, source):
        """The client of the kept request has given up, its way to the broker stays."""
        if self.keeps(line) and source is line.client:
            finish(line.client)
        else:
            super().end_line(line, source)

    def take_answered(self, line, source):
        frame = receive_frame(source)
        if self.keeps(line):
            self.reply = frame
            self.answered.set()
            return b""
        if (line, frame[4:8]) in self.open_ends:
            self.open_ends.remove((line, frame[4:8]))
            hook, self.after_end = self.after_end, None
            if hook:
                line.client.sendall(frame)
                hook()
                return b""
        return frame
