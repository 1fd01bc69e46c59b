#include "pinfold/config/settings.hpp"

#include <algorithm>
#include <limits>
#include <new>
#include <utility>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/config/values.hpp"

namespace pinfold::config {
namespace {

using Error = std::optional<std::string>;

constexpr std::int64_t unbounded = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t least_int = std::numeric_limits<std::int32_t>::min();
constexpr std::int64_t most_int = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t most_clients = std::numeric_limits<std::uint32_t>::max();
constexpr std::int64_t megabyte = 1024 * 1024;

// The settings in the order of Id. A setting that Redis has too has Redis' name, default and range.
// clang-format off
constexpr Setting kTable[] = {
    {Id::bind, "bind", Type::text, "127.0.0.1 -::1", 0, 0, "", false,
     "The addresses to listen on, with spaces between them. An address with a '-' in front may be missing on this "
     "machine. '*' is every IPv4 address, '::*' every IPv6 address."},
    {Id::port, "port", Type::integer, "6379", 0, 65535, "", false,
     "The TCP port to listen on. 0: no TCP."},
    {Id::unixsocket, "unixsocket", Type::text, "", 0, 0, "", false,
     "The path of a unix socket to listen on. Empty: none."},
    {Id::unixsocketperm, "unixsocketperm", Type::text, "700", 0, 0, "", false,
     "The permissions of the unix socket, in octal."},
    {Id::tls_port, "tls-port", Type::integer, "0", 0, 65535, "", false,
     "The TCP port on which clients connect with TLS, on the addresses of bind. It may stand beside port, or instead of it if port "
     "is 0. 0: no TLS."},
    {Id::tls_cert_file, "tls-cert-file", Type::text, "", 0, 0, "", true,
     "The file with the server's certificate and the intermediate ones behind it, in PEM. Files are read again when they change, at "
     "SIGHUP, and when a setting that names one is set. If they do not fit together, the server goes on with those that it has."},
    {Id::tls_key_file, "tls-key-file", Type::text, "", 0, 0, "", true,
     "The file with the key of the server's certificate, in PEM."},
    {Id::tls_key_file_pass, "tls-key-file-pass", Type::text, "", 0, 0, "", true,
     "The password of the key file. Empty: it has none."},
    {Id::tls_ca_cert_file, "tls-ca-cert-file", Type::text, "", 0, 0, "", true,
     "The file with the certificates of the authorities whose client certificates are accepted, in PEM."},
    {Id::tls_ca_cert_dir, "tls-ca-cert-dir", Type::text, "", 0, 0, "", true,
     "A directory with such files. All of them are read, whatever their names are: at most 1024 files. Together with tls-ca-cert-file "
     "they may have 1024 certificates and 8 MB."},
    {Id::tls_auth_clients, "tls-auth-clients", Type::choice, "yes", 0, 0, "no|yes|optional", true,
     "Whether clients must show a certificate of an accepted authority. optional: a client may connect without a certificate, but one that "
     "it shows must be accepted."},
    {Id::tls_auth_clients_user, "tls-auth-clients-user", Type::choice, "off", 0, 0, "off|CN|URI|DNS", true,
     "What of a client's certificate names the user as which the client is authenticated: the common name of the subject, or a URI or a "
     "DNS name of the subject's alternative names. If no user has that name, the client must authenticate by itself. off: nothing does."},
    {Id::tls_protocols, "tls-protocols", Type::text, "", 0, 0, "", true,
     "The versions of TLS that are spoken, with spaces between them: TLSv1.2, TLSv1.3. Empty: both."},
    {Id::tls_ciphers, "tls-ciphers", Type::text, "", 0, 0, "", true,
     "The ciphers for TLS 1.2, as OpenSSL writes them: ECDHE+AESGCM:ECDHE+CHACHA20. Empty: those of OpenSSL, or of the system's policy "
     "(openssl.cnf), that keep what was recorded secret even from who gets the server's key later."},
    {Id::tls_ciphersuites, "tls-ciphersuites", Type::text, "", 0, 0, "", true,
     "The ciphers for TLS 1.3, as OpenSSL writes them: TLS_AES_128_GCM_SHA256. Empty: those of OpenSSL."},
    {Id::tls_prefer_server_ciphers, "tls-prefer-server-ciphers", Type::flag, "no", 0, 0, "", true,
     "Whether the server's order of ciphers counts, and not the client's."},
    {Id::tls_session_caching, "tls-session-caching", Type::flag, "yes", 0, 0, "", true,
     "Whether clients get tickets with which their next handshake is short. The server keeps nothing for them."},
    {Id::tls_session_cache_timeout, "tls-session-cache-timeout", Type::seconds, "300", 1, 86'400, "", true,
     "For how many seconds a ticket can be used."},
    {Id::tls_handshake_timeout, "tls-handshake-timeout", Type::milliseconds, "10000", 1000, 600'000, "", true,
     "For how many milliseconds a client may be silent before its handshake, wait for its turn, and take for the handshake after that. "
     "Then it is disconnected. This is checked once a second."},
    {Id::tls_max_handshakes, "tls-max-handshakes", Type::integer, "1000", 1, 1'000'000, "", true,
     "How many handshakes may be under way at once. Further clients wait for their turns. All handshakes together take no more than an "
     "eighth of the clients' share of memory (maxmemory-clients) either, but each I/O thread always allows 4 of them."},
    {Id::tcp_backlog, "tcp-backlog", Type::integer, "511", 0, most_int, "", false,
     "How many connections may wait to be accepted. The kernel's net.core.somaxconn is the limit."},
    {Id::tcp_keepalive, "tcp-keepalive", Type::seconds, "300", 0, most_int, "", true,
     "After how many seconds of silence the kernel asks whether a peer is still there. A change is for new "
     "connections. 0: never."},
    {Id::timeout, "timeout", Type::seconds, "0", 0, most_int, "", true,
     "Closes a connection that sent nothing for this many seconds. 0: never."},
    {Id::maxclients, "maxclients", Type::integer, "10000", 1, most_clients, "", true,
     "How many clients may be connected at once. Further clients get an error."},
    {Id::threads, "threads", Type::integer, "auto", 1, 256, "", false,
     "How many threads serve connections. auto: as many as this process has cores, by its affinity and its cgroup."},
    {Id::requirepass, "requirepass", Type::text, "", 0, 0, "", true,
     "The password that clients must give with AUTH or HELLO. Empty: no password is asked for."},
    {Id::protected_mode, "protected-mode", Type::flag, "yes", 0, 0, "", true,
     "Whether connections from other machines are refused while no password is asked for. Connections over loopback addresses and the "
     "unix socket are let in, and so are clients that have shown an accepted certificate (tls-auth-clients)."},
    {Id::auth_failures_per_minute, "auth-failures-per-minute", Type::integer, "60", 0, 1'000'000, "", true,
     "How often clients of one address may give a wrong password in a minute. Beyond it AUTH and HELLO AUTH from this address are refused "
     "for a while, with the right password too; clients that have authenticated are not concerned. The addresses of an IPv6 /64 count as "
     "one. The unix socket is exempt. 0: no limit."},
    {Id::aclfile, "aclfile", Type::text, "", 0, 0, "", false,
     "The file with the users and their rights, one line 'user name rule rule ...' each. ACL LOAD reads it anew and ACL SAVE writes it. "
     "Empty: none; users are then those of the settings file ('users') and of ACL SETUSER."},
    {Id::acllog_max_len, "acllog-max-len", Type::integer, "128", 0, 1024, "", true,
     "How many refusals ACL LOG remembers."},
    {Id::acl_pubsub_default, "acl-pubsub-default", Type::choice, "resetchannels", 0, 0, "allchannels|resetchannels", true,
     "The channels that a new user may use unless its rules say so: all or none."},
    {Id::user_requests_per_second, "user-requests-per-second", Type::integer, "0", 0, 1'000'000, "", true,
     "How many requests a second all clients of one user together may make. So many may come at once; after that the allowance fills up "
     "again evenly. Further requests are answered with THROTTLED and not executed. The rule rate= of a user overrides it. 0: no limit."},
    {Id::maxmemory, "maxmemory", Type::memory, "auto", 0, unbounded, "", true,
     "How much memory data may take, in bytes or as a share of the machine's or the container's memory, such as 50%; auto "
     "is 75%. 0: no limit. The resident memory of the process stays within this plus 5% plus 12 MB. Clients have a share of their "
     "own. Other memory that the process needs beside the data is taken off the data."},
    {Id::maxmemory_clients, "maxmemory-clients", Type::memory, "5%", -100, unbounded, "", true,
     "How much memory all clients together may take, on top of maxmemory: unfinished requests, queued transactions and unread "
     "replies. Large values do not count, because they are data. Beyond it the clients that take most are disconnected, first "
     "unauthenticated ones; clients with CLIENT NO-EVICT on are exempt. A client with more than a sixteenth of it in unread replies "
     "(at least 1 MB, at most 16 MB) must read before it is served further. A reply for which there is no room is replaced by an "
     "error. Each argument of a request needs 52 bytes for bookkeeping, beside its own bytes: a request whose arguments need more than "
     "is left closes its connection, but 1024 arguments are always allowed. In bytes, at least 128 KB, or in percent of maxmemory, then "
     "at least 4 MB. 0: no limit."},
    {Id::maxmemory_user, "maxmemory-user", Type::memory, "0", -100, unbounded, "", true,
     "How much of the memory for clients those of one user together may take, on top of what idle connections cost. Beyond it those of its "
     "clients that take most are disconnected; clients with CLIENT NO-EVICT on are exempt. The rule maxmemory= of a user overrides it. In "
     "bytes, at least 128 KB, or in percent of maxmemory, then at least 4 MB. 0: no limit."},
    {Id::max_collection_memory, "max-collection-memory", Type::memory, "50%", -100, unbounded, "", true,
     "How much memory one hash, list, set or sorted set may take. A command that would make it larger is refused. In bytes, at least 1 MB, "
     "or in percent of maxmemory, then at least 4 MB. 0: no limit."},
    {Id::maxmemory_policy, "maxmemory-policy", Type::choice, "allkeys-lfu", 0, 0,
     "allkeys-lfu|allkeys-lru|allkeys-random|volatile-lfu|volatile-lru|volatile-random|volatile-ttl|noeviction", true,
     "What happens when memory is full. lfu evicts the keys that are used least, lru those that were not used for longest, random any "
     "keys, ttl those that expire soonest. allkeys chooses among all keys, volatile among keys with a deadline. noeviction refuses "
     "writes, and so does volatile if no key has a deadline."},
    {Id::lfu_decay_time, "lfu-decay-time", Type::minutes, "1", 0, most_int, "", true,
     "How fast the lfu policies forget use: a key that was used often counts as used once after about twenty times this many minutes. "
     "0: never."},
    {Id::databases, "databases", Type::integer, "16", 1, 16, "", false,
     "How many databases SELECT can choose from."},
    {Id::hz, "hz", Type::integer, "10", 1, 500, "", true,
     "How many times a second the background worker looks for expired entries and dead memory."},
    {Id::active_expire_effort, "active-expire-effort", Type::integer, "1", 1, 10, "", true,
     "How much of one core the background worker may take to remove expired entries and free dead memory: 25% at 1, and "
     "5% more with each step."},
    {Id::proto_max_bulk_len, "proto-max-bulk-len", Type::memory, "512mb", megabyte, unbounded, "", true,
     "The largest single argument of a command, and so the largest value."},
    {Id::client_query_buffer_limit, "client-query-buffer-limit", Type::memory, "1gb", megabyte, unbounded, "", true,
     "How many bytes of an unfinished request a client may send. Beyond that its connection is closed."},
    {Id::client_output_buffer_limit, "client-output-buffer-limit", Type::text,
     "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", 0, 0, "", true,
     "For each class of clients: hard limit, soft limit (such as 64mb) and seconds (or 5m). A client is disconnected if its unread replies "
     "exceed the hard limit, or the soft limit for that long. A client with half of either in unread replies must read before it is "
     "served further, so only single replies exceed the limits. All clients are of the class normal. The other classes are kept for tools "
     "that set them. 0: no limit."},
    {Id::notify_keyspace_events, "notify-keyspace-events", Type::text, "", 0, 0, "", true,
     "Which changes of keys are published, as in Redis: K to channels __keyspace@<db>__:<key>, E to __keyevent@<db>__:<event>, and of the "
     "classes g generic commands, $ strings, l lists, s sets, h hashes, z sorted sets, t streams, d modules, x expired, e evicted "
     "(A: all these), n new keys, m misses, and p, which Redis does not have: stale, invalidated, purged and negative entries. Empty: "
     "none."},
    {Id::loglevel, "loglevel", Type::choice, "notice", 0, 0, "debug|verbose|notice|warning|nothing", true,
     "How important a message must be to be logged."},
    {Id::logfile, "logfile", Type::text, "", 0, 0, "", false,
     "The file to log to. Empty: standard output."},
    {Id::log_format, "log-format", Type::choice, "text", 0, 0, "text|json", true,
     "The form of a line in the log: text for people, or json, one object in each line."},
    {Id::log_key_names, "log-key-names", Type::choice, "yes", 0, 0, "yes|prefix|no", true,
     "Whether names of keys, tags and prefixes of purges may appear in the log and in the audit log. yes: at up to 128 bytes. prefix: up "
     "to the first ':', at most 16 bytes. no: not at all."},
    {Id::audit_log_file, "audit-log-file", Type::text, "", 0, 0, "", false,
     "The file to which connections, authentications, refusals, administrative commands, purges and changes of settings and users are "
     "written, one line of JSON each. SIGHUP opens it anew. stdout: standard output. Empty: no audit log."},
    {Id::audit_log_on_error, "audit-log-on-error", Type::choice, "continue", 0, 0, "continue|refuse", true,
     "What happens while the audit log cannot be written, for instance because the disk is full. continue: lines wait, and those that find "
     "no room are counted. refuse: administrative commands, purges and authentications are refused as well; connected clients go on."},
    {Id::admin_port, "admin-port", Type::integer, "0", 0, 65535, "", false,
     "The TCP port for HTTP: metrics for Prometheus (/metrics), probes (/health, /ready) and pages for people. 0: none."},
    {Id::admin_bind, "admin-bind", Type::text, "127.0.0.1 -::1", 0, 0, "", false,
     "The addresses of admin-port, written as those of bind."},
    {Id::admin_token, "admin-token", Type::text, "", 0, 0, "", true,
     "What a request to admin-port must show, but for /health and /ready: Authorization: Bearer <token>, or in a browser the token as the "
     "password of any name. Printable ASCII characters without spaces. Empty: nothing; then protected-mode lets in requests from this "
     "machine only, and the server must be asked for by an address or a name without a dot."},
    {Id::admin_tls, "admin-tls", Type::flag, "no", 0, 0, "", false,
     "Whether admin-port speaks TLS, with the certificates of tls-cert-file and the rules of the other settings of TLS. tls-port may be "
     "0."},
    {Id::metrics, "metrics", Type::flag, "yes", 0, 0, "", true,
     "Whether what costs something on the way of each request is measured: the durations of commands, reads by policy and by user, hot "
     "keys, and the hit ratio that other sizes of memory would give."},
    {Id::slowlog_log_slower_than, "slowlog-log-slower-than", Type::integer, "10000", -1, unbounded, "", true,
     "Commands whose execution takes at least this many microseconds go to SLOWLOG. Waiting for locks or memory does not count. 0: every "
     "command. -1: none. Another name of it is commandlog-execution-slower-than."},
    {Id::slowlog_max_len, "slowlog-max-len", Type::integer, "128", 0, 10'000, "", true,
     "How many slow commands SLOWLOG remembers; fewer if they take more than 2 MB. Another name of it is "
     "commandlog-slow-execution-max-len."},
    {Id::commandlog_request_larger_than, "commandlog-request-larger-than", Type::integer, "1048576", -1, unbounded, "", true,
     "Requests of at least this many bytes go to COMMANDLOG large-request. 0: every request. -1: none."},
    {Id::commandlog_large_request_max_len, "commandlog-large-request-max-len", Type::integer, "128", 0, 10'000, "", true,
     "How many large requests COMMANDLOG remembers; fewer if they take more than 2 MB."},
    {Id::commandlog_reply_larger_than, "commandlog-reply-larger-than", Type::integer, "1048576", -1, unbounded, "", true,
     "Commands whose replies have at least this many bytes go to COMMANDLOG large-reply. 0: every command. -1: none."},
    {Id::commandlog_large_reply_max_len, "commandlog-large-reply-max-len", Type::integer, "128", 0, 10'000, "", true,
     "How many large replies COMMANDLOG remembers; fewer if they take more than 2 MB."},
    {Id::latency_monitor_threshold, "latency-monitor-threshold", Type::milliseconds, "0", 0, most_int, "", true,
     "Events that take at least this many milliseconds are recorded for LATENCY. 0: none."},
    {Id::latency_tracking, "latency-tracking", Type::flag, "yes", 0, 0, "", true,
     "Whether INFO latencystats and LATENCY HISTOGRAM show the durations of commands. They are measured while metrics is on."},
    {Id::latency_tracking_info_percentiles, "latency-tracking-info-percentiles", Type::text, "50 99 99.9", 0, 0, "", true,
     "The percentiles of INFO latencystats, with spaces between them."},
    {Id::trace_endpoint, "trace-endpoint", Type::text, "", 0, 0, "", true,
     "Where spans of requests are sent, by OTLP over HTTP as JSON: the URL of a receiver of OpenTelemetry, such as "
     "http://127.0.0.1:4318/v1/traces. Spans that it does not take fast enough are dropped. Empty: nothing is traced."},
    {Id::trace_sample_percent, "trace-sample-percent", Type::percent, "0", 0, 100, "", true,
     "Of the requests whose clients have given no trace context (CLIENT TRACEPARENT), how many percent are traced, chosen at random. "
     "Requests with a context are traced if that says so."},
    {Id::trace_service_name, "trace-service-name", Type::text, "pinfold", 0, 0, "", true,
     "The name of the service in spans (service.name)."},
    {Id::enable_debug_command, "enable-debug-command", Type::choice, "no", 0, 0, "no|yes|local", false,
     "Who may use DEBUG: nobody, everybody, or connections from this machine."},
    {Id::undeclared_keys, "undeclared-keys", Type::choice, "allow", 0, 0, "allow|error", true,
     "Whether scripts and functions may use keys that their caller has not named. allow: they may, as in Redis; such a script is executed "
     "with the whole keyspace locked. error: the call in the script is answered with an error, and only the named keys are locked."},
    {Id::script_time_limit, "script-time-limit", Type::milliseconds, "5000", 1, 3'600'000, "", true,
     "How long a script or function may run, in milliseconds. Then it is stopped with an error, and what it has written stays. Requests "
     "for the keys that it has locked wait at most as long. Other names of it are busy-reply-threshold and lua-time-limit."},
    {Id::script_memory_limit, "script-memory-limit", Type::memory, "64mb", megabyte, unbounded, "", true,
     "How much memory the scripts of one I/O thread may have allocated, beside what the interpreter and compiled scripts take. At most an "
     "eighth of maxmemory, or 1 MB if that is more. A script that needs more is ended with an error."},
    {Id::script_cache_size, "script-cache-size", Type::memory, "16mb", 64 * 1024, unbounded, "", true,
     "How much memory the cached scripts may take, and how much the libraries of functions. Scripts that EVAL has brought are removed for "
     "others, those of SCRIPT LOAD and libraries never: what finds no room is refused, or in case of EVAL not kept."},
    {Id::lease_duration, "lease-duration", Type::milliseconds, "10000", 1, 3'600'000, "", true,
     "How many milliseconds a lease lasts if neither CACHE.GET nor a policy says so."},
    {Id::max_leases, "max-leases", Type::integer, "100000", 0, 10'000'000, "", true,
     "How many leases may exist at once, over all keys. Beyond that a miss gets no lease and is told to ask again."},
    {Id::max_lease_waiters, "max-lease-waiters", Type::integer, "100000", 0, 10'000'000, "", true,
     "How many clients may wait for another client's load at once. Beyond that clients are answered as if their waiting time were over."},
    {Id::negative_ttl_max, "negative-ttl-max", Type::milliseconds, "60000", 1, most_int, "", true,
     "The most milliseconds for which CACHE.ABSENT remembers that a key does not exist. Also how long it does so if no time is given."},
    {Id::negative_memory, "negative-memory", Type::percent, "5", 0, 100, "", true,
     "The percentage of maxmemory that negative entries may take before they are the first to be evicted."},
    {Id::invalidation_memory, "invalidation-memory", Type::milliseconds, "600000", 1, most_int, "", true,
     "For how many milliseconds CACHE.INVALIDATE with VERSION refuses fills that are not newer."},
    {Id::tracking_table_max_keys, "tracking-table-max-keys", Type::integer, "1000000", 0, most_int, "", true,
     "How many keys may be noted as read by clients with CLIENT TRACKING. When there are more, some are forgotten, and their clients are "
     "told that they have changed. 0: as many as there is memory for, which is an eighth of maxmemory in any case (1 GB without one)."},
    {Id::hash_max_listpack_entries, "hash-max-listpack-entries", Type::integer, "512", 0, unbounded, "", true,
     "The most fields of a hash that OBJECT ENCODING calls listpack. It only names: how a hash lies in memory does not depend on it."},
    {Id::hash_max_listpack_value, "hash-max-listpack-value", Type::memory, "64", 0, unbounded, "", true,
     "The longest field or value, in bytes, of a hash that OBJECT ENCODING calls listpack."},
    {Id::list_max_listpack_size, "list-max-listpack-size", Type::integer, "-2", least_int, most_int, "", true,
     "The most elements of a list that OBJECT ENCODING calls listpack; -1 to -5: the most bytes, 4, 8, 16, 32 or 64 KB. A smaller "
     "number counts as -5."},
    {Id::list_compress_depth, "list-compress-depth", Type::integer, "0", 0, most_int, "", true,
     "Has no effect: lists are not compressed. It exists because clients and test suites set it."},
    {Id::set_max_intset_entries, "set-max-intset-entries", Type::integer, "512", 0, unbounded, "", true,
     "The most members of a set of integers that OBJECT ENCODING calls intset."},
    {Id::set_max_listpack_entries, "set-max-listpack-entries", Type::integer, "128", 0, unbounded, "", true,
     "The most members of a set that OBJECT ENCODING calls listpack."},
    {Id::set_max_listpack_value, "set-max-listpack-value", Type::memory, "64", 0, unbounded, "", true,
     "The longest member, in bytes, of a set that OBJECT ENCODING calls listpack."},
    {Id::zset_max_listpack_entries, "zset-max-listpack-entries", Type::integer, "128", 0, unbounded, "", true,
     "The most members of a sorted set that OBJECT ENCODING calls listpack."},
    {Id::zset_max_listpack_value, "zset-max-listpack-value", Type::memory, "64", 0, unbounded, "", true,
     "The longest member, in bytes, of a sorted set that OBJECT ENCODING calls listpack."},
    {Id::hll_sparse_max_bytes, "hll-sparse-max-bytes", Type::memory, "3000", 0, unbounded, "", true,
     "The most bytes of a HyperLogLog in the sparse form. A larger one takes the dense form, of 12 KB."},
    {Id::serve_stale, "serve-stale", Type::flag, "no", 0, 0, "", true,
     "For the time in which the origin is down: entries outlast their deadlines, and every reader gets them as stale."},
    {Id::admit, "admit", Type::percent, "100", 0, 100, "", true,
     "For an incident: of the keys that are not stored yet, how many percent may be. Which ones follows from their names, so it is the "
     "same keys all the time. Writes of others are answered as if they were done."},
    {Id::bypass, "bypass", Type::flag, "no", 0, 0, "", true,
     "For an incident: reads find nothing, and writes remove what they would have stored and are answered as if they were done. So the "
     "cache is out of the way, and holds nothing old when it is back."},
    {Id::lock_timing, "lock-timing", Type::flag, "no", 0, 0, "", true,
     "Whether the server measures the longest time for which a shard's lock was held: shard_lock_longest_us and others "
     "in INFO stats. It costs two system calls per request."},
    {Id::lock_accounting, "lock-accounting", Type::flag, "no", 0, 0, "", true,
     "Whether the server counts the work that commands and background jobs do while shards are locked, for INFO locks. It makes "
     "requests slower."},
    {Id::save, "save", Type::text, "", 0, 0, "", true,
     "Always empty: there are no snapshots. It exists because clients and redis-benchmark ask for it."},
    {Id::appendonly, "appendonly", Type::flag, "no", 0, 0, "", true,
     "Always no: there is no append-only file. It exists because clients and redis-benchmark ask for it."},
};
// clang-format on

constexpr bool in_order() {
  for (std::size_t i = 0; i < std::size(kTable); ++i) {
    if (static_cast<std::size_t>(kTable[i].id) != i) return false;
  }
  return std::size(kTable) == static_cast<std::size_t>(Id::count);
}
static_assert(in_order(), "the table is in the order of Id");

struct Alias {
  std::string_view name;
  Id id;
};
// Names of Valkey for settings that have the name of Redis here, names of Redis for one that does more here, and names that Redis has had
// before.
constexpr Alias kAliases[] = {
    {"busy-reply-threshold", Id::script_time_limit},
    {"lua-time-limit", Id::script_time_limit},
    {"commandlog-execution-slower-than", Id::slowlog_log_slower_than},
    {"commandlog-slow-execution-max-len", Id::slowlog_max_len},
    {"hash-max-ziplist-entries", Id::hash_max_listpack_entries},
    {"hash-max-ziplist-value", Id::hash_max_listpack_value},
    {"list-max-ziplist-size", Id::list_max_listpack_size},
    {"zset-max-ziplist-entries", Id::zset_max_listpack_entries},
    {"zset-max-ziplist-value", Id::zset_max_listpack_value},
};

constexpr std::size_t place(Id id) { return static_cast<std::size_t>(id); }
constexpr const Setting& row(Id id) { return kTable[place(id)]; }

}  // namespace

std::span<const Setting> settings_table() { return kTable; }

const Setting* find_setting(std::string_view name) {
  const auto alias = std::ranges::find_if(kAliases, [&](const Alias& one) { return iequals(one.name, name); });
  if (alias != std::end(kAliases)) return &row(alias->id);
  const auto found = std::ranges::find_if(kTable, [&](const Setting& one) { return iequals(one.name, name); });
  return found != std::end(kTable) ? found : nullptr;
}

Settings::Settings() {
  for (const Setting& setting : kTable) set(setting.id, setting.default_value, false);
}

std::string Settings::text(Id id) const {
  if (row(id).type != Type::text) return show_number(row(id), integer(id));
  const std::lock_guard lock(mutex_);
  return texts_[place(id)];
}

std::string Settings::show(Id id) const { return text(id); }

OutputLimit Settings::output_limit(OutputClass of) const {
  const SharedOutputLimit& shared = output_limits_[static_cast<std::size_t>(of)];
  // This is a sequence lock: the numbers are from one moment if no write began or ended while they were read.
  for (;;) {
    const std::uint64_t before = output_limit_version_.load();
    const OutputLimit limit{shared.hard.load(), shared.soft.load(), shared.soft_seconds.load()};
    if (before % 2 == 0 && output_limit_version_.load() == before) return limit;
  }
}

// `current` is the present text, which a value may change in part.
std::optional<std::string> Settings::parse(Id id, std::string_view value, std::string_view current, State& state) {
  if (value.size() > longest_value) return std::string(value_too_long);
  Value parsed;
  if (Error error = parse_value(row(id), value, current, parsed)) return error;
  std::string given(row(id).type == Type::text ? parsed.text : value);
  const OutputLimits limits = id == Id::client_output_buffer_limit ? output_limits(parsed.text) : OutputLimits();
  state = {parsed.number, std::move(parsed.text), std::move(given), limits};
  return std::nullopt;
}

Settings::State Settings::state(Id id) const {
  const std::lock_guard lock(mutex_);
  State now{integer(id), texts_[place(id)], given_[place(id)], {}};
  if (id == Id::client_output_buffer_limit) now.limits = {output_limit(OutputClass::normal), output_limit(OutputClass::pubsub)};
  return now;
}

std::vector<Settings::State> Settings::states() {
  const std::lock_guard lock(change_mutex_);
  std::vector<State> all;
  for (const Setting& setting : kTable) all.push_back(state(setting.id));
  return all;
}

void Settings::store(Id id, State state) {
  const std::lock_guard lock(mutex_);
  numbers_[place(id)].store(state.number, std::memory_order_relaxed);
  if (id == Id::client_output_buffer_limit) {
    output_limit_version_.fetch_add(1);
    for (std::size_t i = 0; i < output_limits_.size(); ++i) {
      output_limits_[i].hard.store(state.limits[i].hard);
      output_limits_[i].soft.store(state.limits[i].soft);
      output_limits_[i].soft_seconds.store(state.limits[i].soft_seconds);
    }
    output_limit_version_.fetch_add(1);
  }
  texts_[place(id)] = std::move(state.text);
  given_[place(id)] = std::move(state.given);
  version_.fetch_add(1, std::memory_order_release);
}

std::optional<std::string> Settings::set(Id id, std::string_view value, bool at_runtime) {
  if (at_runtime) {
    const std::pair<Id, std::string> one(id, value);
    std::optional<Refusal> refusal = set_all({&one, 1});
    if (!refusal) return std::nullopt;
    return std::move(refusal->reason);
  }
  State next;
  if (Error error = parse(id, value, state(id).text, next)) return error;
  store(id, std::move(next));
  return std::nullopt;
}

std::optional<Refusal> Settings::check(std::span<const std::pair<Id, std::string>> values) const {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Id id = values[i].first;
    if (!row(id).runtime) return Refusal{i, "can't set immutable config"};
    const auto earlier = values.first(i);
    if (std::ranges::any_of(earlier, [&](const auto& one) { return one.first == id; })) {
      return Refusal{i, "duplicate parameter"};
    }
  }
  return std::nullopt;
}

