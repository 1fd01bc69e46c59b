"""Where a reply of Pinfold may differ from that of redis-server 7.0, and why. Everything else is byte-equal.

Each Difference names the commands it covers, the reason, and a function that still compares what can be compared. The
comparators get the arguments, the expected and the actual raw reply and the run (is it a sequence with relative times?).
docs/differences.md is made from this list by tests/differential/document.py.
"""

import dataclasses
import re
import typing

from tests.support import resp

BY_NATURE = "No two servers can answer the same"
BY_DESIGN = "Pinfold answers differently on purpose"

# Two servers are asked within this time of each other.
CLOCK_TOLERANCE_MS = 20_000


@dataclasses.dataclass(frozen=True)
class Difference:
    commands: tuple
    kind: str
    reason: str
    same: typing.Callable


def is_error(raw):
    return raw[:1] == b"-"


def same_type(args, expected, actual, run):
    """The same type of reply; errors and nulls have to be equal."""
    return expected[:1] == actual[:1] and not is_error(actual) and (expected in (b"$-1\r\n", b"*-1\r\n")) == (actual in (b"$-1\r\n", b"*-1\r\n"))


def same_elements(args, expected, actual, run):
    left, right = resp.elements(expected), resp.elements(actual)
    return left is not None and right is not None and expected[:1] == actual[:1] and sorted(left) == sorted(right)


def near(unit_ms):
    """Integers within the clock's tolerance; -1, -2 and 0 are exact."""

    def same(args, expected, actual, run):
        if expected[:1] != b":" or actual[:1] != b":":
            return False
        left, right = int(expected[1:-2]), int(actual[1:-2])
        return left > 0 and right > 0 and abs(left - right) * unit_ms <= CLOCK_TOLERANCE_MS

    return same


def near_if_relative(unit_ms):
    close = near(unit_ms)
    return lambda args, expected, actual, run: run.relative and close(args, expected, actual, run)


def scan_page(args, expected, actual, run):
    """One page: a cursor and an array, whatever is in them; what a full iteration returns is compared by its own step."""
    left, right = resp.elements(expected), resp.elements(actual)
    return left is not None and right is not None and len(left) == len(right) == 2 and left[1][:1] == right[1][:1] == b"*"


def pairs_of(raw):
    items = resp.decode(raw)
    return items if isinstance(items, dict) else dict(zip(items[::2], items[1::2]))


def hello(args, expected, actual, run):
    if is_error(expected) or is_error(actual) or expected[:1] != actual[:1]:
        return False
    left, right = pairs_of(expected), pairs_of(actual)
    return list(left) == list(right) and all(left[k] == right[k] for k in left if k not in (b"version", b"id"))


# Settings that both servers are started with, or that sequences set on both.
SHARED_SETTINGS = (b"maxmemory-policy", b"timeout", b"proto-max-bulk-len", b"maxmemory")


def config_get(args, expected, actual, run):
    if expected[:1] != actual[:1] or expected[:1] not in b"*%":
        return False
    left, right = pairs_of(expected), pairs_of(actual)
    return all(left.get(name) == right.get(name) for name in SHARED_SETTINGS)


def command_list(args, expected, actual, run):
    """Every name that Pinfold lists exists in Redis; both list those that Pinfold has."""
    if is_error(expected) or is_error(actual):
        return False
    return set(resp.decode(actual)) - NEWER_COMMANDS <= set(resp.decode(expected))


OWN_COMMANDS = {b"cache." + name for name in (b"absent", b"get", b"inspect", b"invalidate", b"mget", b"policy", b"purge", b"release",
                                              b"renew", b"set")}
OWN_COMMANDS |= {b"cache.policy|" + name for name in (b"del", b"help", b"list", b"match", b"set", b"show")}
OWN_COMMANDS |= {b"cl.throttle", b"pinfold.diagnose", b"pinfold.advise", b"hotkeys", b"client|traceparent"}
OWN_COMMANDS |= {b"commandlog", b"commandlog|get", b"commandlog|help", b"commandlog|len", b"commandlog|reset"}  # Valkey's
NEWER_COMMANDS = {b"hgetdel", b"delifeq", b"delex", b"msetex", b"digest", b"client|setinfo", b"client|no-touch"} | OWN_COMMANDS


def command_info(args, expected, actual, run):
    if is_error(expected) or is_error(actual):
        return False
    left, right = resp.decode(expected), resp.decode(actual)
    if len(args) == 2:  # all commands, of which not all are known to both
        by_name = {entry[0]: entry for entry in left}
        pairs = [(by_name[entry[0]], entry) for entry in right if entry[0] in by_name]
    elif len(left) == len(right):
        pairs = zip(left, right)
    else:
        return False
    return all(a is None and b is None or (a is not None and b is not None and a[0] == b[0] and not differing_fields(a, b)) for a, b in pairs)


# Fields of COMMAND INFO: what Redis 7.2 says otherwise than 7.0, as Pinfold does, and where Pinfold differs.
ARITY, FLAGS, KEY_SPECS = 1, 2, 8
OTHER_FIELDS = {
    (b"command|getkeys", ARITY), (b"command|getkeysandflags", ARITY), (b"zrank", ARITY), (b"zrevrank", ARITY), (b"wait", FLAGS),
    (b"smove", FLAGS), (b"sort", KEY_SPECS), (b"sort_ro", KEY_SPECS),
}  # fmt: skip


