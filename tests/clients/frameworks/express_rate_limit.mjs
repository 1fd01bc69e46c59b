// A web server whose requests express-rate-limit counts, as others do: express_rate_limit.mjs <port> <client> <limit> <calls>
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const express = require('express');
const { rateLimit } = require('express-rate-limit');
const { RedisStore } = require('rate-limit-redis');
const [port, kind, limit, calls] = process.argv.slice(2);
let client;
let sendCommand;
if (kind === 'ioredis') {
  const Redis = require('ioredis');
  client = new Redis(Number(port));
  sendCommand = (command, ...words) => client.call(command, ...words);
} else {
  client = require('redis').createClient({ url: `redis://127.0.0.1:${port}` });
  await client.connect();
  sendCommand = (...words) => client.sendCommand(words);
}

function application(prefix, most, windowMs) {
  const app = express();
  const limiter = rateLimit({
    windowMs, limit: most, standardHeaders: 'draft-7', legacyHeaders: false, store: new RedisStore({ sendCommand, prefix }),
    keyGenerator: (request) => request.headers['x-caller'],
  });
  app.use(limiter);
  app.get('/', (request, response) => response.send('served'));
  return new Promise((resolve) => {
    const listening = app.listen(0, '127.0.0.1', () => resolve({ listening, limiter, url: `http://127.0.0.1:${listening.address().port}/` }));
  });
}

const ask = (url, caller) => fetch(url, { headers: { 'x-caller': caller } });
const shared = await application('shared:', Number(limit), 600000);
let accepted = 0;
for (let round = 0; round < Number(calls) / 20; round += 1) {
  const answers = await Promise.all([...Array(20)].map(() => ask(shared.url, 'caller')));
  for (const answer of answers) {
    assert.ok(answer.status === 200 || answer.status === 429);
    accepted += answer.status === 200 ? 1 : 0;
    await answer.text();
  }
}

// What one process can see of it.
const own = `own:${process.pid}`;
const small = await application('own:', 3, 600000);
assert.match((await ask(small.url, own)).headers.get('ratelimit'), /limit=3, remaining=2, reset=(600|599)/);
assert.equal((await small.limiter.getKey(own)).totalHits, 1);
for (let n = 0; n < 2; n += 1) assert.equal((await ask(small.url, own)).status, 200);
const refused = await ask(small.url, own);
assert.equal(refused.status, 429);
assert.ok(Number(refused.headers.get('retry-after')) > 500);
small.limiter.resetKey(own);
let tries = 0;
for (; (await small.limiter.getKey(own))?.totalHits > 0; tries += 1) assert.ok(tries < 10000);
assert.equal((await ask(small.url, own)).status, 200);

// A window ends by itself.
const brief = await application('brief:', 1, 500);
const statuses = [];
while (statuses.filter((status) => status === 200).length < 2) {
  statuses.push((await ask(brief.url, own)).status);
  assert.ok(statuses.length < 10000);
}

for (const { listening } of [shared, small, brief]) { listening.closeAllConnections(); listening.close(); }
await (client.quit ?? client.close).call(client);
console.log(`accepted: ${accepted}`);
