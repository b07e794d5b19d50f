"""A station of a network: sends the frames that it is told to send, without asking anybody's leave, and tells what
it hears. `packets.py INTERFACE`; a line of words on standard input is a request, the answer ends with a line `.`.

    send HEX            sends this frame
    hear HEX            all frames that have come, up to one that contains this; `deaf` last if none does in a second
    connect ADDRESS     connects to the station there (TCP, port 7777): `connected`, or the kernel's error
    flood MAC COUNT     sends COUNT frames to everybody, each from a MAC of its own; MAC is that of a first one

All stations run on one processor: what one has sent is dealt with before what another one sends later.
"""

import errno
import os
import socket
import struct
import sys
import time

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
interface = sys.argv[1]
ALL, PORT = 3, 7777
SO_BINDTODEVICE, SO_RCVBUFFORCE = 25, 33

link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
link.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
link.bind((interface, ALL))

server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, interface.encode())
server.bind(("", PORT))
server.listen(100)


def forget_that_it_was_down():
    link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def send(frame):
    forget_that_it_was_down()
    link.send(bytes.fromhex(frame))
    return []


def hear(last):
    last = bytes.fromhex(last)
    heard, deadline = [], time.monotonic() + 1
    forget_that_it_was_down()
    while (left := deadline - time.monotonic()) > 0:
        link.settimeout(left)
        try:
            frame, source = link.recvfrom(4096)
        except TimeoutError:
            break
        if source[2] == socket.PACKET_OUTGOING:
            continue
        if last in frame:
            return heard
        heard.append(frame.hex())
    return heard + ["deaf"]


def connect(address):
    end = socket.socket()
    end.settimeout(20)
    try:
        end.connect((address, PORT))
    except OSError as error:
        return [errno.errorcode.get(error.errno, str(error))]
    finally:
        end.close()
    return ["connected"]


def flood(mac, count):
    first = int(mac, 16)
    for number in range(int(count)):
        source = struct.pack("!Q", first + number)[2:]
        link.send(b"\xff" * 6 + source + b"\x88\xb5" + bytes(46))
    return []


print("ready", flush=True)
for line in sys.stdin:
    word, *words = line.split()
    answer = {"send": send, "hear": hear, "connect": connect, "flood": flood}[word](*words)
    print(*answer, ".", sep="\n", flush=True)
