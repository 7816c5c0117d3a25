#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTP/1.1 proxy before a server that does what networks and servers do on bad days.

PUT /-/faults takes a JSON list and forgets what was seen; GET /-/requests gives what was seen since,
as JSON list of {"request": "PUT /bucket/key", "headers": {...}, "status": 200}; status 0 had no reply.

A fault: {"action": ..., "method": "PUT", "match": "partNumber=2", "header": "if-none-match",
"skip": 0, "times": 1, ...}. It strikes requests that fit its method, contain `match` in their target
and have `header`, after the first `skip` ones, `times` times. Actions:
  reply      answers with `status`, `body`, `headers`, instead of the server
  reset      takes `bytes` bytes of the request's body, then resets the connection
  drop       lets the server carry it out, then resets the connection instead of the reply
  cut        passes `bytes` bytes of the reply's body, then closes; with "reset": true, resets
  stall      passes `bytes` bytes of the reply's body, then nothing for `seconds`
  trickle    passes the reply's body a byte every `seconds`
  rewrite    gives the reply other `headers`
"""
import asyncio
import contextlib
import http.client
import json
import socket
import struct
import sys


class Exchange:
    """A request and, later, its reply."""

    def __init__(self, head):
        line, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.line = line
        self.method, self.target, _ = line.split(" ", 2)
        self.headers = parse_headers(rest)
        self.record = {"request": f"{self.method} {self.target}", "headers": self.headers,
                       "status": 0}


def parse_headers(lines):
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, value in pairs}


def head_bytes(line, headers):
    lines = [line, *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def reset(writer):
    """Ends the connection with a RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                               struct.pack("ii", 1, 0))
    writer.transport.abort()


class Ended(Exception):
    """The client's connection is over."""


class Proxy:
    def __init__(self, upstream_port):
        self.upstream_port = upstream_port
        self.faults = []
        self.seen = []

    def find_fault(self, exchange):
        for fault in self.faults:
            if (fault.get("method", exchange.method) == exchange.method
                    and fault.get("match", "") in exchange.target
                    and fault.get("header", "host") in exchange.headers):
                if fault.get("skip", 0) > 0:
                    fault["skip"] -= 1
                elif fault.get("times", 1) > 0:
                    fault["times"] = fault.get("times", 1) - 1
                    return fault
        return {"action": "none"}

    async def serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                exchange = Exchange(head)
                if exchange.target.startswith("/-/"):
                    await self.control(exchange, reader, writer)
                    continue
                self.seen.append(exchange.record)
                await self.pass_on(exchange, reader, writer)
        except (Ended, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def control(self, exchange, reader, writer):
        body = await reader.readexactly(int(exchange.headers.get("content-length", 0)))
        if exchange.target == "/-/faults":
            self.faults = json.loads(body)
            self.seen = []
        await answer(writer, 200, json.dumps(self.seen).encode(), {})

    async def pass_on(self, exchange, reader, writer):
        fault = self.find_fault(exchange)
        size = int(exchange.headers.get("content-length", 0))
        if fault["action"] == "reset":
            await reader.readexactly(min(size, fault.get("bytes", 0)))
            reset(writer)
            raise Ended
        body = await reader.readexactly(size)
        if fault["action"] == "reply":
            exchange.record["status"] = fault["status"]
            await answer(writer, fault["status"], fault.get("body", "").encode(),
                         fault.get("headers", {}))
            return
        status, headers, reply = await asyncio.to_thread(self.ask, exchange, body)
        if fault["action"] == "drop":
            reset(writer)
            raise Ended
        exchange.record["status"] = status
        headers.update(fault.get("headers", {}))
        writer.write(head_bytes(f"HTTP/1.1 {status} Passed On", headers))
        await self.send_body(reply, fault, writer)

    def ask(self, exchange, body):
        """The server's whole reply: its status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream_port, timeout=60)
        try:
            connection.putrequest(exchange.method, exchange.target, skip_host=True,
                                  skip_accept_encoding=True)
            for name, value in exchange.headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            # The server may refuse it unread; its reply is there nevertheless.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(body)
            reply = connection.getresponse()
            headers = {name.lower(): value for name, value in reply.getheaders()}
            data = reply.read()
        finally:
            connection.close()
        headers.pop("connection", None)
        if headers.pop("transfer-encoding", None):
            headers["content-length"] = str(len(data))
        return reply.status, headers, data

    async def send_body(self, body, fault, writer):
        first = min(len(body), fault.get("bytes", len(body)))
        if fault["action"] == "trickle":
            for byte in body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(fault["seconds"])
            return
        writer.write(body[:first])
        await writer.drain()
        if fault["action"] == "stall":
            await asyncio.sleep(fault["seconds"])
        if fault["action"] in ("cut", "stall"):
            if fault.get("reset"):
                await asyncio.sleep(0.2)  # or the bytes before it are lost too
                reset(writer)
            raise Ended


async def answer(writer, status, body, headers):
    fields = {"content-length": str(len(body)), **headers}
    writer.write(head_bytes(f"HTTP/1.1 {status} As Told", fields) + body)
    await writer.drain()


async def main(upstream_port):
    proxy = Proxy(upstream_port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)  # the test reads the port
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
