<?php
// Counts in a session that phpredis locks, as other workers do: session.php <port> <folder> <rounds>
[, $port, $folder, $rounds] = $argv;
ini_set('session.save_handler', 'redis');
ini_set('session.save_path', "tcp://127.0.0.1:$port");
ini_set('redis.session.locking_enabled', '1');
ini_set('redis.session.lock_retries', '-1');
ini_set('redis.session.lock_wait_time', '2000');
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
$overlaps = 0;
for ($round = 0; $round < (int)$rounds; $round += 1) {
    session_id('shared-session');
    if (!session_start()) { fwrite(STDERR, "no session\n"); exit(1); }
    $mine = @fopen("$folder/inside", 'x');
    if (!$mine) { $overlaps += 1; }
    $count = ($_SESSION['count'] ?? 0) + 1;
    usleep(1000);
    $_SESSION['count'] = $count;
    file_put_contents("$folder/counter", (string)$count);
    if ($mine) { fclose($mine); unlink("$folder/inside"); }
    session_write_close();
    $_SESSION = [];
}
echo "overlaps: $overlaps\n";
