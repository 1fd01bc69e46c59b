<?php
// The Redis caches of Symfony: symfony_cache.php <port> <policy>
use Symfony\Component\Cache\Adapter\RedisAdapter;
use Symfony\Component\Cache\Adapter\RedisTagAwareAdapter;
use Symfony\Component\Cache\Adapter\TagAwareAdapter;
use Symfony\Contracts\Cache\ItemInterface;

require_once 'Symfony/Component/Cache/autoload.php';
function check(bool $right, string $what): void { if (!$right) { fwrite(STDERR, "wrong: $what\n"); exit(1); } }
$client = RedisAdapter::createConnection("redis://127.0.0.1:{$argv[1]}");
$client->flushAll();

$cache = new RedisAdapter($client, 'app', 60);
$made = 0;
for ($n = 0; $n < 3; $n += 1) {
    $value = $cache->get('value', function (ItemInterface $item) use (&$made) { $item->expiresAfter(100); $made += 1; return ['made' => $made]; });
    check($value === ['made' => 1], 'a value is made once');
}
$items = [];
foreach (range(1, 30) as $n) { $cache->saveDeferred($cache->getItem("many$n")->set($n)); }
check($cache->commit(), 'commit');
foreach ($cache->getItems(['many1', 'many30', 'many31']) as $key => $item) { $items[$key] = $item->isHit() ? $item->get() : null; }
check($items === ['many1' => 1, 'many30' => 30, 'many31' => null], 'getItems');
check($client->ttl('app:many1') > 0 && $client->ttl('app:many1') <= 60, 'a time to live');
check($cache->deleteItems(['many1', 'many2']) && !$cache->hasItem('many1') && $cache->hasItem('many3'), 'deleteItems');
check($cache->clear('many2') && !$cache->hasItem('many20') && $cache->hasItem('many3'), 'clear of a prefix');
check($cache->clear() && !$cache->hasItem('value'), 'clear');

// Tags as versions, which are plain values.
$tags = new TagAwareAdapter(new RedisAdapter($client, 'versions'));
foreach (['a' => ['one'], 'b' => ['one', 'two'], 'c' => ['two']] as $key => $of) { $tags->save($tags->getItem($key)->set($key)->tag($of)); }
check($tags->getItem('a')->get() === 'a' && $tags->invalidateTags(['one']), 'invalidateTags');
check(!$tags->hasItem('a') && !$tags->hasItem('b') && $tags->hasItem('c'), 'what a tag had is gone');

// With RedisTagAwareAdapter they are sets of Redis, which must not be evicted: it refuses to write under a policy that evicts keys without a time to live.
$log = new class extends Psr\Log\AbstractLogger {
    public string $said = '';
    public function log($level, $message, array $context = []): void { $this->said = isset($context['exception']) ? $context['exception']->getMessage() : (string)$message; }
};
$tagged = new RedisTagAwareAdapter($client, 'tagged');
$tagged->setLogger($log);
check(!$tagged->save($tagged->getItem('value')->set(2)->tag('tag')), 'saved with a tag');
echo $log->said, "\n";
