// One ioredis client that all of a program shares: coalesce_ioredis.mjs <port> <protocol>
import { createRequire } from 'node:module';
import { checkSharedClient } from './shared_client.mjs';

const require = createRequire(process.env.PINFOLD_NODE_MODULES + '/');
const Redis = require('ioredis');
const client = new Redis(Number(process.argv[2]));
const other = client.duplicate();
await checkSharedClient({
  client,
  other,
  command: (...words) => client.call(...words),
  store: (key, value) => client.set(key, value, 'EX', 60),
});
await Promise.all([client.quit(), other.quit()]);
console.log('cache-aside ok');
