"""One notebook in an interpreter of its own: its cells, then the questions about its names."""

import socket
import sys

from .host import Host
from .shell import new_shell, run
from .wire import pack, receive, send, unpack


def main() -> None:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as link:
        shell = new_shell()
        send(link, b".")
        try:
            send(link, pack(run(shell, unpack(receive(link)))))
            host = Host(shell.user_ns)
            while True:
                send(link, host.answer(receive(link)))
        except (EOFError, ConnectionError):
            pass  # the other side has heard enough
