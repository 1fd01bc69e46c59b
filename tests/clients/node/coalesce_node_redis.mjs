// One node-redis client that all of a program shares: coalesce_node_redis.mjs <port> <protocol>
import { createRequire } from 'node:module';
import { checkSharedClient } from './shared_client.mjs';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const { createClient } = require('redis');
const client = createClient({ url: `redis://127.0.0.1:${process.argv[2]}`, RESP: Number(process.argv[3]) });
await client.connect();
const other = client.duplicate();
await other.connect();
await checkSharedClient({
  client,
  other,
  command: (...words) => client.sendCommand(words),
  store: (key, value) => client.set(key, value, { EX: 60 }),
});
await Promise.all([client.close(), other.close()]);
console.log('cache-aside ok');
