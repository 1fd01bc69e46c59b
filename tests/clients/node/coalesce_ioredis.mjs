// One ioredis client that all of a program shares, under a policy with coalesce: coalesce_ioredis.mjs <port> <protocol>
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const Redis = require('ioredis');
const client = new Redis(Number(process.argv[2]));
const other = client.duplicate();
await client.flushall();
assert.equal(await client.call('CACHE.POLICY', 'SET', 'shared', 'match', 'shared:*', 'coalesce', '10m', 'lease', '10m'), 'OK');

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
  await client.set('shared:many', 'loaded', 'EX', 60);
  return 'loaded';
};
assert.deepEqual(new Set(await Promise.all([...Array(100)].map(user))), new Set(['loaded']));

await client.call('CACHE.POLICY', 'DEL', 'shared');
await Promise.all([client.quit(), other.quit()]);
console.log('cache-aside ok');