def differing_fields(reference, subject):
    """Which of arity, flags, range of keys and categories differ in two entries of one command."""
    found = []
    for field in range(1, 7):
        left, right = reference[field], subject[field]
        if field == FLAGS:  # more is refused inside MULTI
            right = [flag for flag in right if flag != "no_multi" or flag in left]
        if isinstance(left, list):
            left, right = sorted(left), sorted(right)
        if left != right and (reference[0], field) not in OTHER_FIELDS:
            found.append(field)
    return found


def number_of_keys_is_none(args, expected, actual, run):
    """Redis takes the digits with which the number begins."""
    refused = actual in (b"-ERR Invalid arguments specified for command\r\n", b"*0\r\n")
    return refused and any(not re.fullmatch(rb"-?(0|[1-9][0-9]{,8})", arg) for arg in args[3:5])


def one_word(args, expected, actual, run):
    """COMMAND GETKEYS with a command and no more."""
    return len(args) == 3 and is_error(expected) and b"wrong number of arguments" in expected and is_error(actual)


def keys_and_flags(args, expected, actual, run):
    """Keys in order, their flags as sets."""
    if is_error(expected) or is_error(actual):
        return False
    left, right = resp.decode(expected), resp.decode(actual)
    return [(k, set(f)) for k, f in left] == [(k, set(f)) for k, f in right]


def same_until_the_choice(args, expected, actual, run):
    """Errors that end in a list of what is possible."""
    head, listed, _ = expected.partition(b"must be one of the following: ")
    return bool(listed) and actual.startswith(head + listed)


def says_more(args, expected, actual, run):
    """Errors that begin with Redis' words."""
    return is_error(expected) and actual.startswith(expected[:-2])


def number_first(args, expected, actual, run):
    """Both are errors, and that of Pinfold is about the number of keys."""
    return is_error(expected) and (b"NOSCRIPT" in expected or b"Function not found" in expected) and is_error(actual) and b"umber of keys" in actual or (
        is_error(expected) and is_error(actual) and b"value is not an integer" in actual
    )


def cut_at_nul(args, expected, actual, run):
    """Redis formats the text as a C string."""
    return is_error(expected) and actual.startswith(expected[:-2] + b"\x00")


def picture(args, expected, actual, run):
    return actual[:1] in (b"$", b"=")


def random_text(args, expected, actual, run):
    """Of the same length."""
    return expected[:1] == actual[:1] == b"$" and len(expected) == len(actual)


def fields_of(reply):
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2]))


def without_password(args, expected, actual, run):
    """The error of ACL SETUSER for a rule that has a password or a hash."""
    head, found, rest = actual.partition(b"(hidden)")
    kind = head[-1:]
    return bool(found) and kind in b"<>#!('" and expected.startswith(head) and (rest.split(b"': ")[-1] == expected.split(b"': ")[-1])


def user_fields(args, expected, actual, run):
    """All but the rules for commands, of the user and of its selectors."""
    left, right = resp.decode(expected), resp.decode(actual)
    if left is None or right is None or isinstance(left, str) or isinstance(right, str):
        return False
    left, right = fields_of(left), fields_of(right)
    if list(left) != list(right):
        return False
    pairs = [(left, right), *zip(map(fields_of, left[b"selectors"]), map(fields_of, right[b"selectors"]))]
    same = all(a[name].replace(b"%RW~*", b"~*") == b[name].replace(b"%RW~*", b"~*") for a, b in pairs for name in (b"keys", b"channels"))
    return same and len(left[b"selectors"]) == len(right[b"selectors"]) and list(left[b"flags"]) == list(right[b"flags"]) and left[b"passwords"] == right[b"passwords"]


def user_fields_or_lines(args, expected, actual, run):
    if args[1].upper() != b"LIST":
        return user_fields(args, expected, actual, run)
    left, right = resp.decode(expected), resp.decode(actual)
    if isinstance(left, str) or isinstance(right, str) or len(left) != len(right):
        return False

    def without_commands(line):
        return [word for word in line.replace(b"%RW~*", b"~*").replace(b"(", b"( ").replace(b")", b" )").split() if word[:1] not in b"+-"]

    return [without_commands(line) for line in left] == [without_commands(line) for line in right]


def categories(args, expected, actual, run):
    left, right = resp.decode(expected), resp.decode(actual)
    return len(args) == 2 and not isinstance(right, str) and [name for name in right if name != b"cache"] == left


USERS = (b"default", b"user0", b"user1")  # that there are


def refusals(args, expected, actual, run):
    left, right = resp.decode(expected), resp.decode(actual)
    if isinstance(left, str) or isinstance(right, str):
        return False

    def entries(log):
        """The entries in order, and how many attempts there were with names that no user has, which Redis tells apart by their names."""
        told, unknown = [], 0
        for fields in map(fields_of, log):
            if fields[b"reason"] == b"auth" and fields[b"username"] not in USERS:
                unknown += fields[b"count"]
            else:
                told.append((fields[b"reason"], fields[b"context"], fields[b"object"][:128], fields[b"username"], fields[b"count"]))
        return told, unknown

    if len(args) > 2:  # the newest ones, of which one that counts for several may push out others
        told = [entries(log)[0] for log in (left, right)]
        return told[0][: len(told[1])] == told[1][: len(told[0])]
    return entries(left) == entries(right)


def script_error_cut_at_nul(args, expected, actual, run):
    """Errors that a script has made, also inside of what it returns."""
    return re.sub(rb"(^|\n)(-[^\0\r\n]*)\0[^\r\n]*\r\n", rb"\1\2\r\n", actual) == expected


