"""What each command tells of its changes: the same events as redis-server, in the same order."""

import random

import pytest

from tests.support import servers

# One after the other, on one server each.
COMMANDS = [
    line.split(" ")
    for line in """
SET a 1|SET a 2 EX 100|SET a 3 KEEPTTL|SET a 1 PX 100000|SET a 1 XX|SET a 1 NX|SETEX a 100 1|PSETEX a 1000 1|SETNX a 1|SETNX b 1|GETSET a 2|GETSET nn 2
APPEND a x|APPEND c x|SETRANGE a 1 x|SETRANGE d 0 x|SETRANGE e 0 |SETBIT a 1 1|SETBIT f 1 1|BITFIELD a SET u8 0 1|BITFIELD g SET u8 0 1
BITFIELD h GET u8 0|BITFIELD a OVERFLOW FAIL INCRBY u2 0 100|BITOP AND i a b|BITOP AND i none|MSET j 1 k 2 j 3|MSETNX j 1 l 2|MSETNX l 1 m 2
INCR n|INCR n|DECR n|INCRBY n 2|DECRBY n 2|INCRBYFLOAT n 1.5|GETEX n EX 100|GETEX n PERSIST|GETEX n PERSIST|GETEX n EXAT 1|GETEX n|GETDEL a|GETDEL a
DEL b c nosuch|UNLINK d|EXPIRE f 100|EXPIRE f 100 XX|EXPIRE f 100 NX|PERSIST f|PERSIST f|EXPIRE f -1|PEXPIREAT g 99999999999999|RENAME g gg|RENAME gg gg
SET x 1 EX 100|RENAME x gg|RENAMENX gg j|RENAMENX gg y|COPY y z|COPY y z|COPY y z REPLACE|COPY y w DB 5|MOVE z 5|MOVE y 5|MOVE none 5|SETEX q 100 1
SET q 1 GET|SET q 1 GET KEEPTTL|INCRBYFLOAT newf 1|INCR q|APPEND q x|GETRANGE none 0 1|SUBSTR none 0 1|EXISTS none|EXISTS none q none2|TTL none|PTTL none
EXPIRETIME none|TYPE none|STRLEN none|MGET none none2 q|OBJECT ENCODING none|OBJECT FREQ none|GETBIT none 1|BITCOUNT none|BITPOS none 1|LCS none none2
TOUCH none q|GET none|GET q|SET none9 1 XX|RANDOMKEY|SCAN 0 COUNT 1000|EXPIRE none 1|PERSIST none|DEL none|RENAME none other|DBSIZE|SWAPDB 0 5|SELECT 5|SET s 1
SELECT 0|SET big 1|FLUSHDB|SET u 1|FLUSHALL
HSET h a 1 b 2|HSET h a 1|HMSET h c 3|HSETNX h a 1|HSETNX h d 1|HINCRBY h n 2|HINCRBYFLOAT h f 1.5|HDEL h a nosuch|HDEL h nosuch|HDEL h b c d n f|HGET h a|HDEL h a
LPUSH l 1 2 3|RPUSH l 4 5|LPUSHX l 0|RPUSHX l 6|LPUSHX nolist 1|LSET l 0 x|LINSERT l BEFORE 2 y|LINSERT l BEFORE nosuch y|LREM l 0 2|LREM l 0 nosuch|LTRIM l 0 4
LTRIM l 0 -1|LPOP l|RPOP l 2|LPOP l 0|RPOPLPUSH l l2|LMOVE l2 l2 LEFT RIGHT|LMOVE l l2 LEFT LEFT|RPUSH l a b c d|LMPOP 2 nolist l LEFT COUNT 2|LTRIM l 5 6|LPOP l
RPUSH l a b|BLPOP l 1|BRPOP l 1|RPUSH l a|BLMOVE l l2 LEFT RIGHT 1|RPUSH l a|BRPOPLPUSH l l2 1|RPUSH l a b|BLMPOP 1 1 l RIGHT COUNT 5|LRANGE nolist 0 1|DEL l2
SADD s 1 2 3|SADD s 1|SREM s 1 9|SREM s 9|SMOVE s s2 2|SMOVE s s2 nosuch|SPOP s|SPOP s2 5|SPOP s2|SADD s 1 2|SADD s2 2 3|SINTERSTORE s3 s s2|SUNIONSTORE s3 s s2
SDIFFSTORE s3 s s2|SDIFFSTORE s3 s s|SINTERSTORE s3 s noset|SUNIONSTORE s2 noset|SMEMBERS noset|SINTER noset s|SREM s 1 2|SADD s 1|SMOVE s s 1|DEL s
ZADD z 1 a 2 b|ZADD z 1 a|ZADD z 2 a|ZADD z XX 3 nosuch|ZADD z INCR 1 a|ZINCRBY z 2 b|ZINCRBY z 0 b|ZREM z nosuch|ZREM z a|ZADD z 1 a 2 b 3 c 4 d 5 e|ZPOPMIN z|ZPOPMAX z 1
ZREMRANGEBYSCORE z 2 2|ZREMRANGEBYSCORE z 90 91|ZREMRANGEBYRANK z 0 0|ZREMRANGEBYRANK z 7 8|ZADD z 0 a 0 b 0 c|ZREMRANGEBYLEX z [a [a|ZREMRANGEBYLEX z [x [y
ZMPOP 2 nozset z MIN COUNT 1|ZADD z 1 a 2 b|ZUNIONSTORE z2 1 z|ZINTERSTORE z2 2 z nozset|ZDIFFSTORE z2 1 z|ZRANGESTORE z3 z 0 -1|ZRANGESTORE z3 z 7 8|BZPOPMIN z 1
BZPOPMAX z 1|ZADD z 1 a 2 b|BZMPOP 1 1 z MAX|ZPOPMIN z 5|ZADD z 1 a|ZREM z a|ZRANGE nozset 0 1|ZSCORE nozset a|DEL z2
GEOADD g 13.361389 38.115556 p 15.087269 37.502669 c|GEOADD g 13.361389 38.115556 p|GEOSEARCHSTORE g2 g FROMMEMBER p BYRADIUS 500 KM|GEOSEARCHSTORE g2 g FROMLONLAT 0 0 BYRADIUS 1 KM
GEORADIUS g 15 37 500 km STORE g3|GEORADIUSBYMEMBER g p 500 km STOREDIST g3|GEORADIUS g 0 0 1 km STORE g3|GEODIST nogeo a b|DEL g
PFADD p a b|PFADD p a|PFADD p|PFADD q|PFCOUNT p|PFCOUNT nopf|PFMERGE p2 p q|PFMERGE p2|PFMERGE new nopf|DEL p q p2 new
RPUSH l 3 1 2|SORT l|SORT l STORE sorted|SORT nolist STORE sorted|SADD s b a|SORT s ALPHA STORE sorted|COPY sorted copied|RENAME copied renamed|EXPIRE renamed -1|MOVE sorted 5
SET l x|RPUSH l2 1|RENAME l2 l|SADD s 1 2 3|SUNIONSTORE l s|HSET big f v|FLUSHALL
""".strip().replace("\n", "|").split("|")
]


