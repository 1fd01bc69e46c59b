// A program for each type on ioredis: types_ioredis.mjs <port>
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const { Redis } = require('ioredis');
const port = Number(process.argv[2]);
const client = new Redis(port);
await client.flushall();

assert.equal(await client.hset('h', { name: 'Ada', visits: 1 }), 2);
assert.deepEqual(await client.hgetall('h'), { name: 'Ada', visits: '1' });
assert.deepEqual(await client.hgetall('none'), {});
assert.equal(await client.hincrby('h', 'visits', 2), 3);
await client.hset('large', new Map([...Array(3000)].map((_, n) => [`field:${n}`, n])));
const fields = [];
for await (const page of client.hscanStream('large', { count: 100 })) fields.push(...page);
assert.equal(new Set(fields.filter((_, n) => n % 2 === 0)).size, 3000);

assert.equal(await client.rpush('l', 'a', 'b', 'c'), 3);
assert.deepEqual(await client.lrange('l', 0, -1), ['a', 'b', 'c']);
assert.equal(await client.lmove('l', 'm', 'RIGHT', 'LEFT'), 'c');
assert.equal(await client.linsert('l', 'BEFORE', 'b', 'a2'), 3);
assert.deepEqual(await client.lmpop(1, 'l', 'LEFT', 'COUNT', 2), ['l', ['a', 'a2']]);

assert.equal(await client.sadd('s', 'a', 'b', 'c'), 3);
await client.sadd('t', 'b', 'c', 'd');
assert.deepEqual((await client.sdiff('s', 't')), ['a']);
assert.equal(await client.sinterstore('u', 's', 't'), 2);
assert.equal(await client.sintercard(2, 's', 't'), 2);
await client.sadd('numbers', ...Array(3000).keys());
const members = new Set();
for await (const page of client.sscanStream('numbers')) for (const member of page) members.add(member);
assert.equal(members.size, 3000);

assert.equal(await client.zadd('z', 3, 'ada', 1.5, 'grace'), 2);
assert.deepEqual(await client.zrange('z', 0, -1, 'WITHSCORES'), ['grace', '1.5', 'ada', '3']);
assert.equal(await client.zadd('z', 'GT', 'CH', 4, 'ada'), 1);
assert.deepEqual(await client.zrevrangebyscore('z', '+inf', '-inf', 'LIMIT', 0, 1), ['ada']);
assert.deepEqual(await client.zpopmin('z'), ['grace', '1.5']);

assert.equal(await client.pfadd('p', 'a', 'b', 'c'), 1);
assert.equal(await client.pfcount('p'), 3);
await client.geoadd('g', 13.361389, 38.115556, 'Palermo', 15.087269, 37.502669, 'Catania');
assert.deepEqual(await client.geosearch('g', 'FROMLONLAT', 15, 37, 'BYRADIUS', 200, 'km', 'ASC', 'WITHDIST'), [['Catania', '56.4413'], ['Palermo', '190.4424']]);

const workers = [...Array(4)].map(() => new Redis(port));
const taken = [];
const done = workers.map(async (worker) => {
  for (;;) {
    const [, element] = await worker.brpop('urgent', 'jobs', 30);
    if (element === 'stop') return;
    taken.push(Number(element));
  }
});
const pipeline = client.pipeline();
for (let n = 0; n < 200; n += 1) pipeline.lpush('jobs', n);
assert.ok((await pipeline.exec()).every(([error]) => error === null));
while (await client.exists('jobs')) await new Promise((resolve) => setTimeout(resolve, 5));
await client.lpush('urgent', 'stop', 'stop', 'stop', 'stop');
await Promise.all(done);
assert.deepEqual(taken.sort((a, b) => a - b), [...Array(200).keys()]);
assert.equal(await workers[0].bzpopmin('none', 0.05), null);
assert.deepEqual(await workers[0].bzpopmax('none', 'z', 1), ['z', 'ada', '4']);
await Promise.all(workers.map((worker) => worker.quit()));

assert.deepEqual(await client.multi().hset('h2', 'a', 1).hgetall('h2').zadd('z2', 1, 'm').smembers('u2').exec(), [[null, 1], [null, { a: '1' }], [null, 1], [null, []]]);
await assert.rejects(client.lpush('h2', 'x'), /WRONGTYPE/);
const found = [];
for await (const page of client.scanStream({ type: 'set' })) found.push(...page);
assert.deepEqual(found.sort(), ['numbers', 's', 't', 'u']);
await client.quit();
console.log('types ok');
