"""Calls a service, so often a second, until SIGTERM: by its name alone (xds:///NAME), or through a gateway.

Arguments: the service, calls a second, perhaps the gateway's address. Prints a line for each call: "ok NAME" or "failed WHY".
"""

import signal
import sys
import threading
import time

import grpc

service, rate = sys.argv[1], float(sys.argv[2])
target = sys.argv[3] if len(sys.argv) > 3 else f"xds:///{service}"
ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
with grpc.insecure_channel(target, options=[("grpc.default_authority", service)]) as channel:
    call = channel.unary_unary("/app.App/Call")
    due = time.monotonic()
    while not ended.is_set():
        try:
            print("ok", call(b"", timeout=5, wait_for_ready=False).decode(), flush=True)
        except grpc.RpcError as error:
            print("failed", error.code(), error.details(), flush=True)
        due += 1 / rate
        time.sleep(max(0, due - time.monotonic()))
