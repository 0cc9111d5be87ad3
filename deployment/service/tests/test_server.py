"""The listening socket."""

import socket

from ia_service.server import listen


def test_an_answer_does_not_wait_until_the_client_has_acknowledged_its_headers() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
