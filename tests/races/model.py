"""What is known of the origin and of every key, and the rules that the server is held to.

Time. All clients live in one thread, so what they see has an order: the model counts ticks. An operation happens on the
server at some moment between its tick of beginning, taken before the request is sent, and its tick of end, taken after
the reply was read. A rule only speaks where these bounds leave no doubt; so it may miss a fault, and never invents one.

Versions. The origin's row behind a key has a version that grows with every commit. A value carries the key's name and the
version that it was loaded with. Writers of a key take turns (Key.writer) from commit to invalidation, where their order
on the server would otherwise be unknown. A request whose connection is lost may still be executed until the server has
closed that connection; it counts as running for as long.

The rules:
 1. A reader never sees a version older than the newest invalidation that had ended before its request began. If the
    answer is marked stale, invalidations that only softened the entry do not count, until its stale window is over.
 2. Versions never go back: a reader sees none older than what another reader had seen, or filled in, before it asked.
    (A fill that is accepted was loaded after whatever the key held before, or it would have been refused.)
 3. A value is one that somebody wrote to this key, and `absent` is only said of a row that was deleted since rule 1's bound.
 4. Tokens grow over the whole server: one that was granted after another had been seen is greater. None is granted twice.
 5. At most one token per key is alive. Two of which neither can have been voided, used or expired are a fault. So is the
    use of one when a newer token of the key had been seen.
 6. A fill is refused if, after its token was seen and before the fill began, something that voids leases began and ended,
    or the lease expired.
 7. A fill is accepted if nothing that may void its token happened at all: a server that refuses everything is no cure.
 8. When all is quiet, every key has the origin's version (checker.py).
"""

import asyncio
import collections
import enum
import math
import time

# The server tells the time once for several requests: by so much may it be late.
CLOCK_SLACK = 1.0
UNKNOWN = -1
RECORD = 32


class Violation(AssertionError):
    """The server broke a rule."""


class Outcome(enum.Enum):
    """What a change did to its keys, as its replies tell."""

    INSTALLED = "installed"  # the value of the version last committed
    REMOVED = "removed"
    SOFTENED = "softened"  # what is there is stale now
    WRITTEN = "written"  # leases are void, but nothing is said of versions
    NOTHING = "nothing"  # a condition did not hold, or nobody knows


class Family:
    """Keys that are used alike."""

    def __init__(self, letter, groups, keys, window=math.inf, monotonic=True, tagged=False, versioned=False, plain_stale=False):
        self.letter = letter
        self.groups, self.size = groups, keys
        self.window = window  # seconds from the end of freshness to the end of the longest stale window
        self.monotonic = monotonic  # rule 2 holds
        self.tagged = tagged  # every fill names the group's tag
        self.versioned = versioned  # writers name versions and take no turns
        self.plain_stale = plain_stale  # a policy gives stale values to plain readers, unmarked
        self.keys = []

    def group(self, number):
        return [key for key in self.keys if key.group == number]


class Key:
    __slots__ = (
        "name", "padded", "family", "group", "writer", "version", "deleted_at", "floor", "fresh_floor", "softened", "changes", "changing",
        "voided", "newest_token", "lease", "garbled_until", "story",
    )  # fmt: skip

    def __init__(self, family, number):
        self.family, self.group = family, number % family.groups
        self.name = b"%s%d:%03d" % (family.letter, self.group, number)
        self.padded = self.name.ljust(12)
        self.writer = asyncio.Lock()
        self.version = 1  # of the origin's row
        self.deleted_at = 0  # the last version in which there was no row
        self.floor = self.fresh_floor = 1  # the oldest version that may be seen, and that may be seen without a mark
        self.softened = collections.deque(maxlen=64)  # (fresh_floor, when it was in force)
        self.changes = 0  # begun that may void a lease
        self.changing = 0  # of these, running
        self.voided = 0  # when the newest change began that has ended and voids leases
        self.newest_token = 0
        self.lease = None  # that of the newest token
        self.garbled_until = 0
        self.story = collections.deque(maxlen=60)

    @property
    def deleted(self):
        return self.deleted_at == self.version

    @property
    def tag(self):
        return b"tag%d" % self.group

    def record(self, version):
        return b"%s|%018d;" % (self.padded, version)

    def clock(self):
        """Equal at two moments: nothing that may void a lease was running then or in between."""
        return UNKNOWN if self.changing else self.changes


class Read:
    """What had been settled when a request began that may return a value or a token."""

    __slots__ = ("key", "tick", "time", "floor", "fresh_floor", "clock", "newest_token")

    def __init__(self, key, tick, newest_token):
        self.key, self.tick, self.time = key, tick, time.monotonic()
        self.floor, self.fresh_floor = key.floor, key.fresh_floor
        self.clock = key.clock()
        self.newest_token = newest_token


