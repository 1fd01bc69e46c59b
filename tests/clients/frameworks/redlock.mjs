// Takes a lock of redlock many times, as other workers do: redlock.mjs <port> <folder> <rounds>
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { Inside } from './inside.mjs';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const Redis = require('ioredis');
const { default: Redlock, ExecutionError, ResourceLockedError } = require('redlock');
const [port, folder, rounds] = process.argv.slice(2);
const client = new Redis(Number(port));
const redlock = new Redlock([client], { retryCount: -1, retryDelay: 3, retryJitter: 2 });
const inside = new Inside(folder);
for (let round = 0; round < Number(rounds); round += 1) {
  const lock = await redlock.acquire(['lock:redlock'], 30000);
  await inside.once();
  await lock.release();
}

// Others keep away from it, it can be made to last, and whoever has lost it cannot release it.
const own = `lock:${process.pid}`;
const impatient = new Redlock([client], { retryCount: 0 });
let lock = await impatient.acquire([own, `${own}:two`], 20000);
await assert.rejects(impatient.acquire([own], 1000), (error) => error instanceof ExecutionError || error instanceof ResourceLockedError);
const before = await client.pttl(own);
lock = await lock.extend(60000);
assert.ok((await client.pttl(own)) > before);
await client.set(own, 'of another');
await assert.rejects(lock.release());
assert.equal(await client.get(own), 'of another');
await client.del(own, `${own}:two`);
assert.equal(await impatient.using([own], 5000, async (signal) => (signal.aborted ? 'aborted' : client.exists(own))), 1);
assert.equal(await client.exists(own), 0);
await client.quit();
console.log(`overlaps: ${inside.overlaps}`);
