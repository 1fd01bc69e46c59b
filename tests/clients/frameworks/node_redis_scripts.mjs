// Scripts and functions as node-redis sends them: node_redis_scripts.mjs <port> <protocol>
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const { createClient, defineScript } = require('redis');
const [port, protocol] = process.argv.slice(2).map(Number);
const release = defineScript({
  SCRIPT: "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
  NUMBER_OF_KEYS: 1,
  parseCommand(parser, key, token) { parser.pushKey(key); parser.push(token); },
  transformReply: undefined,
});
const add = {
  NUMBER_OF_KEYS: 1,
  parseCommand(parser, key, by) { parser.pushKey(key); parser.push(String(by)); },
  transformReply: undefined,
};
const client = createClient({ url: `redis://127.0.0.1:${port}`, RESP: protocol, scripts: { release }, functions: { counters: { add } } });
await client.connect();
await client.flushAll();
await client.scriptFlush();

await client.set('lock', 'token');
assert.equal(await client.release('lock', 'other'), 0);
assert.equal(await client.release('lock', 'token'), 1);
await client.scriptFlush();
assert.deepEqual(await client.multi().set('lock', 't').release('lock', 't').exec(), ['OK', 1]);
const sha = await client.scriptLoad('return {1, {2, "x"}, false}');
assert.deepEqual(await client.scriptExists([sha, 'a'.repeat(40)]), [1, 0]);
assert.deepEqual(await client.evalSha(sha), [1, [2, 'x'], null]);
assert.equal(await client.eval('return KEYS[1] .. ARGV[1]', { keys: ['k'], arguments: ['a'] }), 'ka');
assert.equal(await client.evalRo('return redis.call("GET", KEYS[1])', { keys: ['nosuch'] }), null);
await assert.rejects(client.evalRo('return redis.call("SET", KEYS[1], "x")', { keys: ['k'] }), /Write commands are not allowed from read-only scripts/);
if (protocol === 3) assert.equal(await client.eval('redis.setresp(3) return {double=2.5}'), 2.5);

await client.functionFlush();
const code = "#!lua name=counters\nredis.register_function('add', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)";
assert.equal(await client.functionLoad(code, { REPLACE: true }), 'counters');
assert.equal(await client.counters.add('n', 5), 5);
assert.equal(await client.fCall('add', { keys: ['n'], arguments: ['2'] }), 7);
await assert.rejects(client.fCallRo('add', { keys: ['n'], arguments: ['2'] }), /Can not execute a script with write flag using \*_ro command/);
const [library] = await client.functionListWithCode();
assert.equal(library.library_name, 'counters');
assert.equal(library.library_code, code);
assert.deepEqual(library.functions.map(({ name }) => name), ['add']);
assert.equal((await client.functionStats()).engines.LUA.functions_count, 1);
assert.equal(await client.functionDelete('counters'), 'OK');
assert.deepEqual(await client.functionList(), []);
await client.close();
console.log('scripts ok');
