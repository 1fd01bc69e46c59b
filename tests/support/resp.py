"""RESP2/RESP3 codec that never loses a byte: replies are kept raw and decoded only when a test asks."""


class ProtocolError(Exception):
    """The peer sent something that is not RESP."""


class ErrorReply(str):
    """An error reply, without its leading '-'."""


class Verbatim(bytes):
    """A RESP3 verbatim string, without its three-letter format."""


class Push(list):
    """A RESP3 push message."""


class SetReply(list):
    """A RESP3 set, in the order it was sent."""


def to_bytes(value):
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    return str(value).encode()


def encode(args):
    """One command as an array of bulk strings."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        arg = to_bytes(arg)
        parts.append(b"$%d\r\n%b\r\n" % (len(arg), arg))
    return b"".join(parts)


_SIMPLE = frozenset(b"+-:,#_(")
_BULK = frozenset(b"$=!")
_AGGREGATE = frozenset(b"*~>")


def reply_end(buf, pos=0):
    """Where the reply that starts at pos ends, or -1 while it is incomplete."""
    pending = 1
    size = len(buf)
    while pending:
        eol = buf.find(b"\r\n", pos)
        if eol < 0:
            return -1
        kind = buf[pos]
        if kind in _SIMPLE:
            pos = eol + 2
        elif kind in _BULK:
            length = int(buf[pos + 1 : eol])
            pos = eol + 2 + (length + 2 if length >= 0 else 0)
            if pos > size:
                return -1
        elif kind in _AGGREGATE:
            pending += max(int(buf[pos + 1 : eol]), 0)
            pos = eol + 2
        elif kind == 0x25:  # '%': a map counts pairs
            pending += 2 * int(buf[pos + 1 : eol])
            pos = eol + 2
        elif kind == 0x7C:  # '|': attributes come before the reply they belong to
            pending += 2 * int(buf[pos + 1 : eol]) + 1
            pos = eol + 2
        else:
            raise ProtocolError(f"not a reply: {bytes(buf[pos:pos + 80])!r}")
        pending -= 1
    return pos


def elements(raw):
    """The raw elements of a raw aggregate reply; None for a null or for anything that is not one."""
    if raw[:1] not in (b"*", b"~", b">", b"%") or raw[1:2] == b"-":
        return None
    pos = raw.index(b"\r\n") + 2
    parts = []
    while pos < len(raw):
        end = reply_end(raw, pos)
        parts.append(raw[pos:end])
        pos = end
    return parts


def _decode(raw, pos):
    eol = raw.index(b"\r\n", pos)
    kind, head, pos = raw[pos : pos + 1], raw[pos + 1 : eol], eol + 2
    if kind == b"+":
        return head.decode(), pos
    if kind == b"-":
        return ErrorReply(head.decode("latin-1")), pos
    if kind in (b":", b"("):
        return int(head), pos
    if kind == b",":
        return float(head), pos
    if kind == b"#":
        return head == b"t", pos
    if kind == b"_":
        return None, pos
    if kind in (b"$", b"=", b"!"):
        length = int(head)
        if length < 0:
            return None, pos
        body, pos = raw[pos : pos + length], pos + length + 2
        if kind == b"=":
            return Verbatim(body[4:]), pos
        return (ErrorReply(body.decode("latin-1")) if kind == b"!" else bytes(body)), pos
    count = int(head)
    if count < 0:
        return None, pos
    if kind == b"%":
        result = {}
        for _ in range(count):
            key, pos = _decode(raw, pos)
            result[key], pos = _decode(raw, pos)
        return result, pos
    result = {b"*": list, b"~": SetReply, b">": Push}[kind]()
    for _ in range(count):
        item, pos = _decode(raw, pos)
        result.append(item)
    return result, pos


def decode(raw):
    """The Python value of one raw reply."""
    return _decode(raw, 0)[0]