std::optional<Refusal> Settings::set_all(std::span<const std::pair<Id, std::string>> values) {
  if (auto refusal = check(values)) return refusal;
  const std::lock_guard lock(change_mutex_);
  return change(values);
}

bool Settings::try_set_all(std::span<const std::pair<Id, std::string>> values, std::optional<Refusal>& refusal) {
  refusal = check(values);
  if (refusal) return true;
  const bool takes_long = std::ranges::any_of(values, [this](const auto& value) {
    return std::ranges::any_of(listeners_, [&](const Told& one) { return one.takes != Takes::no_time && one.concerns(value.first); });
  });
  if (takes_long) return false;
  const std::unique_lock lock(change_mutex_, std::try_to_lock);
  if (!lock) return false;
  refusal = change(values);
  return true;
}

// From the first store() on, only listeners can fail.
std::optional<Refusal> Settings::change(std::span<const std::pair<Id, std::string>> values) {
  std::vector<State> before;
  std::vector<State> next(values.size());
  std::vector<std::size_t> changed;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto& [id, value] = values[i];
    before.push_back(state(id));
    if (Error error = parse(id, value, before[i].text, next[i])) return Refusal{i, std::move(*error)};
    if (before[i].number != next[i].number || before[i].text != next[i].text || is_volatile(id)) changed.push_back(i);
  }
  // Listeners are told in the order of the values.
  std::vector<const Told*> concerned;
  for (const std::size_t i : changed) {
    for (const Told& one : listeners_) {
      if (one.concerns(values[i].first) && std::ranges::find(concerned, &one) == concerned.end()) concerned.push_back(&one);
    }
  }

  for (std::size_t i = 0; i < values.size(); ++i) store(values[i].first, std::move(next[i]));
  for (std::size_t told = 0; told < concerned.size(); ++told) {
    Error error = concerned[told]->tell();
    if (!error) continue;
    for (std::size_t i = 0; i < values.size(); ++i) store(values[i].first, std::move(before[i]));
    for (std::size_t again = 0; again <= told; ++again) concerned[again]->tell_undone();
    const std::string_view first_word = std::string_view(*error).substr(0, error->find_first_of(" :"));
    const auto is_its = [&](std::size_t i) { return concerned[told]->concerns(values[i].first); };
    auto blamed = std::ranges::find_if(changed, [&](std::size_t i) { return is_its(i) && row(values[i].first).name == first_word; });
    if (blamed == changed.end()) blamed = std::ranges::find_if(changed, is_its);
    return Refusal{*blamed, std::move(*error)};
  }
  changed_at_.store(unix_ms(), std::memory_order_relaxed);
  return std::nullopt;
}

std::optional<std::string> Settings::Told::tell() const {
  try {
    return listener();
  } catch (const std::bad_alloc&) {
    return "out of memory";
  }
}

// A listener without `undo` applies the former value, for which it needs no memory.
void Settings::Told::tell_undone() const {
  try {
    if (undo) return undo();
    listener();
  } catch (const std::bad_alloc&) {
  }
}

void Settings::on_change(std::vector<Id> ids, Listener listener, Undo undo, Takes takes) {
  listeners_.push_back({std::move(ids), std::move(listener), std::move(undo), takes});
}

void Settings::on_change(Id id, Listener listener, Undo undo) {
  on_change(std::vector<Id>{id}, std::move(listener), std::move(undo), Takes::no_time);
}

bool Settings::same_value(Id id, const State& now, std::string_view value) {
  if (now.given == value) return true;  // compared as text first, because "auto" may mean another number by now
  State other;
  if (parse(id, value, row(id).default_value, other)) return false;
  return now.number == other.number && now.text == other.text;
}

bool Settings::is_default(Id id, const State& now) { return same_value(id, now, row(id).default_value); }

}  // namespace pinfold::config
