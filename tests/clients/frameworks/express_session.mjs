// Sessions of express-session in connect-redis: express_session.mjs <port>
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const express = require('express');
const session = require('express-session');
const { RedisStore } = require('connect-redis');
const { createClient } = require('redis');
const port = Number(process.argv[2]);

const client = createClient({ url: `redis://127.0.0.1:${port}` });
await client.connect();
const store = new RedisStore({ client, prefix: 'app:' });
const app = express();
app.use(session({ store, secret: 'a secret', resave: false, saveUninitialized: false, rolling: true, cookie: { maxAge: 60_000 } }));
app.get('/log-in/:user', (request, response) => {
  request.session.regenerate(() => {
    request.session.user = request.params.user;
    if (request.query.seconds) request.session.cookie.maxAge = Number(request.query.seconds) * 1000;
    response.send('in');
  });
});
app.get('/who', (request, response) => {
  request.session.seen = (request.session.seen ?? 0) + 1;
  response.send(`${request.session.user} ${request.session.seen}`);
});
app.get('/log-out', (request, response) => request.session.destroy(() => response.send('out')));
const server = app.listen(0, '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));

class Browser {
  cookie = '';
  async get(path) {
    const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers: { cookie: this.cookie } });
    const given = response.headers.get('set-cookie');
    if (given) this.cookie = given.split(';')[0];
    assert.equal(response.status, 200);
    return response.text();
  }
}

const [ada, grace, brief] = [new Browser(), new Browser(), new Browser()];
assert.equal(await ada.get('/log-in/ada'), 'in');
assert.equal(await grace.get('/log-in/grace'), 'in');
assert.equal(await ada.get('/who'), 'ada 1');
assert.equal(await ada.get('/who'), 'ada 2');
assert.equal(await grace.get('/who'), 'grace 1');
assert.equal(await store.length(), 2);
assert.deepEqual((await store.all()).map((one) => one.user).sort(), ['ada', 'grace']);

// Each request prolongs a session.
const [sid] = (await store.all()).filter((one) => one.user === 'ada').map((one) => one.id);
await client.expire(`app:${sid}`, 5);
await ada.get('/who');
assert.ok(await client.ttl(`app:${sid}`) > 50);

// A session that ends by itself, and one that is ended.
assert.equal(await brief.get('/log-in/brief?seconds=1'), 'in');
await new Promise((resolve) => setTimeout(resolve, 1100));
assert.equal(await brief.get('/who'), 'undefined 1');
assert.equal(await ada.get('/log-out'), 'out');
assert.equal(await client.exists(`app:${sid}`), 0);
assert.equal(await ada.get('/who'), 'undefined 1');

await client.set('other', 'kept');
await store.clear();
assert.equal(await store.length(), 0);
assert.equal(await client.get('other'), 'kept');
server.close();
server.closeAllConnections();
await client.close();
console.log('sessions ok');
