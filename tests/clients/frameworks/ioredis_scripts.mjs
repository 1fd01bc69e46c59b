// Scripts as ioredis sends them: ioredis_scripts.mjs <port> <protocol>
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const Redis = require('ioredis');
const client = new Redis(Number(process.argv[2]));
await client.flushall();
await client.script('FLUSH');
client.defineCommand('release', { numberOfKeys: 1, lua: "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0" });
client.defineCommand('describe', { lua: "return {KEYS[1], #KEYS, #ARGV, ARGV, {ok='FINE'}, 3.9, true, false}" });
client.defineCommand('fail', { numberOfKeys: 0, lua: "return redis.error_reply('MINE failed')" });
client.defineCommand('readOnly', { numberOfKeys: 1, lua: "return redis.call('SET', KEYS[1], '1')", readOnly: true });

assert.equal(await client.set('lock', 'token', 'PX', 60000, 'NX'), 'OK');
assert.equal(await client.release('lock', 'other'), 0);
assert.equal(await client.release('lock', 'token'), 1);
assert.deepEqual(await client.describe(2, 'a', 'b', 'x', Buffer.from([0, 255, 13, 10]).toString('latin1')).then((reply) => reply.slice(0, 3)), ['a', 2, 2]);
assert.deepEqual(await client.describe(1, 'a', 'x'), ['a', 1, 1, ['x'], 'FINE', 3, 1, null]);
const binary = Buffer.from([...Array(256).keys()]);
assert.ok(binary.equals((await client.describeBuffer(1, 'k', binary))[3][0]));
await assert.rejects(client.fail(), /^ReplyError: MINE failed/);

// What the server has forgotten is sent again; pipelines and transactions make sure before.
await client.script('FLUSH');
assert.equal(await client.release('lock', 't'), 0);
assert.deepEqual(await client.pipeline().set('lock', 't').release('lock', 't').exists('lock').exec(), [[null, 'OK'], [null, 1], [null, 0]]);
assert.deepEqual(await client.multi().set('lock', 't').release('lock', 'no').release('lock', 't').exec(), [[null, 'OK'], [null, 0], [null, 1]]);
const many = await Promise.all([...Array(500)].map((unused, n) => client.describe(1, `k${n}`, n)));
assert.ok(many.every((reply, n) => reply[0] === `k${n}` && reply[3][0] === String(n)));

const sha = await client.script('LOAD', 'return ARGV[1]');
assert.deepEqual(await client.script('EXISTS', sha, 'a'.repeat(40)), [1, 0]);
assert.equal(await client.evalsha(sha, 0, 'x'), 'x');
await assert.rejects(client.evalsha('a'.repeat(40), 0), /NOSCRIPT No matching script/);
await assert.rejects(client.eval('return redis.call("NOSUCH")', 0), /Unknown Redis command called from script/);
await assert.rejects(client.eval('return (', 0), /Error compiling script/);
await client.quit();
console.log('scripts ok');
