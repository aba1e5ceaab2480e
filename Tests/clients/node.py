"""A node as a child process, on a free port and in a directory of its own."""
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request


def free_port():
    """A port that the kernel gives to nobody. While a node is away a client that keeps trying may be
    given the node's own port to connect from, and then sits on it."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as numbers:
        end = int(numbers.read().split()[0])
    while True:
        port = random.randrange(min(20_000, end - 2000), end)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Node:
    def __init__(self, *options):
        self.options = list(options)
        self.directory = tempfile.mkdtemp(prefix="needletail-clients-")
        self.port = free_port()
        self.process = None
        self.start()

    def start(self):
        io = os.environ.get("NEEDLETAIL_IO")
        command = [
            os.environ["NEEDLETAIL_BINARY"], f"127.0.0.1:{self.port}", "--dir", self.directory,
            *(["--io", io] if io else []), *self.options]
        log = os.path.join(self.directory, "log")
        with open(log, "ab") as errors:
            start = errors.tell()
            self.process = subprocess.Popen(
                command, stderr=errors, env={**os.environ, "ADMIN_PASSWORD": "the operator's"})
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with open(log, "rb") as lines:
                lines.seek(start)
                found = re.search(rb"listening addr=[0-9.]+:(\d+)", lines.read())
            if found:
                self.port = int(found[1])
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        with open(log) as lines:
            raise RuntimeError("the node did not start: " + lines.read())

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(15)

    def restart(self, how=signal.SIGTERM):
        self.stop(how)
        self.start()

    def remove(self):
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def ask(self, method, path, body=None, token=None):
        """Status and JSON."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = "Bearer " + token
        request = urllib.request.Request(
            f"http://{self.address}{path}", method=method, headers=headers,
            data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def token(self, user):
        status, answer = self.ask("POST", f"/auth/{user}", {"secret": f"{user}'s secret"})
        assert status == 200, answer
        return answer["token"]

    def put(self, path, value, token):
        status, answer = self.ask("PUT", path, {"value": value}, token)
        assert status == 201, answer
        return answer


failures = 0


def report(name, error=None):
    """One line a test, as `run` counts them."""
    global failures
    if error is None:
        print("ok", name, flush=True)
        return
    failures += 1
    print("FAIL", name, flush=True)
    traceback.print_exception(error, file=sys.stdout)


def name_of(test):
    return test.__name__.replace("_", " ")