class Lease:
    __slots__ = ("key", "token", "tick", "clock", "lives_until", "dead_after")

    def __init__(self, read, token, tick, seconds):
        self.key, self.token = read.key, token
        self.tick = tick  # when the token was seen
        self.clock = read.clock  # when it was asked for
        self.lives_until = read.time + seconds - CLOCK_SLACK  # surely not expired before this
        self.dead_after = time.monotonic() + seconds + CLOCK_SLACK  # surely expired after this


class Change:
    """A running operation that may void leases of its keys, with the versions that it puts in force."""

    __slots__ = ("keys", "tick", "versions", "what")

    def __init__(self, keys, tick, what, versions):
        self.keys, self.tick, self.what = keys, tick, what
        self.versions = versions or [key.version for key in keys]


class Use:
    """A running operation of a lease's holder; `refusal` is why it must fail, if that is certain."""

    __slots__ = ("lease", "what", "version", "refusal", "change", "time", "lives_until", "dead_after")

    def __init__(self, lease, what, version, refusal, change):
        self.lease, self.what, self.version = lease, what, version
        self.refusal = refusal
        self.change = change  # None for a renewal, which only moves the deadline
        self.time = time.monotonic()
        self.lives_until, self.dead_after = lease.lives_until, lease.dead_after


class Model:
    """`ignored`: numbers of rules that are not enforced, to see which others find a fault."""

    def __init__(self, families, ignored=()):
        self.families = families
        self.ignored = tuple(f"rule {number}" for number in ignored)
        for family in families:
            family.keys = [Key(family, number) for number in range(family.size)]
        self.keys = [key for family in families for key in family.keys]
        self.tick = 0
        self.newest_token = 0
        self.tokens = set()  # the last ones seen
        self.counts = collections.Counter()

    def now(self):
        self.tick += 1
        return self.tick

    def tell(self, key, *words):
        key.story.append((self.tick, time.monotonic(), words))

    def fail(self, key, problem):
        if self.ignored and problem.startswith(self.ignored):
            return
        lines = [problem, f"{key.name.decode()}: origin at {key.version}, floor {key.floor}, unmarked {key.fresh_floor}, newest token {key.newest_token}"]
        lines += [f"  {tick} {moment:.4f} {' '.join(map(str, words))}" for tick, moment, words in key.story]
        raise Violation("\n".join(lines))

    # --- the origin ---

    def commit(self, key, deleted=False):
        key.version += 1
        if deleted:
            key.deleted_at = key.version
        self.tell(key, "commit", key.version, "deleted" if deleted else "")
        return key.version

    # --- reading ---

    def begin_read(self, key):
        return Read(key, self.now(), self.newest_token)

    def version_of(self, read, value):
        """The version that a value carries; None if the key was garbled while it was read."""
        key = read.key
        first, last = value[:RECORD], value[-RECORD:]
        whole = len(value) % RECORD == 0 and len(value) > 0
        if whole and first[:12] == last[:12] == key.padded and first[12:13] + first[-1:] + last[12:13] + last[-1:] == b"|;|;":
            return max(int(first[13:-1]), int(last[13:-1]))  # APPEND writes at the end, SETRANGE at the front
        if read.tick < key.garbled_until:
            return None
        self.fail(key, f"rule 3: a value that nobody wrote to this key: {value[:80]!r}")
        return None

    def saw_value(self, read, value, stale=False, how="read"):
        """A value was returned; `stale` if it was marked so, or may be so unmarked."""
        key = read.key
        version = self.version_of(read, value)
        self.now()
        self.counts["values seen"] += 1
        self.tell(key, how, "stale" if stale else "value", version, "asked at", read.tick)
        if version is None:
            return
        if version > key.version:
            self.fail(key, f"rule 3: version {version} was never committed")
        if version < read.floor:
            self.fail(key, f"rule 1 or 2: version {version} was seen by a request of tick {read.tick}, when none below {read.floor} could be")
        if version < read.fresh_floor:
            self.check_stale(read, version, stale)
        if key.family.monotonic and version > key.floor:
            key.floor = version
            key.fresh_floor = max(key.fresh_floor, version)

    def saw_absent(self, read):
        key = read.key
        self.now()
        self.counts["absent seen"] += 1
        self.tell(key, "read absent, asked at", read.tick)
        if key.deleted_at < read.floor:
            self.fail(key, f"rule 3: absent, but the row was last deleted in version {key.deleted_at}, and none below {read.floor} may be seen")
        if key.deleted_at < read.fresh_floor:
            self.check_stale(read, key.deleted_at, True)

    def check_stale(self, read, version, stale):
        if not stale:
            self.fail(read.key, f"rule 1: version {version} unmarked, asked at tick {read.tick}, when none below {read.fresh_floor} could be")
        began = next((moment for floor, moment in read.key.softened if floor > version), math.inf)
        late = read.time - began - read.key.family.window
        if late > CLOCK_SLACK:
            self.fail(read.key, f"rule 1: version {version} is marked stale {late:.1f} s after its window")

    # --- leases ---

    def saw_token(self, read, token, seconds):
        key = read.key
        lease = Lease(read, token, self.now(), seconds)
        self.counts["tokens seen"] += 1
        self.tell(key, "token", token, "asked at", read.tick, "for", seconds)
        if token <= read.newest_token:
            self.fail(key, f"rule 4: token {token} was granted after {read.newest_token} had been seen")
        if token in self.tokens:
            self.fail(key, f"rule 4: token {token} was granted twice")
        self.tokens.add(token)
        if len(self.tokens) > 100_000:  # those that run at the same time are never so far apart
            self.tokens = set(sorted(self.tokens)[-1000:])
        self.newest_token = max(self.newest_token, token)
        other = key.lease
        if other is not None:
            untouched = UNKNOWN != lease.clock == other.clock == key.changes
            if untouched and time.monotonic() < min(lease.lives_until, other.lives_until):
                self.fail(key, f"rule 5: tokens {other.token} and {token} are both alive")
        if token > key.newest_token:
            key.newest_token, key.lease = token, lease
        return lease

    def _why_refused(self, lease, what, version):
        key = lease.key
        if key.newest_token > lease.token:
            return f"rule 5: {what} with token {lease.token}, when {key.newest_token} had been seen"
        # Purging a tag voids no lease of a key that has no entry: it refuses the fill.
        if key.voided > lease.tick and (version or not key.family.tagged):
            return f"rule 6: {what} with token {lease.token}, seen at tick {lease.tick}, voided by a change begun at {key.voided}"
        if time.monotonic() > lease.dead_after:
            return f"rule 6: {what} with token {lease.token}, which has expired"
        return None

    def begin_use(self, lease, what, version=0):
        """A fill with that version, or a release."""
        refusal = self._why_refused(lease, what, version)
        self.tell(lease.key, what, "token", lease.token, "version", version)
        return Use(lease, what, version, refusal, self.begin_change([lease.key], what))

    def begin_renewal(self, lease, seconds):
        refusal = self._why_refused(lease, "renew", 0)
        self.tell(lease.key, "renew token", lease.token)
        use = Use(lease, "renew", 0, refusal, None)
        # Until the reply is there, and for good if it never comes, either deadline may be the one.
        lease.lives_until = min(lease.lives_until, use.time + seconds - CLOCK_SLACK)
        lease.dead_after = math.inf
        return use

    def end_use(self, use, accepted, may_refuse=False):
        """`may_refuse`: there are other reasons for a refusal than the token."""
        lease, key = use.lease, use.lease.key
        self.tell(key, use.what, "token", lease.token, "accepted" if accepted else "refused")
        self.counts[use.what + (" accepted" if accepted else " refused")] += 1
        if accepted and use.refusal:
            self.fail(key, use.refusal)
        own = 0 if use.change is None else 1
        untouched = UNKNOWN != lease.clock == key.changes - own
        if not accepted and untouched and not may_refuse and time.monotonic() < use.lives_until:
            self.fail(key, f"rule 7: {use.what} with token {lease.token} was refused, though nothing voided it")
        if use.change is None:
            return
        if accepted:
            key.voided = max(key.voided, use.change.tick)
            if key.family.monotonic:
                key.floor = max(key.floor, use.version)
                key.fresh_floor = max(key.fresh_floor, use.version)
        self.give_up(use)

    def end_renewal(self, use, accepted, seconds):
        self.end_use(use, accepted)
        use.lease.lives_until = use.time + seconds - CLOCK_SLACK if accepted else use.lives_until
        use.lease.dead_after = time.monotonic() + seconds + CLOCK_SLACK if accepted else use.dead_after

    def give_up(self, use):
        """Nobody knows what became of it, and it runs no longer."""
        if use.change is not None:
            self.end_change(use.change, Outcome.NOTHING, told=True)

    # --- changes ---

    def begin_change(self, keys, what, versions=None):
        """What ends well puts these versions in force; those committed by now unless the writer says otherwise."""
        change = Change(keys, self.now(), what, versions)
        for key in keys:
            key.changes += 1
            key.changing += 1
        return change

    def end_change(self, change, outcome, told=False):
        self.now()
        for key, version in zip(change.keys, change.versions):
            key.changing -= 1
            if not told:
                self.tell(key, change.what, "begun at", change.tick, outcome.value, version)
            if outcome is Outcome.NOTHING:
                continue
            key.voided = max(key.voided, change.tick)
            if outcome is Outcome.SOFTENED and version > key.fresh_floor:
                key.fresh_floor = version
                key.softened.append((version, time.monotonic()))
            elif outcome in (Outcome.INSTALLED, Outcome.REMOVED):
                key.floor = max(key.floor, version)
                key.fresh_floor = max(key.fresh_floor, version)

    def begin_garbling(self, key):
        key.garbled_until = math.inf

    def end_garbling(self, key):
        key.garbled_until = self.now()
