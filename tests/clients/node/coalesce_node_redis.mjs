// One node-redis client that all of a program shares, under a policy with coalesce: coalesce_node_redis.mjs <port> <protocol>
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const { createClient } = require('redis');
const client = createClient({ url: `redis://127.0.0.1:${process.argv[2]}`, RESP: Number(process.argv[3]) });
await client.connect();
const other = client.duplicate();
await other.connect();
await client.flushAll();
assert.equal(await client.sendCommand(['CACHE.POLICY', 'SET', 'shared', 'match', 'shared:*', 'coalesce', '10m', 'lease', '10m']), 'OK');

// Another program is to load, and does not.
assert.equal(await other.get('shared:k'), null);
const first = client.get('shared:k');
await new Promise((resolve) => setTimeout(resolve, 50));
assert.equal(await client.set('shared:k', 'v'), 'OK');
assert.equal(await first, null);
assert.equal(await client.get('shared:k'), 'v');

// Many requests of one program ask at once, and each loads what it was not given.
assert.equal(await other.get('shared:many'), null);
const user = async () => {
  const cached = await client.get('shared:many');
  if (cached !== null) return cached;
  await client.set('shared:many', 'loaded', { EX: 60 });
  return 'loaded';
};
assert.deepEqual(new Set(await Promise.all([...Array(100)].map(user))), new Set(['loaded']));

await client.sendCommand(['CACHE.POLICY', 'DEL', 'shared']);
await Promise.all([client.close(), other.close()]);
console.log('cache-aside ok');
