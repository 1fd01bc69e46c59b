<?php
// A program for each type on phpredis: types.php <port>
function same($found, $expected, string $what): void { if ($found !== $expected) { fwrite(STDERR, "$what: " . json_encode($found) . "\n"); exit(1); } }
$client = new Redis();
$client->connect('127.0.0.1', (int)$argv[1]);
$client->flushAll();

$client->hMSet('h', ['name' => 'Ada', 'visits' => 1]);
same($client->hGetAll('h'), ['name' => 'Ada', 'visits' => '1'], 'hGetAll');
same($client->hMGet('h', ['visits', 'none']), ['visits' => '1', 'none' => false], 'hMGet');
same($client->hIncrByFloat('h', 'part', 1.5), 1.5, 'hIncrByFloat');
for ($n = 0; $n < 2000; $n += 1) { $client->hSet('large', "field:$n", (string)$n); }
$fields = []; $cursor = null;
while (($page = $client->hScan('large', $cursor, 'field:*', 200)) !== false) { $fields += $page; }
same(count($fields), 2000, 'hScan');

same($client->rPush('l', 'a', 'b', 'c', 'd'), 4, 'rPush');
same($client->lRange('l', 1, -1), ['b', 'c', 'd'], 'lRange');
same($client->lPop('l'), 'a', 'lPop');
same($client->rpoplpush('l', 'm'), 'd', 'rpoplpush');
same($client->brPop(['none', 'l'], 1), ['l', 'c'], 'brPop');
same($client->blPop('none', 1), [], 'blPop');

same($client->sAdd('s', 'a', 'b', 'c'), 3, 'sAdd');
$client->sAddArray('t', ['b', 'c', 'd']);
$both = $client->sInter('s', 't'); sort($both);
same($both, ['b', 'c'], 'sInter');
same($client->sMove('s', 't', 'a'), true, 'sMove');
$members = []; $cursor = null;
while (($page = $client->sScan('t', $cursor)) !== false) { array_push($members, ...$page); }
sort($members);
same($members, ['a', 'b', 'c', 'd'], 'sScan');

same($client->zAdd('z', 3, 'ada', 1.5, 'grace'), 2, 'zAdd');
same($client->zRange('z', 0, -1, true), ['grace' => 1.5, 'ada' => 3.0], 'zRange');
same($client->zRevRank('z', 'ada'), 0, 'zRevRank');
same($client->zRangeByScore('z', '(1', '+inf', ['limit' => [1, 1]]), ['ada'], 'zRangeByScore');
same($client->zPopMin('z'), ['grace' => 1.5], 'zPopMin');
same($client->bzPopMax('z', 1), ['z', 'ada', '3'], 'bzPopMax');

same($client->pfAdd('p', ['a', 'b', 'c']), 1, 'pfAdd');
same($client->pfCount('p'), 3, 'pfCount');
same($client->geoadd('g', 13.361389, 38.115556, 'Palermo', 15.087269, 37.502669, 'Catania'), 2, 'geoadd');
same($client->geodist('g', 'Palermo', 'Catania', 'km'), 166.2742, 'geodist');
same($client->georadius('g', 15, 37, 200, 'km', ['ASC']), ['Catania', 'Palermo'], 'georadius');
same($client->multi(Redis::PIPELINE)->hSet('h2', 'a', '1')->lPush('l2', 'x')->sMembers('none')->zScore('z', 'none')->exec(), [1, 1, [], false], 'pipeline');
same($client->sort('t', ['alpha' => true, 'sort' => 'desc']), ['d', 'c', 'b', 'a'], 'sort');
same($client->type('g'), Redis::REDIS_ZSET, 'type');
echo "types ok\n";
