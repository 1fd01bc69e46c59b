// What one client that all of a program shares must find under a policy with coalesce, whichever library it is of.
import assert from 'node:assert/strict';

// `client` and `other`: connected, of two programs; command(...words) sends anything; store(key, value) is a SET with a time to live.
export async function checkSharedClient({ client, other, command, store }) {
  assert.equal(await command('FLUSHALL'), 'OK');
  assert.equal(await command('CACHE.POLICY', 'SET', 'shared', 'match', 'shared:*', 'coalesce', '10m', 'lease', '10m'), 'OK');

  // Another program is to load, and does not.
  assert.equal(await other.get('shared:k'), null);
  const first = client.get('shared:k');
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(await client.set('shared:k', 'v'), 'OK');
  assert.equal(await first, null);
  assert.equal(await client.get('shared:k'), 'v');

  // Many requests of one program ask at once, and each loads what it was not given.
  assert.equal(await other.get('shared:many'), null);
  const user = async () => {
    const cached = await client.get('shared:many');
    if (cached !== null) return cached;
    await store('shared:many', 'loaded');
    return 'loaded';
  };
  assert.deepEqual(new Set(await Promise.all([...Array(100)].map(user))), new Set(['loaded']));

  await command('CACHE.POLICY', 'DEL', 'shared');
}
