"""Servers on the loopback for tests/stages/windows: HTTP with any status, TLS with two certificates and names."""
import http.server
import socket
import ssl
import struct
import sys
import threading

folder = sys.argv[1]


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = int(self.path.strip("/") or 200) if self.path.strip("/").isdigit() or self.path == "/" else 404
        body = b"hello\n"
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def web(port, certificate=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Page)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/{certificate}.pem", f"{folder}/{certificate}.key")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def names():
    """Answers A for works.example, and NXDOMAIN for all else (RFC 1035)."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    while True:
        query, client = server.recvfrom(4096)
        end = query.index(b"\0", 12) + 5
        question, kind = query[12:end], struct.unpack("!H", query[end - 4 : end - 2])[0]
        is_known = question[:-4].lower() == b"\x05works\x07example\0"
        answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01" if is_known and kind == 1 else b""
        head = query[:2] + struct.pack("!HHHHH", 0x8580 | (0 if is_known else 3), 1, 1 if answer else 0, 0, 0)
        server.sendto(head + question + answer, client)


web(8080)
web(8443, "good")
web(8444, "expired")
print("ready", flush=True)
names()
