"""Places: replies of Pinfold and of redis-server to the same requests, byte for byte."""

import random

import pytest

from tests.server.conftest import only_pinfold
from tests.server.test_sorted_sets import both, peer  # noqa: F401
from tests.support import resp

SICILY = ["13.361389", "38.115556", "Palermo", "15.087269", "37.502669", "Catania"]


def fill(call, key, count, around=None):
    chance = random.Random(count)
    words = []
    for i in range(count):
        if around:
            place = (around[0] + chance.uniform(-2, 2), around[1] + chance.uniform(-2, 2))
        else:
            place = (chance.uniform(-180, 180), chance.uniform(-85, 85))
        words += ["%.6f" % place[0], "%.6f" % place[1], "place:%d" % i]
    for at in range(0, len(words), 900):
        call("GEOADD", key, *words[at : at + 900])


def test_places(both):  # noqa: F811
    both("SET", "s", "text")
    for args in [
        [*SICILY], ["13.4", "38.1", "Palermo"], ["NX", "1", "1", "Palermo", "2", "2", "new"], ["XX", "CH", "13.361389", "38.115556", "Palermo", "3", "3", "x"],
        ["CH", *SICILY], ["180", "85.05112878", "corner"], ["-180", "-85.05112878", "other"], ["181", "0", "far"], ["0", "86", "far"], ["x", "0", "far"],
        ["0", "x", "far"], ["1", "2"], ["1", "2", "a", "3"], ["NX", "XX", "1", "2", "a"], ["0", "0", "zero"], ["-0.5", "0.25", "west"], ["NX", "CH"],
        ["1e400", "1", "a"], ["nan", "1", "a"],
    ]:  # fmt: skip
        both("GEOADD", "g", *args)
        both("ZRANGE", "g", "0", "-1", "WITHSCORES")
    both("GEOADD", "s", "1", "1", "a")
    names = ["Palermo", "Catania", "corner", "other", "zero", "west", "none"]
    both("GEOPOS", "g", *names)
    both("GEOPOS", "none", "a", "b")
    both("GEOPOS", "g")
    both("GEOHASH", "g", *names)
    both("GEOHASH", "none", "a")
    both("GEOPOS", "s", "a")
    for unit in ([], ["m"], ["KM"], ["ft"], ["mi"], ["yd"], ["m", "m"]):
        for pair in (["Palermo", "Catania"], ["Palermo", "Palermo"], ["Palermo", "none"], ["corner", "other"], ["zero", "west"]):
            both("GEODIST", "g", *pair, *unit)
            both("GEODIST", "none", *pair, *unit)
    both("ZADD", "odd", "-1", "a", "1e18", "b", "inf", "c", "0.5", "d")
    both("GEOPOS", "odd", "d")


SHOWN = [[], ["WITHCOORD"], ["WITHDIST"], ["WITHHASH"], ["WITHCOORD", "WITHDIST", "WITHHASH"]]
CHOSEN = [[], ["ASC"], ["DESC"], ["COUNT", "3"], ["COUNT", "5", "DESC"], ["COUNT", "4", "ANY"], ["COUNT", "4", "ANY", "ASC"], ["COUNT", "100000"]]


@pytest.mark.parametrize("size", [3, 100, 2000])
@pytest.mark.parametrize("around", [None, (13, 38), (-70, -50), (0.5, 0.5), (100, 75)], ids=str)
def test_searches(both, size, around):  # noqa: F811
    fill(both, "g", size, around)
    longitude, latitude = around or (13, 38)
    for radius, unit in (("0", "m"), ("200", "km"), ("50000", "ft"), ("30", "mi"), ("3000", "km"), ("25000", "km")):
        for chosen in CHOSEN:
            for shown in SHOWN if chosen else SHOWN[:1] + SHOWN[-1:]:
                both("GEORADIUS", "g", longitude, latitude, radius, unit, *shown, *chosen)
            both("GEORADIUS_RO", "g", longitude, latitude, radius, unit, *chosen)
            both("GEORADIUSBYMEMBER", "g", "place:1", radius, unit, "WITHDIST", *chosen)
            both("GEORADIUSBYMEMBER_RO", "g", "place:1", radius, unit, *chosen)
            both("GEOSEARCH", "g", "FROMLONLAT", longitude, latitude, "BYRADIUS", radius, unit, *chosen, "WITHDIST", "WITHHASH")
            both("GEOSEARCH", "g", "FROMMEMBER", "place:2", "BYBOX", radius, "400", unit, *chosen, "WITHCOORD", "WITHDIST")
            both("GEOSEARCHSTORE", "to", "g", "FROMLONLAT", longitude, latitude, "BYBOX", "500", radius, unit, *chosen)
            both("ZRANGE", "to", "0", "-1", "WITHSCORES")
        both("GEORADIUS", "g", longitude, latitude, radius, unit, "STORE", "to")
        both("ZRANGE", "to", "0", "-1", "WITHSCORES")
        both("GEORADIUSBYMEMBER", "g", "place:0", radius, unit, "COUNT", "2", "STORE", "to")
        both("ZRANGE", "to", "0", "-1", "WITHSCORES")
        both("GEORADIUSBYMEMBER", "g", "place:0", radius, unit, "STOREDIST", "to")
        both("ZRANGE", "to", "0", "-1")


