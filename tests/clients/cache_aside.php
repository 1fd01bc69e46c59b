<?php
// A cache-aside program on phpredis: cache_aside.php <port> <protocol>, over TLS with the files in PINFOLD_TLS_CA, _CERT and _KEY

function check(bool $condition, string $what): void {
    if (!$condition) {
        fwrite(STDERR, "failed: $what\n");
        exit(1);
    }
}

function connect(): Redis {
    global $argv;
    $client = new Redis();
    $port = (int) $argv[1];
    if (getenv('PINFOLD_TLS_CA') === false) {
        check($client->connect('127.0.0.1', $port), 'connect');
    } else {
        $stream = ['cafile' => getenv('PINFOLD_TLS_CA'), 'local_cert' => getenv('PINFOLD_TLS_CERT') ?: null, 'local_pk' => getenv('PINFOLD_TLS_KEY') ?: null];
        check($client->connect('tls://127.0.0.1', $port, 0, null, 0, 0, ['stream' => array_filter($stream)]), 'connect');
    }
    return $client;
}

$client = connect();
$client->flushAll();
$loads = 0;

function user(int $id): string {
    global $client, $loads;
    $cached = $client->get("user:$id");
    if ($cached !== false) {
        return $cached;
    }
    $loads++;
    $loaded = json_encode(['id' => $id, 'name' => "user $id"]);
    $client->set("user:$id", $loaded, ['ex' => 60]);
    return $loaded;
}

check($client->get('user:1') === false, 'miss');
check(user(1) === user(1) && $loads === 1, 'one load');
$ttl = $client->ttl('user:1');
check($ttl > 0 && $ttl <= 60, 'ttl');
check($client->del('user:1') === 1, 'del');
user(1);
check($loads === 2, 'a second load');

check($client->multi()->set('m', '1')->incr('m')->get('m')->exec() === [true, 2, '2'], 'multi');
check($client->pipeline()->set('p', 'x')->append('p', 'y')->get('p')->exec() === [true, 2, 'xy'], 'pipeline');
check($client->mset(['a' => '1', 'b' => '2']), 'mset');
check($client->mget(['a', 'none', 'b']) === ['1', false, '2'], 'mget');

for ($i = 0; $i < 250; $i++) {
    $client->set("scan:$i", $i);
}
$seen = [];
$cursor = null;
$client->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
while (($keys = $client->scan($cursor, 'scan:*', 20)) !== false) {
    foreach ($keys as $key) {
        $seen[$key] = true;
    }
}
check(count($seen) === 250, 'scan');

check($client->incrBy('n', 40) === 40 && $client->decr('n') === 39, 'counters');
check($client->incrByFloat('f', 1.5) === 1.5, 'float');
$binary = implode('', array_map('chr', range(0, 255)));
$client->set($binary, $binary);
check($client->get($binary) === $binary, 'binary');
$large = str_repeat('x', 1 << 20);
$client->set('large', $large);
check($client->get('large') === $large, 'large');

check($client->set('lock', '1', ['nx']) === true, 'lock');
check($client->set('lock', '2', ['nx']) === false, 'locked');

$client->set('text', 'abc');
check($client->incr('text') === false, 'incr of a text');
// Some versions of phpredis leave a blank at the end of the text.
check(rtrim($client->getLastError()) === 'ERR value is not an integer or out of range', 'its error');
$client->clearLastError();
check($client->rawCommand('NOSUCH') === false && str_contains($client->getLastError(), 'unknown command'), 'unknown command');

$other = connect();
$other->watch('w');
$client->set('w', '1');
check($other->multi()->get('w')->exec() === false, 'watch');

check($client->config('GET', 'timeout') === ['timeout' => '0'], 'config');
check(isset($client->info()['redis_version']), 'info');
echo "cache-aside ok\n";