class Listener:
    """A connection, and what is told of what it does."""

    def __init__(self, server, classes):
        self.client, self.subscriber = server.connect(), server.connect()
        self.client.call("CONFIG", "SET", "notify-keyspace-events", classes)
        self.client.call("FLUSHALL")
        self.subscriber.raw("PSUBSCRIBE", "__key*@*")
        self.count = 0

    def events(self):
        found = []
        self.count += 1
        for token in (f"{self.count}-a", f"{self.count}-b"):  # the first may be answered before what another thread has published
            self.subscriber.send_command("PING", token)
            while (message := self.subscriber.read()) != [b"pong", token.encode()]:
                found.append(tuple(message[2:]))
        return found

    def tell(self, *command):
        reply = self.client.raw(*command)
        return reply, self.events()

    def close(self):
        self.client.close()
        self.subscriber.close()


@pytest.fixture
def both():
    listeners = []
    with servers.redis() as reference, servers.pinfold("--threads", "2") as subject:
        yield lambda classes: listeners.extend(Listener(server, classes) for server in (reference, subject)) or listeners[-2:]
        for listener in listeners:
            listener.close()


@pytest.mark.parametrize("classes", ["EAmn", "KA", "KEA", "K$", "Eg", "Exe", "En", "Km", "Eglshz", "A", ""])
def test_each_command_tells_what_it_tells_in_redis(both, classes):
    reference, subject = both(classes)
    for command in COMMANDS:
        (_, expected), (_, actual) = reference.tell(*command), subject.tell(*command)
        assert actual == expected, command


def test_a_transaction_tells_the_events_of_its_commands(both):
    reference, subject = both("EAn")
    rng = random.Random(1)
    for _ in range(20):
        told = []
        commands = [command for command in rng.sample(COMMANDS, 12) if command[0] not in ("SELECT", "SWAPDB", "FLUSHALL", "FLUSHDB", "RANDOMKEY", "SCAN", "GETEX")]
        for listener in (reference, subject):
            listener.client.pipeline([["MULTI"], *commands, ["EXEC"]])
            told.append(listener.events())
        assert told[1] == told[0], commands


def test_the_setting_is_shown_as_in_redis(both):
    reference, subject = both("")
    for letters in ("KEA", "AKE", "KEg$lshzxe", "Kx", "Eg$", "nmEKxe", "A", "K", "", "KKEE$$", "KEAt"):
        for listener in (reference, subject):
            listener.client.call("CONFIG", "SET", "notify-keyspace-events", letters)
        assert subject.client.raw("CONFIG", "GET", "notify-keyspace-events") == reference.client.raw("CONFIG", "GET", "notify-keyspace-events"), letters
