"""The ACL calls of client libraries: redis-py and node-redis."""

import os
import subprocess

import pytest
import redis

from tests.clients.test_libraries import HERE, NODE_MODULES, node_modules  # noqa: F401 (a fixture)
from tests.support import servers


@pytest.fixture
def server(tmp_path):
    path = tmp_path / "users.acl"
    path.write_text("")
    with servers.pinfold("--aclfile", path) as running:
        yield running


def test_redis_py(server):
    admin = redis.Redis(port=server.port, decode_responses=True)
    assert admin.acl_whoami() == "default"
    assert "read" in admin.acl_cat() and "get" in admin.acl_cat("read")
    assert len(admin.acl_genpass()) == 64
    assert admin.acl_setuser(
        "ada", enabled=True, passwords=["+secret", "+other"], keys=["product:*"], channels=["news:*"], categories=["+@read"], commands=["+acl|whoami", "-keys"],
        selectors=[("+set", "%W~mine")],
    )  # fmt: skip
    user = admin.acl_getuser("ada")
    assert "on" in user["flags"] and len(user["passwords"]) == 2
    assert user["categories"] == ["-@all", "+@read"] and user["commands"] == ["+acl|whoami", "-keys"]
    assert user["keys"] == ["~product:*"] and user["channels"] == ["&news:*"]
    assert user["selectors"] == [["commands", "-@all +set", "keys", "%W~mine", "channels", ""]]
    assert admin.acl_getuser("nobody") is None
    assert admin.acl_users() == ["ada", "default"]
    assert len(admin.acl_list()) == 2
    assert admin.acl_dryrun("ada", "get", "product:1") == "OK"
    assert "no permissions to access the 'other' key" in admin.acl_dryrun("ada", "get", "other")

    with redis.Redis(port=server.port, username="ada", password="other", decode_responses=True) as ada:
        assert ada.acl_whoami() == "ada"
        assert ada.get("product:1") is None
        assert ada.set("mine", "1")
        with pytest.raises(redis.exceptions.NoPermissionError):
            ada.get("other")
    assert admin.acl_setuser("ada", passwords=["-secret"], enabled=True)
    assert len(admin.acl_getuser("ada")["passwords"]) == 1

    (entry,) = admin.acl_log()
    assert (entry["reason"], entry["object"], entry["username"], entry["count"]) == ("key", "other", "ada", 1)
    assert float(entry["age-seconds"]) >= 0 and entry["client-info"]["user"] == "ada"
    assert admin.acl_log_reset() and admin.acl_log() == []

    assert admin.acl_save() and admin.acl_load()
    assert admin.acl_users() == ["ada", "default"]
    assert admin.acl_deluser("ada") == 1
    assert admin.acl_help()
    with pytest.raises(redis.exceptions.ResponseError, match="Unknown command or category name in ACL"):
        admin.acl_setuser("x", enabled=True, commands=["+nosuch"])


@pytest.mark.parametrize("protocol", [2, 3])
def test_node_redis(server, node_modules, protocol):  # noqa: F811
    result = subprocess.run(
        ["node", str(HERE / "node/acl_node_redis.mjs"), str(server.port), str(protocol)], capture_output=True, text=True, timeout=120,
        env={**os.environ, "PINFOLD_NODE_MODULES": str(NODE_MODULES)},
    )  # fmt: skip
    assert result.returncode == 0 and result.stdout == "acl ok\n", f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
