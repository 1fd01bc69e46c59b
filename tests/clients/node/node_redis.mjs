// A cache-aside program on node-redis: node_redis.mjs <port> <protocol>
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { tls } from './tls.mjs';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const { createClient, RESP_TYPES } = require('redis');
const [port, protocol] = process.argv.slice(2).map(Number);

// With the defaults of the library, but for the address and, where it is asked for, the protocol.
const where = tls ? { socket: { host: '127.0.0.1', port, tls: true, ...tls } } : { url: `redis://127.0.0.1:${port}` };
const client = createClient({ ...where, ...(protocol === 3 ? { RESP: 3 } : {}) });
client.on('error', (error) => { throw error; });
await client.connect();
await client.flushAll();

let loads = 0;
const origin = async (id) => { loads += 1; return JSON.stringify({ id, name: `user ${id}` }); };
async function user(id) {
  const cached = await client.get(`user:${id}`);
  if (cached !== null) return cached;
  const loaded = await origin(id);
  await client.set(`user:${id}`, loaded, { expiration: { type: 'EX', value: 60 } });
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

assert.deepEqual(await client.multi().set('m', '1').incr('m').get('m').exec(), ['OK', 2, '2']);
assert.deepEqual(await Promise.all([client.set('p', 'x'), client.append('p', 'y'), client.get('p')]), ['OK', 2, 'xy']);
assert.equal(await client.mSet({ a: '1', b: '2' }), 'OK');
assert.deepEqual(await client.mGet(['a', 'none', 'b']), ['1', null, '2']);

for (let i = 0; i < 250; i += 1) await client.set(`scan:${i}`, `${i}`);
const seen = new Set();
for await (const keys of client.scanIterator({ MATCH: 'scan:*', COUNT: 20 })) for (const key of keys) seen.add(key);
assert.equal(seen.size, 250);

assert.equal(await client.incrBy('n', 40), 40);
assert.equal(await client.decr('n'), 39);
assert.equal(Number(await client.incrByFloat('f', 1.5)), 1.5);

const binary = Buffer.from([...Array(256).keys()]);
await client.set('binary', binary);
const back = await client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }).get('binary');
assert.ok(binary.equals(back));
const large = 'x'.repeat(1 << 20);
await client.set('large', large);
assert.equal(await client.get('large'), large);

assert.equal(await client.set('lock', '1', { condition: 'NX' }), 'OK');
assert.equal(await client.set('lock', '2', { condition: 'NX' }), null);
assert.equal(await client.getDel('lock'), '1');

await client.set('text', 'abc');
await assert.rejects(client.incr('text'), /ERR value is not an integer or out of range/);
await assert.rejects(client.sendCommand(['NOSUCH']), /ERR unknown command/);

const other = client.duplicate();
await other.connect();
await other.watch('w');
await client.set('w', '1');
await assert.rejects(other.multi().get('w').exec(), /watch/i);
await other.close();

assert.equal((await client.configGet('timeout')).timeout, '0');
assert.match(await client.info('server'), /redis_version:/);
await client.close();
console.log('cache-aside ok');
