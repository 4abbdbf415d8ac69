"""A gRPC app: /app.App/Call answers with the app's name; GET /health is for its sidecar's check.

Arguments: its name. Prints the ports of both. On SIGTERM it ends at once, as apps do that nobody taught better.
"""

import signal
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer

import grpc

name = sys.argv[1]


class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


server = grpc.server(futures.ThreadPoolExecutor(4))
call = grpc.unary_unary_rpc_method_handler(lambda request, context: name.encode())
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("app.App", {"Call": call}),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
health = HTTPServer(("127.0.0.1", 0), Health)
threading.Thread(target=health.serve_forever, daemon=True).start()
print(f"health addr=127.0.0.1:{health.server_port}", flush=True)
print(f"listening addr=127.0.0.1:{port}", flush=True)
signal.sigwait([signal.SIGTERM])
