"""Calls a service by its name alone (xds:///NAME), so often a second, until SIGTERM.

Arguments: the service, calls a second. Prints a line for each call: "ok NAME" or "failed WHY".
"""

import signal
import sys
import threading
import time

import grpc

service, rate = sys.argv[1], float(sys.argv[2])
ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
with grpc.insecure_channel(f"xds:///{service}") as channel:
    call = channel.unary_unary("/app.App/Call")
    due = time.monotonic()
    while not ended.is_set():
        try:
            print("ok", call(b"", timeout=5, wait_for_ready=False).decode(), flush=True)
        except grpc.RpcError as error:
            print("failed", error.code(), error.details(), flush=True)
        due += 1 / rate
        time.sleep(max(0, due - time.monotonic()))
