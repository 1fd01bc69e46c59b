// A cache-aside program on ioredis: ioredis.mjs <port> <protocol>
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { tls } from './tls.mjs';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const Redis = require('ioredis');
const client = new Redis({ port: Number(process.argv[2]), ...(tls && { tls }) });
await client.flushall();

let loads = 0;
const origin = async (id) => { loads += 1; return JSON.stringify({ id, name: `user ${id}` }); };
async function user(id) {
  const cached = await client.get(`user:${id}`);
  if (cached !== null) return cached;
  const loaded = await origin(id);
  await client.set(`user:${id}`, loaded, 'EX', 60);
  return loaded;
}

assert.equal(await client.get('user:1'), null);
assert.equal(await user(1), await user(1));
assert.equal(loads, 1);
const ttl = await client.ttl('user:1');
assert.ok(ttl > 0 && ttl <= 60);
assert.equal(await client.del('user:1'), 1);
await user(1);
assert.equal(loads, 2);

assert.deepEqual(await client.multi().set('m', '1').incr('m').get('m').exec(), [[null, 'OK'], [null, 2], [null, '2']]);
assert.deepEqual(await client.pipeline().set('p', 'x').append('p', 'y').get('p').exec(), [[null, 'OK'], [null, 2], [null, 'xy']]);
assert.equal(await client.mset({ a: '1', b: '2' }), 'OK');
assert.deepEqual(await client.mget('a', 'none', 'b'), ['1', null, '2']);

for (let i = 0; i < 250; i += 1) await client.set(`scan:${i}`, `${i}`);
const seen = new Set();
for await (const keys of client.scanStream({ match: 'scan:*', count: 20 })) for (const key of keys) seen.add(key);
assert.equal(seen.size, 250);

assert.equal(await client.incrby('n', 40), 40);
assert.equal(await client.decr('n'), 39);
assert.equal(Number(await client.incrbyfloat('f', 1.5)), 1.5);

const binary = Buffer.from([...Array(256).keys()]);
await client.set(binary, binary);
assert.ok(binary.equals(await client.getBuffer(binary)));
const large = 'x'.repeat(1 << 20);
await client.set('large', large);
assert.equal(await client.get('large'), large);

assert.equal(await client.set('lock', '1', 'NX'), 'OK');
assert.equal(await client.set('lock', '2', 'NX'), null);
assert.equal(await client.getdel('lock'), '1');

await client.set('text', 'abc');
await assert.rejects(client.incr('text'), /ERR value is not an integer or out of range/);
await assert.rejects(client.call('NOSUCH'), /ERR unknown command/);

const other = client.duplicate();
await other.watch('w');
await client.set('w', '1');
assert.equal(await other.multi().get('w').exec(), null);
await other.quit();

assert.deepEqual(await client.config('GET', 'timeout'), ['timeout', '0']);
assert.match(await client.info('server'), /redis_version:/);
await client.quit();
console.log('cache-aside ok');
