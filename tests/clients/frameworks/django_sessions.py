"""Sessions of Django in django-redis: django_sessions.py <port>"""

import datetime
import sys
import time

import django_cache


def main():
    cache = django_cache.connect(int(sys.argv[1]))
    from django.contrib.sessions.backends.cache import SessionStore

    session = SessionStore()
    session["user"] = "ada"
    session.set_expiry(60)
    session.create()
    again = SessionStore(session.session_key)
    assert again["user"] == "ada" and again.exists(session.session_key) and 50 < cache.ttl(session.cache_key) <= 60
    again["seen"] = datetime.date(2024, 2, 29).isoformat()
    again.save()
    assert SessionStore(session.session_key)["seen"] == "2024-02-29"
    before = again.session_key
    again.cycle_key()
    assert again.session_key != before and again["user"] == "ada" and not again.exists(before) and SessionStore(before).get("user") is None
    again.set_expiry(1)
    again.save()
    time.sleep(1.1)
    assert SessionStore(again.session_key).get("user") is None
    grace = SessionStore()
    grace["user"] = "grace"
    grace.save()
    grace.flush()
    assert grace.session_key is None and cache.keys("*sessions*") == []
    print("sessions ok")


main()