def only_itself(args, expected, actual, run):
    """GET # of a user who may not read all keys."""
    words = [arg.upper() for arg in args]
    got = [args[i + 1] for i in range(2, len(args) - 1) if words[i] == b"GET"]
    return expected.startswith(b"-ERR GET option of SORT denied") and not is_error(actual) and set(got) == {b"#"}


def budget_spent(args, expected, actual, run):
    """Inside EXEC."""
    return args[0].upper() == b"SORT_RO" and actual.startswith(b"-ERR SORT_RO was not executed: the commands of a transaction may together")


def key_cut_at_nul(args, expected, actual, run):
    left, right = resp.decode(expected), resp.decode(actual)
    return isinstance(left, bytes) and isinstance(right, bytes) and re.sub(rb"\0.*' key$", b"' key", right, flags=re.DOTALL) == left


def numbers_of(reply):
    """A reply in which texts that are numbers are those numbers."""
    if isinstance(reply, (list, tuple)):
        return [numbers_of(one) for one in reply]
    if isinstance(reply, bytes):
        try:
            number = float(reply) + 0.0  # -0 and 0 are the same
            return reply if number != number else number
        except ValueError:
            return reply
    return reply


def same_numbers(args, expected, actual, run):
    """Doubles of the same value, however many digits show it."""
    if is_error(expected) or is_error(actual) or expected[:1] != actual[:1]:
        return False
    return numbers_of(resp.decode(expected)) == numbers_of(resp.decode(actual))


def same_pairs(args, expected, actual, run):
    """Fields with their values, in any order."""
    left, right = resp.elements(expected), resp.elements(actual)
    if left is None or right is None or expected[:1] != actual[:1]:
        return False
    if any(len(items) % 2 for items in (left, right)):
        return False
    return sorted(zip(left[::2], left[1::2])) == sorted(zip(right[::2], right[1::2]))


def same_page(args, expected, actual, run):
    """A page of elements. If both have all of them, they are the same ones."""
    if not scan_page(args, expected, actual, run):
        return False
    (cursor, items), (other_cursor, other_items) = map(resp.elements, (expected, actual))
    whole = b"$1\r\n0\r\n"
    if len(args) > 2 and args[2] == b"0" and cursor == other_cursor == whole:
        left, right = (sorted(map(repr, numbers_of(resp.decode(raw)))) for raw in (items, other_items))
        return left == right
    return True


def random_elements(args, expected, actual, run):
    """As many of the same kind; the same ones if all were asked for."""
    if expected[:1] == actual[:1] == b"$":
        return not is_null(expected) and not is_null(actual)
    left, right = resp.elements(expected), resp.elements(actual)
    return left is not None and right is not None and expected[:1] == actual[:1] and len(left) == len(right)


def is_null(raw):
    return raw in (b"$-1\r\n", b"*-1\r\n", b"_\r\n")


def places_in_any_order(args, expected, actual, run):
    """Without ASC, DESC or COUNT."""
    words = {arg.upper() for arg in args}
    return not words & {b"ASC", b"DESC", b"COUNT"} and same_elements(args, expected, actual, run)


def sorted_by_nothing(args, expected, actual, run):
    """Elements that SORT finds equal are in any order: BY keys that do not exist, or a set that is not sorted at all."""
    words = {arg.upper() for arg in args}
    left, right = resp.elements(expected), resp.elements(actual)
    if b"BY" not in words or left is None or right is None:
        return False
    return len(left) == len(right) if b"LIMIT" in words else sorted(left) == sorted(right)


def is_listpack_by_now(args, expected, actual, run):
    """Small lists are called listpack since Redis 7.2, and sorted sets that SORT has read stay so."""
    small = b"$8\r\nlistpack\r\n"
    return actual == small and (expected == b"$9\r\nquicklist\r\n" or (expected == b"$8\r\nskiplist\r\n" and run.has_sorted))


def registers_of(text):
    """Of a HyperLogLog; None if that is none."""
    if not isinstance(text, bytes) or text[:4] != b"HYLL" or len(text) < 16:
        return None
    if text[4] == 0:
        bits = int.from_bytes(text[16:], "little")
        return [bits >> 6 * i & 63 for i in range(16384)] if len(text) == 16 + 12288 else None
    found, at = [], 16
    while at < len(text):
        byte = text[at]
        if byte & 0x80:
            found += [(byte >> 2 & 31) + 1] * ((byte & 3) + 1)
        elif byte & 0x40 and at + 1 < len(text):
            found += [0] * (((byte & 0x3F) << 8 | text[at + 1]) + 1)
            at += 1
        else:
            found += [0] * ((byte & 0x3F) + 1)
        at += 1
    return found


def same_hyperloglog(args, expected, actual, run):
    """The same registers, in whatever form."""
    left, right = (registers_of(resp.decode(raw)) for raw in (expected, actual))
    return left is not None and left == right


def never_sent(args, expected, actual, run):
    """The generator leaves it out, because the servers would hold different data afterwards."""
    return False