def test_wrong_searches(both):  # noqa: F811
    both("GEOADD", "g", *SICILY)
    both("SET", "s", "text")
    both("SET", "to", "text")
    for args in [
        ["GEORADIUS", "g", "15", "37", "200", "yd"], ["GEORADIUS", "g", "15", "37", "-1", "km"], ["GEORADIUS", "g", "15", "37", "x", "km"],
        ["GEORADIUS", "g", "200", "37", "1", "km"], ["GEORADIUS", "g", "x", "37", "1", "km"], ["GEORADIUS", "g", "15", "37", "200", "km", "COUNT", "0"],
        ["GEORADIUS", "g", "15", "37", "200", "km", "COUNT", "x"], ["GEORADIUS", "g", "15", "37", "200", "km", "COUNT"],
        ["GEORADIUS", "g", "15", "37", "200", "km", "ANY"], ["GEORADIUS", "g", "15", "37", "200", "km", "NEAR"], ["GEORADIUS", "s", "15", "37", "200", "km"],
        ["GEORADIUS", "g", "15", "37", "200", "km", "STORE", "to", "WITHDIST"], ["GEORADIUS", "g", "15", "37", "200", "km", "STORE"],
        ["GEORADIUS_RO", "g", "15", "37", "200", "km", "STORE", "to"], ["GEORADIUSBYMEMBER", "g", "none", "200", "km"],
        ["GEORADIUSBYMEMBER", "none", "none", "x", "km"], ["GEORADIUSBYMEMBER", "none", "none", "1", "km", "BAD"], ["GEORADIUS", "none", "15", "37", "200", "km"],
        ["GEOSEARCH", "g", "FROMMEMBER", "Palermo", "BYRADIUS", "1", "km", "BYBOX", "1", "1", "km"],
        ["GEOSEARCH", "g", "FROMMEMBER", "Palermo", "FROMLONLAT", "1", "1", "BYRADIUS", "1", "km"], ["GEOSEARCH", "g", "FROMMEMBER", "Palermo", "ASC", "DESC", "ASC"],
        ["GEOSEARCH", "g", "BYRADIUS", "1", "km", "ASC", "ASC", "ASC"], ["GEOSEARCH", "g", "FROMMEMBER", "none", "BYRADIUS", "1", "km"],
        ["GEOSEARCH", "none", "FROMMEMBER", "none", "BYRADIUS", "1", "km"], ["GEOSEARCH", "g", "FROMMEMBER", "Palermo", "BYBOX", "-1", "1", "km"],
        ["GEOSEARCH", "g", "FROMMEMBER", "Palermo", "BYBOX", "x", "1", "km"], ["GEOSEARCH", "g", "FROMMEMBER", "Palermo", "BYBOX", "1", "x", "km"],
        ["GEOSEARCH", "g", "FROMMEMBER", "Palermo", "BYBOX", "1", "1", "yd"], ["GEOSEARCH", "g", "FROMMEMBER", "Palermo", "BYRADIUS", "1", "km", "STORE", "to"],
        ["GEOSEARCHSTORE", "to", "g", "FROMMEMBER", "Palermo", "BYRADIUS", "1", "km", "WITHDIST"], ["GEOSEARCHSTORE", "to", "s", "FROMMEMBER", "Palermo", "BYRADIUS", "1", "km"],
        ["TYPE", "to"], ["GEOSEARCHSTORE", "to", "none", "FROMMEMBER", "Palermo", "BYRADIUS", "1", "km"], ["TYPE", "to"],
        ["GEOSEARCHSTORE", "to", "g", "FROMMEMBER", "Palermo", "BYRADIUS", "200", "km", "STOREDIST"], ["ZRANGE", "to", "0", "-1"],
        ["GEORADIUS", "g", "0", "0", "1", "km", "STORE", "to"], ["EXISTS", "to"],
        ["GEORADIUS", "g", "15", "37", "200", "km", "STOREDIST", "x", "STORE", "to"], ["EXISTS", "x"], ["ZRANGE", "to", "0", "-1", "WITHSCORES"],
    ]:  # fmt: skip
        both(*args)


@only_pinfold
def test_long_searches(client):
    fill(client.call, "g", 50_000, (13, 38))
    everything = client.call("GEOSEARCH", "g", "FROMLONLAT", "13", "38", "BYRADIUS", "1000", "km", "WITHDIST", "ASC")
    assert len(everything) == 50_000
    distances = [float(pair[1]) for pair in everything]
    assert distances == sorted(distances)
    assert client.call("GEOSEARCH", "g", "FROMLONLAT", "13", "38", "BYRADIUS", "1000", "km", "COUNT", "10") == [pair[0] for pair in everything[:10]]
    assert client.call("GEOSEARCHSTORE", "to", "g", "FROMLONLAT", "13", "38", "BYRADIUS", "1000", "km", "STOREDIST") == 50_000
    assert client.call("ZRANGE", "to", "0", "9") == [pair[0] for pair in everything[:10]]
    client.call("MULTI")
    client.call("GEOSEARCH", "g", "FROMLONLAT", "13", "38", "BYRADIUS", "1000", "km")
    assert isinstance(client.call("EXEC")[0], resp.ErrorReply)
