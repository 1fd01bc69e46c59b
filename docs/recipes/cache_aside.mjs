// Cache-aside with leases, on node-redis: cache_aside.mjs [port]
import { createClient, createClientPool } from 'redis';

const WAIT_MS = 2_000, FRESH_MS = 60_000, STALE_MS = 600_000;
const url = `redis://127.0.0.1:${process.argv[2] ?? 6379}`;
const cache = await createClient({ url }).connect();
// A reader that waits holds up what its connection sends after it, the fill too: waiting has connections of its own.
const waiting = await createClientPool({ url }, { minimum: 20, maximum: 20 }).connect();
const send = (client, ...args) => client.sendCommand(args.map(String));

// The value of the key, or null where load() finds none. load() runs once, however many ask.
export async function readThrough(key, load) {
  const [status, value, token, ms] = await send(waiting, 'CACHE.GET', key, 'WAIT', WAIT_MS);
  if (status === 'miss') {
    if (!token) throw new Error(`retry within ${ms} ms`); // answer 503, do not go to the database
    return fill(key, load, token);
  }
  if (token) fill(key, load, token).catch(console.error); // stale, or soon to be: nobody waits for it
  return status === 'absent' ? null : JSON.parse(value);
}

async function fill(key, load, token) {
  let value;
  try {
    value = await load();
  } catch (error) {
    await send(cache, 'CACHE.RELEASE', key, token, 'RETRY', 1_000);
    throw error;
  }
  if (value === null) await send(cache, 'CACHE.ABSENT', key, 'TOKEN', token, 'PX', 30_000);
  // null if somebody wrote meanwhile: then this value is for this caller only
  else await send(cache, 'CACHE.SET', key, JSON.stringify(value), 'TOKEN', token, 'PX', FRESH_MS, 'STALE', STALE_MS);
  return value;
}

const database = new Map([['user:1', 'Ada'], ['user:2', '']]);
let loads = 0;
const load = (key) => async () => {
  loads += 1;
  const row = database.get(key) ?? null;
  await new Promise((done) => setTimeout(done, 200));
  return row;
};
await cache.del(['user:1', 'user:2', 'user:3']);
const found = await Promise.all(Array.from({ length: 50 }, () => readThrough('user:1', load('user:1'))));
console.log(`${found.length} readers, ${loads} load, ${found.filter((name) => name === 'Ada').length} answers`);
await cache.del('user:1');
const reader = readThrough('user:1', load('user:1'));
while (loads < 2) await new Promise((done) => setTimeout(done, 1)); // until the reader has the old row in its hands
database.set('user:1', 'Grace'); // commit first,
await cache.del('user:1'); // then invalidate: this voids the reader's token
console.log(`the reader got ${await reader}, the next one ${await readThrough('user:1', load('user:1'))}`);
console.log(`nobody: ${await readThrough('user:3', load('user:3'))}, empty: "${await readThrough('user:2', load('user:2'))}"`);
await Promise.all([cache.close(), waiting.close()]);