DIFFERENCES = [
    Difference(("KEYS",), BY_NATURE, "The order of keys is that of the hash table.", same_elements),
    Difference(("SCAN",), BY_NATURE, "Cursors and pages are the server's own; full iterations are compared as sets.", scan_page),
    Difference(("RANDOMKEY",), BY_NATURE, "The answer is random. A step of its own checks that it is an existing key.", same_type),
    Difference(("TTL",), BY_NATURE, "The servers are asked at different moments.", near(1000)),
    Difference(("PTTL",), BY_NATURE, "The servers are asked at different moments.", near(1)),
    Difference(("EXPIRETIME",), BY_NATURE, "Differs only after a relative time to live, which starts at different moments.", near_if_relative(1000)),
    Difference(("PEXPIRETIME",), BY_NATURE, "Differs only after a relative time to live, which starts at different moments.", near_if_relative(1)),
    Difference(("CLIENT ID", "CLIENT INFO", "CLIENT LIST"), BY_NATURE, "Connections have other ids, ports and times.", same_type),
    Difference(("HELLO",), BY_NATURE, "The version and the connection's id differ. All other fields are equal.", hello),
    Difference(("INFO", "MEMORY USAGE", "MEMORY STATS", "MEMORY DOCTOR"), BY_NATURE, "They describe the server itself.", same_type),
    Difference(("LOLWUT",), BY_DESIGN, "It draws another picture, and ignores the numbers that Redis' pictures take.", picture),
    Difference(("ACL GENPASS",), BY_NATURE, "The answer is random.", random_text),
    Difference(("ACL LOG",), BY_NATURE, "Entries describe the client, and tell times. A name has at most 128 bytes. A name that no user has is shown as `(unknown)`, because people type passwords where it belongs. Of what one EXEC refuses the first 16 commands are noted, and the first 16 attempts to authenticate that fail. They have the fields that Redis 7.2 has added: `entry-id`, `timestamp-created` and `timestamp-last-updated`.", refusals),
    Difference(("TIME", "LASTSAVE"), BY_NATURE, "They tell the time.", same_type),
    Difference(("OBJECT FREQ", "OBJECT IDLETIME"), BY_NATURE, "The eviction policies count accesses in their own way: FREQ is 0 to 3, and IDLETIME 0 for a key written under an lfu policy.", same_type),
    Difference(("OBJECT REFCOUNT",), BY_DESIGN, "Redis shares small integers when no eviction policy forbids it; Pinfold stores each value once per key.", same_type),
    Difference(("DEBUG OBJECT",), BY_NATURE, "It prints addresses and serialized lengths.", same_type),
    Difference(("CLIENT HELP", "OBJECT HELP"), BY_DESIGN, "Help lists the subcommands that this server has.", same_type),
    Difference(("COMMAND", "COMMAND COUNT", "COMMAND DOCS"), BY_DESIGN, "Pinfold has fewer commands and describes them in its own words.", same_type),
    Difference(
        ("ACL GETUSER", "ACL LIST"), BY_DESIGN,
        "Rules for commands are shown in the order in which they were given, as in Redis 7.2; Redis 7.0 makes up an order. A rule that changes nothing where it stands is not kept (`+get -get`), as in Redis 7.0. `+acl -@admin` is shown as that; Redis 7.0 lists the subcommands. A pattern `%RW~*` is shown as that; Redis shows `~*`, which is another rule. ACL GETUSER shows `databases`, if there is a `db=`, behind the fields of Redis.", user_fields_or_lines,
    ),  # fmt: skip
    Difference(("ACL CAT",), BY_DESIGN, "There is a category `cache` with all CACHE commands. A category has only commands that Pinfold has.", categories),
    Difference(("SLOWLOG GET", "SLOWLOG LEN", "LATENCY LATEST", "LATENCY HISTORY", "LATENCY GRAPH", "LATENCY DOCTOR"), BY_NATURE, "They tell what took long on this server.", same_type),
    Difference(("SLOWLOG HELP", "LATENCY HELP"), BY_DESIGN, "Help lists the subcommands in its own words.", same_type),
    Difference(
        ("SLOWLOG",), BY_DESIGN,
        "The time of a command is that of its execution: what it waits for locks and for memory does not count. A long command that runs in steps counts as their sum, and a client that waits for a lease as not executing. Of one EXEC the first 128 commands are noted. All entries together take at most 2 MB, so there may be fewer than `slowlog-max-len`, which is 10 000 at most. A client whose user may not read all keys is shown of an entry only the command and `(redacted)`, unless the user may read its keys; also if a key was cut (128 bytes) or left out (32 words).", never_sent,
    ),  # fmt: skip
    Difference(
        ("COMMANDLOG",), BY_DESIGN,
        "As in Valkey 8.1, which Redis is not: `slow` is the list of SLOWLOG. Its entries have two elements more, the microseconds for which the command has waited for locks and for memory. The reply of a command that has waited for a lease is not noted as large.", never_sent,
    ),  # fmt: skip
    Difference(
        ("LATENCY",), BY_DESIGN,
        "There are the events `command`, `fast-command`, `expire-cycle` and `eviction-cycle`, as in Redis, and `lock-wait`, `room-wait` and `event-loop`. DOCTOR advises in its own words.", never_sent,
    ),  # fmt: skip
    Difference(
        ("MONITOR",), BY_DESIGN,
        "An argument is shown up to 1 KB, a request up to 16 KB and 512 arguments, a transaction up to 256 KB. A client whose user may not read all keys is shown requests with keys that the user may read, of requests without keys only the command, and none that works on keys which it does not name. What a user is shown follows its rights as they change, and the client when it authenticates as another user; a user that is off, or may no longer use MONITOR, is shown nothing. At most 32 clients can use it. A client that has not read 8 MB is closed. Requests that come faster than they can be sent are left out, and a line tells how many.", never_sent,
    ),  # fmt: skip
    Difference(
        ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"), BY_DESIGN,
        "Inside MULTI they take 256 names at most, and UNSUBSCRIBE there may miss what was published just before EXEC. Subscriptions are memory of their client (`maxmemory-clients`, `maxmemory-user`): those that do not fit are refused, all of a request together. A pattern that would take long to compare is refused, as by KEYS. Without names, subscriptions are ended in another order.", never_sent,
    ),  # fmt: skip
    Difference(
        ("CLIENT TRACKING",), BY_DESIGN,
        "A key is told when its value becomes stale or expires, not when it is removed; with BCAST not when its value becomes stale at its deadline, and when an expired one is removed. In a script the keys are noted that it reads; Redis notes those that its caller has declared. SWAPDB, and switches that let reads find other keys, tell everybody to forget everything. What a client has read is forgotten by OFF; Redis tells of it after a later ON. A client whose redirection is broken is told once, when the other client has gone, and nothing is noted for it any more. Names are told to clients whose users may read them. A read whose reply comes later than the value was read is not noted: its client is told not to keep it. An error about prefixes that overlap changes nothing (in Redis 7.0 the client tracks all the same if they are not the first two). A target with RESP2 must subscribe to `__redis__:invalidate`, not to any channel. A client has at most 512 prefixes. See [client-side-caching.md](client-side-caching.md).", never_sent,
    ),  # fmt: skip
    Difference(
        ("PUBLISH", "SPUBLISH"), BY_DESIGN,
        "A client that publishes to itself gets the message behind the reply, as in Redis 7.2; Redis 7.0 sends it before, and inside the reply of EXEC. A client that publishes waits while messages on their way to other threads take more than an eighth of `maxmemory-clients`, at least 1 MB and at most 64 MB; inside EXEC, which cannot wait, PUBLISH is answered with OOM at twice as much. A transaction compares channels with patterns within the budget of its commands. The empty channel matches the pattern `*`; in Redis 7.0 it does not.", never_sent,
    ),  # fmt: skip
    Difference(("PUBSUB HELP",), BY_DESIGN, "Help lists the subcommands in its own words.", same_type),
    Difference(("ACL HELP",), BY_DESIGN, "Help lists the subcommands in its own words.", same_type),
    Difference(
        ("ACL SETUSER",), BY_DESIGN,
        "There are `!~pattern` for keys that nobody gets whatever other rules say, `db=`, `alldbs` and `resetdbs` as in Valkey 9.1, and limits of the user, which ACL GETUSER shows behind all other fields if they are set (`maxmemory=`, `rate=`, `resetlimits`). A user has a bounded number of rules, and there are at most 4096 users ([security.md](security.md)). An error does not repeat a password or hash, nor a word that may have one behind a rule, nor a selector in which a word is no rule. A name has at most 1024 bytes. A user cannot have an empty name, which Redis cannot load from the file that it has saved.", without_password,
    ),  # fmt: skip
    Difference(
        ("ACL LOAD",), BY_DESIGN,
        "Clients of users that are still there stay connected, with the new rights; Redis closes them all. A file without a default user leaves the default user as it is; in Redis it then may do everything without a password. The error about a user that is there twice names the file and the line, as other errors do.", never_sent,
    ),  # fmt: skip
    Difference(
        ("KEYS", "SCAN", "RANDOMKEY"), BY_DESIGN,
        "They list only keys that the user may read. Redis lists all keys to everybody who may run the command. If that are few of the keys, RANDOMKEY looks for the next one from a random place on: those behind many others are answered more often.", never_sent,
    ),  # fmt: skip
    Difference(
        ("all commands with keys",), BY_DESIGN,
        "A request of a limited user is refused with NOPERM if its keys are too many or too long to be compared with the patterns of the user ([security.md](security.md)). Redis compares them, however long it takes.", never_sent,
    ),  # fmt: skip
    Difference(
        ("all commands with large arguments",), BY_DESIGN,
        "An argument of more than 512 KB that cannot become a value of the user is not kept, and the request is refused with NOPERM.", never_sent,
    ),  # fmt: skip
    Difference(
        ("FLUSHALL", "FLUSHDB", "SWAPDB", "DEBUG"), BY_DESIGN,
        "What works on all keys needs the right to write all keys, or for DEBUG to all keys. Redis asks for the command only. A pattern `*` matches the empty key too, in Redis only if it is `~*`.", never_sent,
    ),  # fmt: skip
    Difference(("ACL DRYRUN",), BY_DESIGN, "A key with a NUL byte is shown whole. Redis cuts the text there.", key_cut_at_nul),
    Difference(("COMMAND LIST",), BY_DESIGN, "Pinfold has fewer commands. Each of them is in Redis' list too, but for its own and newer ones.", command_list),
    Difference(("COMMAND INFO",), BY_DESIGN, "Flags and categories are sets. Tips and subcommands are the server's own. ZRANK, ZREVRANK and COMMAND GETKEYS have the arity of Redis 7.2, and WAIT its flags. SMOVE has the flag `denyoom`, because a set may need memory for a member: without memory it is refused. The key specs of SORT name the destination behind STORE, and leave out keys that patterns make; Redis shows both as unknown.", command_info),
    Difference(
        ("COMMAND GETKEYS", "COMMAND GETKEYSANDFLAGS"), BY_DESIGN,
        "A command without arguments is looked up, as in Redis 7.2 (arity -3); Redis 7.0 answers with the number of arguments.", one_word,
    ),
    Difference(
        ("COMMAND GETKEYS", "COMMAND GETKEYSANDFLAGS"), BY_DESIGN,
        "A number of keys that the command itself would not take (` 1`, `+1`, `1x`) is refused, and of scripts and functions there are no keys. Redis takes the digits with which it begins.", number_of_keys_is_none,
    ),  # fmt: skip
    Difference(("COMMAND GETKEYSANDFLAGS",), BY_NATURE, "The flags of a key are a set.", keys_and_flags),
    Difference(("CONFIG SET",), BY_DESIGN, "An error lists the choices that Pinfold has.", same_until_the_choice),
    Difference(("CONFIG SET",), BY_DESIGN, "After Redis' words an error says which units the value may have. Sizes and durations take units everywhere. A maxmemory below 1 MB is refused.", says_more),
    Difference(
        ("BITCOUNT", "BITPOS", "BITOP", "DIGEST", "LCS", "SET", "DELEX"), BY_DESIGN,
        "Values of more than 256 KB are read in steps with nothing locked. EXEC cannot do that, so there such values are refused (BITOP: together with its result; LCS: if its table would be larger; SET and DELEX: with IFDEQ or IFDNE).", never_sent,
    ),  # fmt: skip
    Difference(
        ("APPEND", "SETRANGE", "SETBIT", "BITFIELD"), BY_DESIGN,
        "A value that is shared (with a COPY of it, or with a reply that is not read yet) is copied before it is changed, with nothing locked. EXEC cannot wait for that, so there a shared value of more than 1 MB is refused.", never_sent,
    ),  # fmt: skip
    Difference(("BITFIELD", "BITFIELD_RO"), BY_DESIGN, "An offset `#n` that overflows 64 bits is refused; Redis multiplies it and wraps.", never_sent),
    Difference(
        ("BITFIELD",), BY_DESIGN,
        "OVERFLOW SAT with a SET of a number near -2^63 or 2^63 saturates to the nearer end. In Redis the check overflows and takes the other end.", never_sent,
    ),  # fmt: skip
    Difference(("CLIENT SETNAME", "CLIENT SETINFO", "HELLO"), BY_DESIGN, "A name of more than 1024 characters is refused.", never_sent),
    Difference(("CLIENT SETINFO", "CLIENT KILL", "CONFIG SET", "HELLO", "EXPIRE", "ACL CAT", "ACL DRYRUN", "ACL SETUSER"), BY_DESIGN, "An error that repeats an argument shows its first 128 characters. No error is longer than 1 KB.", never_sent),
    Difference(("HELLO",), BY_DESIGN, "All options of HELLO are read before any takes effect, as in Redis 7.2. Redis 7.0 applies one after the other.", never_sent),
    Difference(("EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"), BY_DESIGN, "An unknown option with a NUL byte is shown whole. Redis cuts the text there.", cut_at_nul),
    Difference(
        ("KEYS", "SCAN", "CONFIG GET", "COMMAND LIST", "PUBSUB CHANNELS", "PUBSUB SHARDCHANNELS"), BY_DESIGN,
        "A pattern has at most 64 KB. A part of it between two `*` that has a `?` or a `[` has at most 1024 characters. A call of SCAN visits at most 10 000 keys (512 inside EXEC) or 1 MB of names. CONFIG GET takes at most 1024 patterns.", never_sent,
    ),  # fmt: skip
    Difference(
        ("BITOP",), BY_DESIGN,
        "If its sources and its result are more than 256 KB together, BITOP begins again if a source changes before the result is stored. After eight tries it answers `ERR the sources of BITOP kept changing while they were combined, try again`.", never_sent,
    ),  # fmt: skip
    Difference(
        ("APPEND", "SETRANGE", "SETBIT", "BITFIELD", "SET", "DELEX", "DELIFEQ"), BY_DESIGN,
        "If a value of more than 256 KB has to be copied or read (IFEQ, IFDEQ ...), that is done with nothing locked, and again if the value changes meanwhile. After 32 tries the commands do it with the key locked (they copy at most 1 MB, or compare with what the request names), or answer `ERR the value of <command> kept changing while it was looked at, try again`.", never_sent,
    ),  # fmt: skip
    Difference(
        ("EXEC",), BY_DESIGN,
        "A command that takes long is run in steps with nothing locked. EXEC cannot do that, so there KEYS is refused in a database of more than 512 keys, and RANDOMKEY if it finds only keys that have expired.", never_sent,
    ),  # fmt: skip
    Difference(
        ("EXEC",), BY_DESIGN,
        "SWAPDB visits no watched key. So a watched key that did not exist counts as changed if its database was exchanged twice, or exchanged and then emptied or purged: it is not known any more what was there in between.", never_sent,
    ),  # fmt: skip
    Difference(
        ("EXEC",), BY_DESIGN,
        "SCAN, KEYS, RANDOMKEY, BITCOUNT, BITPOS, BITOP, DIGEST, LCS, INFO, MEMORY STATS, MEMORY DOCTOR, FLUSHALL, FLUSHDB and SWAPDB do work beyond what they name, as do reads of large collections and long ranges (HGETALL, SMEMBERS, LRANGE, ZRANGE, SORT, SINTER and others; docs/types.md has the list). A transaction as a whole has a budget for that work: 2048 keys, elements, clients or users visited (enough for two SCANs of a large database), 256 KB of values, names and replies read, 8 system calls (enough for two INFO). When it is used up, further ones of these commands are answered with an error, and all other commands are executed. When all commands together have copied, hashed, compared or zeroed 256 MB that were not sent, every further command is answered with the error.", never_sent,
    ),  # fmt: skip
    Difference(
        ("MULTI",), BY_DESIGN,
        "ACL (but for WHOAMI, CAT, GENPASS and HELP), CONFIG, CLIENT LIST, CLIENT KILL, MEMORY PURGE, COMMAND, COMMAND DOCS, COMMAND INFO and COMMAND LIST are refused when they would be queued, as CACHE.POLICY is: EXEC would execute them with its keys locked.", never_sent,
    ),  # fmt: skip
    Difference(
        ("any command",), BY_DESIGN,
        "Each argument of a request needs 52 bytes for bookkeeping, beside its own bytes. A request whose arguments need more than is left of `maxmemory-clients` closes its connection with `ERR Protocol error: too many arguments for the memory that clients may have (maxmemory-clients)`. Up to 1024 arguments are always allowed, and any number with CLIENT NO-EVICT on.", never_sent,
    ),  # fmt: skip
    Difference(("SCRIPT HELP", "FUNCTION HELP"), BY_DESIGN, "Help lists the subcommands in its own words.", same_type),
    Difference(("FUNCTION LIST",), BY_NATURE, "Redis lists libraries and functions in the order of its hash table, Pinfold in that of names and of registration.", same_type),
    Difference(
        ("EVALSHA", "EVALSHA_RO", "FCALL", "FCALL_RO"), BY_DESIGN,
        "Of a script or function that does not exist and a number of keys that is none, the number is told first.", number_first,
    ),  # fmt: skip
    Difference(
        ("EVAL", "EVALSHA", "FCALL"), BY_DESIGN,
        "A script is stopped with an error when it has run for longer than `script-time-limit`, also if it has written; what it has written stays. Redis lets it run, and answers BUSY to others. A script that uses keys which its caller has not named may be answered with an error once in a while ([scripts.md](scripts.md)). Memory of scripts is bounded. `redis.call` takes about 7990 values from `unpack` at most (Redis 7999). KEYS, SCAN and the other commands with a budget inside EXEC have 64 times as much in a script. Commands that EXEC refuses for their size or because they would have to wait are refused in scripts too.", never_sent,
    ),  # fmt: skip
    Difference(("SCRIPT KILL", "FUNCTION KILL"), BY_DESIGN, "They end what has run for ten milliseconds on any I/O thread. A client of the script's own thread is not served before the script has ended ([scripts.md](scripts.md)).", never_sent),
    Difference(("CLIENT PAUSE",), BY_DESIGN, "WRITE holds scripts and functions also if they are flagged `no-writes`, but for EVAL_RO, EVALSHA_RO and FCALL_RO.", never_sent),
    Difference(("SCRIPT DEBUG",), BY_DESIGN, "There is no debugger.", never_sent),
    Difference(("EVAL", "EVALSHA", "FCALL"), BY_DESIGN, "A double that a script returns has the fewest digits that tell it from others (`0.1`), as in Redis 7.2; Redis 7.0 writes 17. The library `redis` has the name `server`, too, as in Valkey 8.", never_sent),
    Difference(("SCRIPT LOAD", "FUNCTION LOAD"), BY_DESIGN, "Scripts and libraries take at most `script-cache-size` each. MONITOR, SLOWLOG and the logs do not show their text.", never_sent),
    Difference(("FUNCTION DUMP", "FUNCTION RESTORE"), BY_DESIGN, "The payload has a form of its own. Libraries are not kept over a restart: there is no persistence.", never_sent),
    Difference(("INFO",), BY_DESIGN, "Errors with codes that scripts or DEBUG ERROR invent count as `errorstat_OTHER` if the code is long or odd, or if there are 128 such codes already.", never_sent),
    Difference(("CONFIG SET",), BY_DESIGN, "A value of more than 4096 bytes is refused. So is 0 for `lua-time-limit` and its other names: scripts always have a limit.", never_sent),
    Difference(("HGETALL",), BY_NATURE, "The order of fields is that of the hash table.", same_pairs),
    Difference(("HKEYS", "HVALS", "SMEMBERS", "SINTER", "SUNION", "SDIFF"), BY_NATURE, "The order of elements is that of the hash table.", same_elements),
    Difference(("HSCAN", "SSCAN", "ZSCAN"), BY_NATURE, "Cursors and pages are the server's own; full iterations are compared as sets.", same_page),
    Difference(("HRANDFIELD", "SRANDMEMBER", "ZRANDMEMBER", "SPOP"), BY_NATURE, "The answer is random. What SPOP removes is checked by a step of its own.", random_elements),
    Difference(
        ("ZADD", "ZINCRBY", "ZSCORE", "ZMSCORE", "ZRANGE", "ZREVRANGE", "ZRANGEBYSCORE", "ZREVRANGEBYSCORE", "ZPOPMIN", "ZPOPMAX", "ZMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP", "ZUNION",
         "ZINTER", "ZDIFF", "GEODIST", "GEOPOS", "GEOSEARCH", "GEORADIUS", "GEORADIUS_RO", "GEORADIUSBYMEMBER", "GEORADIUSBYMEMBER_RO"),
        BY_DESIGN, "A double has the fewest digits that tell it from others (`0.1`), as in Redis 7.2; Redis 7.0 writes 17.", same_numbers,
    ),  # fmt: skip
    Difference(("GEOSEARCH", "GEORADIUS", "GEORADIUS_RO", "GEORADIUSBYMEMBER", "GEORADIUSBYMEMBER_RO"), BY_NATURE, "Places are in any order if none is asked for.", places_in_any_order),
    Difference(
        ("GEOSEARCH", "GEOSEARCHSTORE", "GEORADIUS", "GEORADIUS_RO", "GEORADIUSBYMEMBER", "GEORADIUSBYMEMBER_RO"), BY_DESIGN,
        "Around the northmost latitude (85.05112878) and the eastmost longitude (180) all places within the radius are found. Redis looks for them elsewhere too, and may miss some.", never_sent,
    ),  # fmt: skip
    Difference(
        ("SPOP",), BY_DESIGN,
        "If more than 64 members are taken at once from a set that has more, they are neighbours in the order of hashes, from eight random places on. Fewer are picked one by one.", never_sent,
    ),  # fmt: skip
    Difference(
        ("BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP"), BY_DESIGN,
        "A client that waits is woken by a push, and takes the element itself, on its own thread. Until then others may see the element (LLEN), or take it (LPOP); then the client goes on waiting. In Redis the push itself hands the element over.", never_sent,
    ),  # fmt: skip
    Difference(("SORT", "SORT_RO"), BY_DESIGN, "GET # replies the elements themselves, so it needs no further rights. Redis asks for the right to read all keys.", only_itself),
    Difference(("SORT", "SORT_RO"), BY_DESIGN, "For BY and GET a user may read all keys whatever way a pattern says so: `%R~**` will do. Redis asks for `*`.", never_sent),
    Difference(("SORT",), BY_DESIGN, "If the elements are removed or evicted before STORE has stored the result, the destination keeps its value, and the reply is `ERR the elements were removed or evicted while they were sorted, try again`.", never_sent),
    Difference(("PFMERGE",), BY_DESIGN, "Without source keys, too, a user needs the right to the destination. Redis checks no key then.", never_sent),
    Difference(("SORT_RO",), BY_DESIGN, "It counts for the budget of a transaction (see EXEC).", budget_spent),
    Difference(("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"), BY_DESIGN, "An error with a NUL byte that a script returns is replied whole. Redis cuts the text there.", script_error_cut_at_nul),
    Difference(("SORT", "SORT_RO"), BY_NATURE, "Elements that are equal by what they are sorted by are in any order.", sorted_by_nothing),
    Difference(
        ("OBJECT ENCODING",), BY_DESIGN,
        "Small lists and sets are called `listpack`, as in Redis 7.2, which has the settings `set-max-listpack-entries` and `set-max-listpack-value` too. In Redis 7.0 they are `quicklist` and `hashtable`. SORT of a sorted set does not change what it is called; in Redis it becomes `skiplist`.", is_listpack_by_now,
    ),  # fmt: skip
    Difference(("LREM", "LPOS"), BY_DESIGN, "A count or RANK of -2^63 is out of range, as in Redis 7.2.", never_sent),
    Difference(("ZRANK", "ZREVRANK"), BY_DESIGN, "There is `WITHSCORE`, as in Redis 7.2.", never_sent),
    Difference(("HSCAN",), BY_DESIGN, "There is `NOVALUES`, as in Redis 7.4.", never_sent),
    Difference(("GET",), BY_NATURE, "A HyperLogLog in the sparse form may be cut into other runs than by Redis, which read as the same registers.", same_hyperloglog),
    Difference(
        ("PFCOUNT", "PFMERGE"), BY_DESIGN,
        "If the values are more than 256 KB together (21 in the dense form), the keys are merged 16 at a time, each as it is at that moment; the target of PFMERGE comes last. EXEC and scripts cannot wait, so there more than 4 MB are refused.", never_sent,
    ),  # fmt: skip
    Difference(("SORT", "SORT_RO"), BY_DESIGN, "A pattern of BY or GET has at most 1024 bytes.", never_sent),
    Difference(("HGETDEL",), BY_DESIGN, "A field that is named twice is answered with its value twice. Redis answers nil the second time.", never_sent),
    Difference(("PFCOUNT",), BY_DESIGN, "The estimate is stored in the value without a change of the key: a WATCH of it does not fail.", never_sent),
    Difference(("PFDEBUG",), BY_DESIGN, "There are ENCODING, GETREG and TODENSE, for clients that may use DEBUG. GETREG leaves the value as it is. There is no PFSELFTEST.", never_sent),
    Difference(
        ("HSET", "HMSET", "HSETNX", "HINCRBY", "HINCRBYFLOAT", "LPUSH", "RPUSH", "LINSERT", "SADD", "ZADD", "ZINCRBY", "GEOADD",
         "SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE", "ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE", "ZRANGESTORE", "GEOSEARCHSTORE", "SORT"), BY_DESIGN,
        "A collection takes at most `max-collection-memory`; a command that would make it larger is refused.", never_sent,
    ),  # fmt: skip
    Difference(("CONFIG GET",), BY_DESIGN, "Pinfold has settings of its own, and other defaults for maxmemory, maxmemory-clients, maxmemory-policy and save. A password is shown as `(hidden)`.", config_get),
]

# Commands whose first argument is part of the name.
CONTAINERS = (b"ACL", b"CLIENT", b"COMMAND", b"CONFIG", b"DEBUG", b"FUNCTION", b"LATENCY", b"MEMORY", b"OBJECT", b"SCRIPT", b"SLOWLOG")

_BY_NAME = {}
for _difference in DIFFERENCES:
    for _name in _difference.commands:
        _BY_NAME.setdefault(_name.encode(), []).append(_difference)


def acceptable(args, expected, actual, run):
    """The documented difference that covers this pair of unequal replies, or None."""
    if not args:
        return None
    name = args[0].upper()
    if len(args) > 1:
        name += b" " + args[1].upper() if name in CONTAINERS else b""
    for difference in _BY_NAME.get(name, ()):
        if difference.same(args, expected, actual, run):
            return difference
    return None
