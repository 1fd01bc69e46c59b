// The ACL calls of node-redis: acl_node_redis.mjs <port> <protocol>. The server has an ACL file.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const { createClient } = require('redis');
const [port, protocol] = process.argv.slice(2).map(Number);
const options = { url: `redis://127.0.0.1:${port}`, ...(protocol === 3 ? { RESP: 3 } : {}) };
const admin = createClient(options);
await admin.connect();

assert.equal(await admin.aclWhoAmI(), 'default');
assert.ok((await admin.aclCat()).includes('cache'));
assert.ok((await admin.aclCat('read')).includes('get'));
assert.equal((await admin.aclGenPass()).length, 64);
assert.equal((await admin.aclGenPass(32)).length, 8);

assert.equal(await admin.aclSetUser('ada', ['reset', 'on', '>secret', '~product:*', '+@read', '+acl|whoami', '(+set ~mine)']), 'OK');
const user = await admin.aclGetUser('ada');
assert.ok([...user.flags].includes('on'));
assert.equal(user.passwords.length, 1);
assert.equal(user.keys, '~product:*');
assert.equal(user.commands, '-@all +@read +acl|whoami');
assert.equal(user.selectors.length, 1);
assert.equal(user.selectors[0].keys, '~mine');
if (protocol === 3) assert.equal(await admin.aclGetUser('nobody'), null);  // in RESP2 the library does not expect nil
assert.deepEqual(await admin.aclUsers(), ['ada', 'default']);
assert.equal((await admin.aclList()).length, 2);
assert.equal(await admin.aclDryRun('ada', ['GET', 'product:1']), 'OK');
assert.match(await admin.aclDryRun('ada', ['GET', 'other']), /no permissions to access the 'other' key/);

const ada = createClient({ ...options, username: 'ada', password: 'secret' });
await ada.connect();
assert.equal(await ada.aclWhoAmI(), 'ada');
assert.equal(await ada.get('product:1'), null);
assert.equal(await ada.set('mine', '1'), 'OK');
await assert.rejects(ada.get('other'), /NOPERM/);

const log = await admin.aclLog();
assert.equal(log[0].reason, 'key');
assert.equal(log[0].object, 'other');
assert.equal(log[0].username, 'ada');
assert.equal(log[0].count, 1);
assert.ok(log[0]['age-seconds'] >= 0);
assert.equal((await admin.aclLog(1)).length, 1);
assert.equal(await admin.aclLogReset(), 'OK');
assert.equal((await admin.aclLog()).length, 0);

assert.equal(await admin.aclSave(), 'OK');
assert.equal(await admin.aclLoad(), 'OK');
assert.deepEqual(await admin.aclUsers(), ['ada', 'default']);
ada.on('error', () => {});
const closed = new Promise((resolve) => { ada.once('error', resolve); });
assert.equal(await admin.aclDelUser('ada'), 1);
await closed;
ada.destroy();
await assert.rejects(admin.aclSetUser('x', ['+nosuch']), /Unknown command or category name in ACL/);
await admin.close();
console.log('acl ok');
