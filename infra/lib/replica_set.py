"""Makes mongods a replica set, without a driver: one OP_MSG and its answer at a time.

usage: replica_set.py initiate HOST:PORT NAME ELECTION_MS MEMBER…
       replica_set.py root HOST:PORT NAME PASSWORD    the first user, over loopback
       replica_set.py primary HOST:PORT               prints the address of the primary, if there is one

Exit codes: 0 done, 1 refused (why is printed), 69 nobody answers.
"""

import socket
import struct
import sys


def element(name, value):
    key = name.encode() + b"\0"
    if isinstance(value, bool):
        return b"\x08" + key + bytes([value])
    if isinstance(value, int):
        return b"\x10" + key + struct.pack("<i", value)
    if isinstance(value, str):
        text = value.encode() + b"\0"
        return b"\x02" + key + struct.pack("<i", len(text)) + text
    if isinstance(value, list):
        return b"\x04" + key + document({str(n): one for n, one in enumerate(value)})
    return b"\x03" + key + document(value)


def document(fields):
    body = b"".join(element(name, value) for name, value in fields.items()) + b"\0"
    return struct.pack("<i", len(body) + 4) + body


# Of an answer only numbers, texts and documents are of interest; the rest is stepped over.
FIXED = {1: 8, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16}


def parsed(data):
    fields, at = {}, 4
    while data[at]:
        kind, end = data[at], data.index(b"\0", at + 1)
        name, at = data[at + 1 : end].decode(), end + 1
        if kind in FIXED:
            raw = data[at : at + FIXED[kind]]
            at += FIXED[kind]
            form = {1: "<d", 8: "<?", 16: "<i", 18: "<q"}.get(kind)
            fields[name] = struct.unpack(form, raw)[0] if form else raw
        elif kind in (2, 3, 4, 5):
            (size,) = struct.unpack_from("<i", data, at)
            if kind == 2:
                fields[name], at = data[at + 4 : at + 3 + size].decode(), at + 4 + size
            elif kind == 5:
                fields[name], at = data[at + 5 : at + 5 + size], at + 5 + size
            else:
                fields[name], at = parsed(data[at : at + size]), at + size
        else:
            raise ValueError(f"a field of kind {kind}")
    return fields


def ask(address, command):
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        body = struct.pack("<iB", 0, 0) + document({**command, "$db": "admin"})
        peer.sendall(struct.pack("<iiii", 16 + len(body), 1, 0, 2013) + body)
        stream = peer.makefile("rb")
        (size,) = struct.unpack("<i", stream.read(4))
        return parsed(stream.read(size - 4)[17:])


def main(action, address, *rest):
    if action == "initiate":
        name, election, *members = rest
        command = {
            "replSetInitiate": {
                "_id": name,
                "members": [{"_id": n, "host": one} for n, one in enumerate(members)],
                "settings": {"electionTimeoutMillis": int(election)},
            }
        }
    elif action == "root":
        name, password = rest
        command = {"createUser": name, "pwd": password, "roles": ["root"]}
    elif action == "primary":
        command = {"hello": 1}
    else:
        sys.exit(__doc__)
    try:
        answer = ask(address, command)
    except OSError as error:
        print(f"{address}: {error}", file=sys.stderr)
        return 69
    if answer.get("ok") != 1 and answer.get("codeName") != "AlreadyInitialized":
        print(f"{address}: {answer.get('errmsg', answer)}", file=sys.stderr)
        return 1
    if action == "primary" and "primary" in answer:
        print(answer["primary"])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
