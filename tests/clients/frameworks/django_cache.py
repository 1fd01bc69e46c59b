"""The cache of a Django project, with django-redis behind it."""

import django
from django.conf import settings


def connect(port):
    settings.configure(CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"redis://127.0.0.1:{port}/1", "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"}}})
    django.setup()
    from django.core.cache import cache

    return cache
