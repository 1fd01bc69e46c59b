// A program for each type on node-redis: types_node_redis.mjs <port> <protocol>
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const { createClient } = require('redis');
const [port, protocol] = process.argv.slice(2).map(Number);
const client = createClient({ url: `redis://127.0.0.1:${port}`, ...(protocol === 3 ? { RESP: 3 } : {}) });
client.on('error', (error) => { throw error; });
await client.connect();
await client.flushAll();
const same = (found, expected) => assert.deepEqual(JSON.parse(JSON.stringify(found)), expected);

// Hashes
assert.equal(await client.hSet('h', { name: 'Ada', visits: '1' }), 2);
same(await client.hGetAll('h'), { name: 'Ada', visits: '1' });
same(await client.hmGet('h', ['visits', 'none']), ['1', null]);
assert.equal(await client.hIncrBy('h', 'visits', 4), 5);
assert.equal(await client.hDel('h', 'name'), 1);
assert.equal(await client.hExists('h', 'name'), 0);
await client.hSet('large', Object.fromEntries([...Array(3000)].map((_, n) => [`field:${n}`, `${n}`])));
const fields = {};
for await (const page of client.hScanIterator('large', { COUNT: 100 })) for (const { field, value } of page) fields[field] = value;
assert.equal(Object.keys(fields).length, 3000);
same(await client.hGetAll('large'), fields);

// Lists
assert.equal(await client.rPush('l', ['a', 'b', 'c', 'd']), 4);
same(await client.lRange('l', 0, -1), ['a', 'b', 'c', 'd']);
assert.equal(await client.lPos('l', 'c'), 2);
assert.equal(await client.lMove('l', 'm', 'LEFT', 'RIGHT'), 'a');
same(await client.lmPop(['none', 'l'], 'RIGHT', { COUNT: 2 }), ['l', ['d', 'c']]);
assert.equal(await client.lPop('m'), 'a');
assert.equal(await client.lPop('m'), null);

// Sets
assert.equal(await client.sAdd('s', ['a', 'b', 'c']), 3);
await client.sAdd('t', ['b', 'c', 'd']);
same((await client.sMembers('s')).sort(), ['a', 'b', 'c']);
same((await client.sInter(['s', 't'])).sort(), ['b', 'c']);
same(await client.smIsMember('s', ['a', 'x']), [1, 0]);
assert.equal(await client.sUnionStore('u', ['s', 't']), 4);
await client.sAdd('numbers', [...Array(3000)].map((_, n) => `${n}`));
const members = new Set();
for await (const page of client.sScanIterator('numbers')) for (const member of page) members.add(member);
assert.equal(members.size, 3000);

// Sorted sets
assert.equal(await client.zAdd('z', [{ score: 3, value: 'ada' }, { score: 1.5, value: 'grace' }]), 2);
same(await client.zRangeWithScores('z', 0, -1), [{ value: 'grace', score: 1.5 }, { value: 'ada', score: 3 }]);
// This client reads doubles of RESP3 digit by digit, and 1.75 comes out a little larger; 2.5 does not.
assert.equal(await client.zIncrBy('z', 1, 'grace'), 2.5);
assert.equal(await client.zScore('z', 'none'), null);
same(await client.zmScore('z', ['ada', 'none']), [3, null]);
assert.equal(await client.zRevRank('z', 'ada'), 0);
same(await client.zRange('z', '-inf', '(3', { BY: 'SCORE' }), ['grace']);
assert.equal(await client.zUnionStore('y', [{ key: 'z', weight: 2 }]), 2);
same(await client.zPopMax('y'), { value: 'ada', score: 6 });
same(await client.zAdd('z', { score: Infinity, value: 'last' }), 1);
same(await client.zRange('z', 'inf', 'inf', { BY: 'SCORE' }), ['last']);

// HyperLogLog and geo
assert.equal(await client.pfAdd('p', ['a', 'b', 'c']), 1);
assert.equal(await client.pfCount('p'), 3);
await client.geoAdd('g', [{ longitude: 13.361389, latitude: 38.115556, member: 'Palermo' }, { longitude: 15.087269, latitude: 37.502669, member: 'Catania' }]);
assert.equal(await client.geoDist('g', 'Palermo', 'Catania', 'km'), 166.2742);
same(await client.geoSearch('g', { longitude: 15, latitude: 37 }, { radius: 200, unit: 'km' }, { SORT: 'ASC' }), ['Catania', 'Palermo']);
assert.ok(Math.abs(Number((await client.geoPos('g', 'Palermo'))[0].longitude) - 13.361389) < 1e-5);

// Blocking pops of several clients, each with a connection of its own.
const workers = await Promise.all([...Array(4)].map(async () => { const one = client.duplicate(); one.on('error', () => {}); return one.connect(); }));
const taken = [];
const done = workers.map(async (worker) => {
  for (;;) {
    const { element } = await worker.blPop(['urgent', 'jobs'], 30);
    if (element === 'stop') return;
    taken.push(element);
  }
});
await Promise.all([...Array(200)].map((_, n) => client.rPush('jobs', `${n}`)));
while (await client.exists('jobs')) await new Promise((resolve) => setTimeout(resolve, 5));
await client.rPush('urgent', ['stop', 'stop', 'stop', 'stop']);
await Promise.all(done);
same(taken.map(Number).sort((a, b) => a - b), [...Array(200).keys()]);
assert.equal(await workers[0].blPop('none', 0.05), null);
same(await workers[0].bzPopMin('z', 1), { key: 'z', value: 'grace', score: 2.5 });
assert.equal(await workers[0].blMove('s2', 'none', 'LEFT', 'LEFT', 0.05), null);
await Promise.all(workers.map((worker) => worker.close()));

// Pipelines and transactions
same(await client.multi().hSet('h2', 'a', '1').hGetAll('h2').rPush('l2', 'x').zAdd('z2', { score: 1, value: 'm' }).zRangeWithScores('z2', 0, -1).exec(),
  [1, { a: '1' }, 1, 1, [{ value: 'm', score: 1 }]]);
await assert.rejects(client.lPush('h2', 'x'), /WRONGTYPE/);
const found = [];
for await (const page of client.scanIterator({ TYPE: 'zset' })) found.push(...page);
same(found.sort(), ['g', 'y', 'z', 'z2']);
await client.close();
console.log('types ok');
