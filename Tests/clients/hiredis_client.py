"""Starts a node for a compiled client: hiredis_client.py PROGRAM."""
import subprocess
import sys

from node import Node

node = Node("--shards", "2")
try:
    sys.exit(subprocess.run([sys.argv[1], str(node.port)], timeout=120).returncode)
finally:
    node.remove()
