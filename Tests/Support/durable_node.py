"""What the scripts about durability share: a node as a child process, and talking to it.

Standard library only. A node is started on a port of the kernel's choice and is ready when
/ready says so; its log goes to a file.
"""
import json
import os
import re
import signal
import socket
import subprocess
import time

TIMEOUT_S = 30


class Failure(Exception):
    """What a test found; the text is for a person."""


class Node:
    """One run of the binary."""

    def __init__(self, binary, directory, *options, env=None, log=None, shards=None):
        self.directory = directory
        self.log_path = log or directory.rstrip("/") + ".log"
        words = [binary, "127.0.0.1:0", "--dir", directory, *options]
        if shards:
            words += ["--shards", str(shards)]
        self.log_start = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log_file:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file,
                env={"PATH": os.environ["PATH"], **(env or {})})
        self.port = None

    def log(self):
        with open(self.log_path, "rb") as file:
            file.seek(self.log_start)
            return file.read().decode(errors="replace")

    def wait_ready(self):
        """Until the files are read and /ready is 200, and answers self."""
        self.wait_listening()
        connection = Connection(self)
        until(lambda: connection.ask("GET", "/ready").status == 200, "the node is not ready",
              self)
        connection.close()
        return self

    def wait_listening(self):
        def found():
            if self.process.poll() is not None:
                raise Failure(f"the node ended with {self.process.returncode}:\n{self.log()}")
            match = re.search(r" listening .*?addr=127\.0\.0\.1:(\d+)", self.log())
            if match:
                self.port = int(match[1])
            return match
        until(found, "the node does not listen", self)
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def drain(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"SIGTERM did not end the node:\n{self.log()}") from None
        if code != 0:
            raise Failure(f"SIGTERM ended the node with {code}:\n{self.log()}")

    def end(self):
        if self.process.poll() is None:
            self.kill()


def until(condition, what, node=None, seconds=TIMEOUT_S, pause=0.002):
    """Waits for the thing; gives up loudly."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failure(what + (f"; its log:\n{node.log()}" if node else ""))
        time.sleep(pause)


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:200]!r}"


def request(method, path, body=None, token=None, headers=()):
    """The bytes of a request; a body that is not bytes becomes JSON."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body, separators=(",", ":")).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: node"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    lines += headers
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


class Connection:
    """A connection on which requests may be pipelined: `send` any number, `read` as many."""

    def __init__(self, node, timeout=TIMEOUT_S):
        self.socket = socket.create_connection(("127.0.0.1", node.port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = bytearray()

    def send(self, data):
        self.socket.sendall(data)

    def read(self):
        """The next answer. ConnectionError when there is none any more."""
        answer = self.head()
        if answer.headers.get("transfer-encoding") == "chunked":
            answer.body = b"".join(self._chunks())
        else:
            answer.body = self._take(int(answer.headers.get("content-length", 0)))
        return answer

    def head(self):
        """The next answer without its body."""
        while True:
            end = self.unread.find(b"\r\n\r\n")
            if end >= 0:
                break
            self._more()
        lines = self.unread[:end].decode().split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        del self.unread[:end + 4]
        return Answer(int(lines[0].split(" ")[1]), headers, b"")

    def lines(self, head):
        """The lines of an endless body."""
        chunks = self._chunks() if head.headers.get("transfer-encoding") == "chunked" \
            else self._pieces()
        rest = b""
        for piece in chunks:
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines

    def ask(self, method, path, body=None, token=None, headers=()):
        self.send(request(method, path, body, token, headers))
        return self.read()

    def expect(self, status, method, path, body=None, token=None, headers=()):
        answer = self.ask(method, path, body, token, headers)
        if answer.status != status:
            raise Failure(f"{method} {path} was answered {answer}, not {status}")
        return answer

    def token(self, user, secret):
        return self.expect(200, "POST", f"/auth/{user}", {"secret": secret}).json["token"]

    def close(self):
        self.socket.close()

    def line(self):
        """The next line, without its end."""
        while (end := self.unread.find(b"\r\n")) < 0:
            self._more()
        return self.take(end + 2)[:-2]

    def take(self, count):
        return self._take(count)

    def _more(self):
        piece = self.socket.recv(1 << 18)
        if not piece:
            raise ConnectionError("closed")
        self.unread += piece

    def _take(self, count):
        while len(self.unread) < count:
            self._more()
        taken = bytes(self.unread[:count])
        del self.unread[:count]
        return taken

    def _pieces(self):
        while True:
            if not self.unread:
                self._more()
            yield self._take(len(self.unread))

    def _chunks(self):
        while True:
            while (end := self.unread.find(b"\r\n")) < 0:
                self._more()
            count = int(self.unread[:end], 16)
            del self.unread[:end + 2]
            piece = self._take(count)
            self._take(2)
            if count == 0:
                return
            yield piece


def find_binary(given, top):
    """The binary to test: as given, or the release build of this tree."""
    path = given or os.path.join(top, ".build/release/needletail")
    if not os.access(path, os.X_OK):
        raise SystemExit(f"{path} is missing; run ./dev build, or give --binary PATH")
    return os.path.abspath(path)


def has_uring(binary, directory):
    """Whether --io uring starts here: container runtimes refuse it."""
    node = Node(binary, directory, "--io", "uring", shards=1)
    try:
        node.wait_listening()
        return True
    except Failure:
        return False
    finally:
        node.end()
