// Consumes points, as other workers do: rate_limiter_flexible.mjs <port> <client> <points> <calls>
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const { RateLimiterRedis, RateLimiterQueue } = require('rate-limiter-flexible');
const [port, kind, points, calls] = process.argv.slice(2);
let client;
if (kind === 'ioredis') {
  const Redis = require('ioredis');
  client = new Redis(Number(port));
} else {
  client = require('redis').createClient({ url: `redis://127.0.0.1:${port}` });
  await client.connect();
}
const options = { storeClient: client, useRedisPackage: kind !== 'ioredis', duration: 600 };
const shared = new RateLimiterRedis({ ...options, keyPrefix: 'shared', points: Number(points) });

let accepted = 0;
await Promise.all([...Array(Number(calls))].map(async () => {
  try {
    await shared.consume('caller');
    accepted += 1;
  } catch (refusal) {
    assert.equal(refusal.remainingPoints, 0);
    assert.ok(refusal.msBeforeNext > 0 && refusal.msBeforeNext <= 600000);
  }
}));

// What one process can see of it.
const own = `own:${process.pid}`;
const limiter = new RateLimiterRedis({ ...options, keyPrefix: 'own', points: 5 });
const first = await limiter.consume(own, 2);
assert.equal(first.consumedPoints, 2);
assert.equal(first.remainingPoints, 3);
assert.equal(first.isFirstInDuration, true);
assert.equal((await limiter.consume(own, 3)).isFirstInDuration, false);
await assert.rejects(limiter.consume(own), (refusal) => refusal.consumedPoints === 6);
assert.equal((await limiter.get(own)).consumedPoints, 6);
assert.equal((await limiter.penalty(own, 4)).consumedPoints, 10);
assert.equal((await limiter.reward(own, 7)).consumedPoints, 3);
await limiter.block(own, 30);
await assert.rejects(limiter.consume(own), (refusal) => refusal.msBeforeNext > 29000);
assert.equal(await limiter.delete(own), true);
assert.equal(await limiter.get(own), null);
const short = new RateLimiterRedis({ ...options, keyPrefix: 'short', points: 1, duration: 1 });
await short.consume(own);
const refusal = await short.consume(own).catch((found) => found);
await new Promise((resolve) => setTimeout(resolve, refusal.msBeforeNext + 20));
assert.equal((await short.consume(own)).consumedPoints, 1);
const queue = new RateLimiterQueue(new RateLimiterRedis({ ...options, keyPrefix: 'queue', points: 2, duration: 1 }));
for (let n = 0; n < 3; n += 1) await queue.removeTokens(1, own);

await (client.quit ?? client.close).call(client);
console.log(`accepted: ${accepted}`);
