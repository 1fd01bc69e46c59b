// The client-side cache of node-redis stays coherent: node_redis_tracking.mjs <port>
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const { createClient, BasicClientSideCache } = require('redis');
const url = `redis://127.0.0.1:${process.argv[2]}`;
const cache = new BasicClientSideCache({ ttl: 0, maxEntries: 0, evictPolicy: 'LRU', recordStats: true });
const client = createClient({ url, RESP: 3, clientSideCache: cache });
client.on('error', () => {});
await client.connect();
const writer = createClient({ url });
await writer.connect();
await writer.flushAll();

// The value that the client reads when it has been told of all that was written before.
async function until(condition) {
  for (let tries = 0; !(await condition()); tries += 1) {
    assert.ok(tries < 3000);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

await writer.set('k', '1');
assert.equal(await client.get('k'), '1');
for (let n = 0; n < 10; n += 1) assert.equal(await client.get('k'), '1');
assert.equal(cache.stats().hitCount, 10);
await writer.set('k', '2');
await until(async () => (await client.get('k')) === '2');
await writer.del('k');
await until(async () => (await client.get('k')) === null);

// Its own writes, a time to live that runs out, and FLUSHALL.
await client.set('own', 'a');
assert.equal(await client.get('own'), 'a');
await client.set('own', 'b');
await until(async () => (await client.get('own')) === 'b');
await writer.set('brief', 'x', { expiration: { type: 'PX', value: 60 } });
await client.get('brief');
await until(async () => (await client.get('brief')) === null);
await writer.mSet({ a: '1', b: '2' });
assert.deepEqual(await client.mGet(['a', 'b']), ['1', '2']);
await writer.flushAll();
await until(async () => (await client.get('own')) === null && (await client.mGet(['a', 'b'])).every((value) => value === null));

// A counter that grows is never seen to shrink, and after the last write what the cache has is what the server has.
const keys = [...Array(20)].map((unused, n) => `counter:${n}`);
const seen = new Map();
let writing = true;
const reads = (async () => {
  while (writing) {
    for (const key of keys) {
      const found = await client.get(key).catch(() => undefined);  // the connection was killed
      if (found === undefined) continue;
      const value = Number(found);
      assert.ok(value >= (seen.get(key) ?? 0), `${key} was ${seen.get(key)}, and is ${value}`);
      seen.set(key, value);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
})();
for (let n = 1; n <= 150; n += 1) {
  await Promise.all(keys.map((key, at) => ((n + at) % 3 === 0 ? writer.incr(key) : null)));
  if (n % 50 === 0) {
    const id = await client.clientId().catch(() => 0);
    await writer.sendCommand(['CLIENT', 'KILL', 'ID', String(id || 1), 'SKIPME', 'yes']);
  }
}
writing = false;
await reads;
const settled = async () => {
  const now = await writer.mGet(keys);
  const cached = await Promise.all(keys.map((key) => client.get(key).catch(() => undefined)));
  return now.every((value, at) => value === cached[at]);
};
await until(settled);
const hits = cache.stats().hitCount;
assert.ok(await settled());
assert.ok(cache.stats().hitCount >= hits + keys.length, 'nothing was cached');
await Promise.all([client.close(), writer.close()]);
console.log('tracking ok');
