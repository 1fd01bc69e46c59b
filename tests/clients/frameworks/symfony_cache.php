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
$tagged = new RedisTagAwareAdapter($client, 'tagged', 60);
$tagged->setLogger($log);
if (!$tagged->save($tagged->getItem('value')->set(2)->tag('tag'))) {
    echo $log->said, "\n";
    exit(0);
}
foreach (range(1, 500) as $n) { $tagged->saveDeferred($tagged->getItem("many$n")->set($n)->tag(['all', $n % 2 ? 'odd' : 'even'])); }
check($tagged->commit(), 'commit with tags');
check($tagged->getItem('many7')->get() === 7 && $tagged->getItem('many7')->getMetadata()[ItemInterface::METADATA_TAGS] === ['all' => 'all', 'odd' => 'odd'], 'an item with its tags');
check($client->sCard("tagged:\0tags\0odd") === 250 && $client->ttl("tagged:\0tags\0odd") === -1, 'the set of a tag');
check($tagged->save($tagged->getItem('many2')->set('moved')->tag('odd')), 'other tags');
check($tagged->invalidateTags(['odd']), 'invalidateTags of sets');
check(!$tagged->hasItem('many1') && !$tagged->hasItem('many2') && $tagged->hasItem('many4') && $tagged->hasItem('value'), 'what a set had is gone');
check($tagged->deleteItems(['many4', 'many6']) && !$tagged->hasItem('many4') && $client->sCard("tagged:\0tags\0even") === 247, 'deleted items leave their sets');
check($tagged->invalidateTags(['even', 'tag']) && !$tagged->hasItem('many8') && !$tagged->hasItem('value'), 'two tags at once');
$made = 0;
for ($n = 0; $n < 3; $n += 1) {
    check($tagged->get('got', function (ItemInterface $item) use (&$made) { $item->tag('all'); $made += 1; return $made; }) === 1, 'made once');
}
check($tagged->invalidateTags(['all']) && !$tagged->hasItem('got') && $tagged->clear() && $client->keys('tagged:*') === [], 'nothing is left');
echo "tags ok\n";
