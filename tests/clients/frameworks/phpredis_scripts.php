<?php
// Scripts as phpredis sends them: phpredis_scripts.php <port> <protocol>
function check(bool $right, string $what): void { if (!$right) { fwrite(STDERR, "wrong: $what\n"); exit(1); } }
$client = new Redis();
$client->connect('127.0.0.1', (int)$argv[1]);
$client->flushAll();
$client->script('flush');
$text = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";
$client->set('lock', 'token');
check($client->eval($text, ['lock', 'other'], 1) === 0, 'another token');
check($client->evalSha(sha1($text), ['lock', 'token'], 1) === 1, 'the token');
check($client->script('load', 'return {1, ARGV[1], false}') === sha1('return {1, ARGV[1], false}'), 'load');
check($client->script('exists', sha1($text), str_repeat('a', 40)) === [1, 0], 'exists');
check($client->evalSha(sha1('return {1, ARGV[1], false}'), ["\0\xff"]) === [1, "\0\xff", false], 'values');
check($client->evalSha(str_repeat('a', 40)) === false && strpos($client->getLastError(), 'NOSCRIPT') === 0, 'no script');
$client->clearLastError();
check($client->eval("return redis.call('NOSUCH')") === false && strpos($client->getLastError(), 'Unknown Redis command') !== false, 'no command');
check($client->multi()->set('lock', 't')->eval($text, ['lock', 't'], 1)->exists('lock')->exec() === [true, 1, 0], 'multi');
check($client->multi(Redis::PIPELINE)->set('lock', 't')->evalSha(sha1($text), ['lock', 't'], 1)->exec() === [true, 1], 'pipeline');
echo "scripts ok\n";
