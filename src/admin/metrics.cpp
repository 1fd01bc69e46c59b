#include "pinfold/admin/metrics.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <ostream>
#include <streambuf>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include "pinfold/base/json.hpp"
#include "pinfold/base/version.hpp"

namespace pinfold::admin {

namespace {

using command::CacheFigures;
using command::ClientFigures;
using command::CommandFigures;
using command::CpuFigures;
using command::DatabaseFigures;
using command::DurationFigures;
using command::ErrorFigures;
using command::Figures;
using command::HoldFigures;
using command::KeyFigures;
using command::MemoryFigures;
using command::PolicyFigures;
using command::ScriptFigures;
using command::ServerFigures;
using command::StatsFigures;
using command::ThreadFigures;
using command::TlsFigures;
using command::UserFigures;
using command::WorkingSetFigures;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Label = ClientMetric::Label;

constexpr MetricType counter = MetricType::Counter;
constexpr MetricType gauge = MetricType::Gauge;

// A figure as a metric. Rows with one name, one after the other, are one metric with a label that tells them apart.
template <class Of>
struct Metric {
  std::string_view name;  // without the prefix "pinfold_"
  MetricType type;
  std::string_view help;
  std::variant<std::uint64_t Of::*, std::int64_t Of::*, double Of::*> value;
  double unit = 1;  // of the figure, in the base unit of the metric
  std::string_view label = {};
  std::string_view label_value = {};
  std::string_view second_label = {};
  std::string_view second_value = {};
};

constexpr double microsecond = 1e-6;
constexpr double millisecond = 1e-3;
constexpr double percent = 1e-2;

constexpr Metric<ServerFigures> kServer[] = {
    {"start_time_seconds", gauge, "When the server has started, in Unix time.", &ServerFigures::started_at},
    {"config_last_change_timestamp_seconds", gauge, "When a setting was last changed at run time, or else the start, in Unix time.",
     &ServerFigures::config_changed_at},
    {"io_threads", gauge, "Threads that serve clients.", &ServerFigures::threads},
};

constexpr Metric<ClientFigures> kClients[] = {
    {"connected_clients", gauge, "Clients that are connected.", &ClientFigures::connected},
    {"max_clients", gauge, "maxclients: how many clients may be connected.", &ClientFigures::limit},
    {"blocked_clients", gauge, "Clients that wait for something other than the end of a command.", &ClientFigures::blocked},
    {"lease_waiting_clients", gauge, "Clients that wait for the holder of a lease to fill a key.", &ClientFigures::waiting_for_leases},
    {"largest_client_input_bytes", gauge, "The largest request that a client is sending.", &ClientFigures::largest_input},
    {"largest_client_output_bytes", gauge, "The most replies that wait for one client.", &ClientFigures::largest_output},
    {"tracking_clients", gauge, "Clients that cache values themselves (CLIENT TRACKING).", &ClientFigures::tracking},
    {"monitor_clients", gauge, "Clients that are shown the requests of all (MONITOR).", &ClientFigures::monitors},
    {"pubsub_clients", gauge, "Clients that have subscribed to channels or patterns.", &ClientFigures::subscribers},
};

constexpr std::string_view memory_help = "Memory that is in use, by what it is used for.";
constexpr Metric<MemoryFigures> kMemory[] = {
    {"memory_bytes", gauge, memory_help, &MemoryFigures::segments, 1, "part", "segments"},
    {"memory_bytes", gauge, memory_help, &MemoryFigures::blobs, 1, "part", "blobs"},
    {"memory_bytes", gauge, memory_help, &MemoryFigures::index, 1, "part", "index"},
    {"memory_bytes", gauge, memory_help, &MemoryFigures::ghosts, 1, "part", "ghosts"},
    {"memory_bytes", gauge, memory_help, &MemoryFigures::coalescing, 1, "part", "coalescing"},
    {"memory_bytes", gauge, memory_help, &MemoryFigures::clients, 1, "part", "clients"},
    {"memory_bytes", gauge, memory_help, &MemoryFigures::sampling, 1, "part", "sampling"},
    {"memory_bytes", gauge, memory_help, &MemoryFigures::tracking, 1, "part", "tracking"},
    {"memory_bytes", gauge, memory_help, &MemoryFigures::scripts, 1, "part", "scripts"},
    {"memory_used_bytes", gauge, "Memory that is in use: the sum of all parts.", &MemoryFigures::used},
    {"memory_used_peak_bytes", gauge, "The most memory that was in use.", &MemoryFigures::peak},
    {"memory_data_bytes", gauge, "The memory that maxmemory limits.", &MemoryFigures::data},
    {"memory_limit_bytes", gauge, "maxmemory; 0 if there is no limit.", &MemoryFigures::limit},
    {"memory_data_limit_bytes", gauge, "The part of maxmemory that data may take; 0 if there is no limit.", &MemoryFigures::data_limit},
    {"eviction_enabled", gauge, "0 if maxmemory-policy is noeviction, or volatile while no key has a TTL.", &MemoryFigures::evicts},
    {"memory_clients_limit_bytes", gauge, "maxmemory-clients; 0 if there is no limit.", &MemoryFigures::clients_share},
    {"memory_messages_bytes", gauge, "The part of the memory of clients that published messages take on their way to I/O threads.",
     &MemoryFigures::messages},
    {"memory_pinned_bytes", gauge, "Memory of values that are no longer stored, which replies that clients have not read yet keep.",
     &MemoryFigures::pinned},
    {"memory_resident_bytes", gauge, "Resident memory of the process.", &MemoryFigures::resident},
    {"memory_fragmentation_ratio", gauge, "Resident memory, divided by the memory that is in use.", &MemoryFigures::fragmentation},
    {"memory_system_bytes", gauge, "Memory of the machine, or the limit of the control group if that is less.", &MemoryFigures::available},
};

constexpr std::string_view admin_refused_help =
    "Requests to the admin port that were refused, by the reason. Wrong tokens are authentication failures.";
constexpr std::string_view rejected_help = "Connections that were not let in, by the reason.";
constexpr std::string_view closed_help = "Clients that the server has disconnected, by the reason.";
constexpr std::string_view denied_help = "Requests and attempts to authenticate that were denied, by the reason.";
constexpr std::string_view audit_help = "Lines of the audit log, by what became of them.";
constexpr std::string_view log_help = "Lines of the log, by what became of them.";
constexpr std::string_view evicted_help =
    "Keys that were removed to make room. memory: maxmemory-policy has chosen them; max-memory, first-out: their cache policy says so; "
    "negative: they had no value.";
constexpr Metric<StatsFigures> kStats[] = {
    {"connections_received_total", counter, "Connections that were accepted.", &StatsFigures::connections},
    {"commands_processed_total", counter, "Commands that were executed.", &StatsFigures::commands},
    {"net_input_bytes_total", counter, "Bytes that clients have sent.", &StatsFigures::input_bytes},
    {"net_output_bytes_total", counter, "Bytes that were sent to clients.", &StatsFigures::output_bytes},
    {"rejected_connections_total", counter, rejected_help, &StatsFigures::rejected_connections, 1, "reason", "maxclients"},
    {"rejected_connections_total", counter, rejected_help, &StatsFigures::protected_connections, 1, "reason", "protected-mode"},
    {"disconnected_clients_total", counter, closed_help, &StatsFigures::evicted_clients, 1, "reason", "maxmemory-clients"},
    {"disconnected_clients_total", counter, closed_help, &StatsFigures::clients_closed_for_users, 1, "reason", "maxmemory-user"},
    {"disconnected_clients_total", counter, closed_help, &StatsFigures::query_limit_disconnections, 1, "reason",
     "client-query-buffer-limit"},
    {"disconnected_clients_total", counter, closed_help, &StatsFigures::output_limit_disconnections, 1, "reason",
     "client-output-buffer-limit"},
    {"disconnected_clients_total", counter, closed_help, &StatsFigures::abandoned_disconnections, 1, "reason", "pinned-memory"},
    {"disconnected_clients_total", counter, closed_help, &StatsFigures::idle_disconnections, 1, "reason", "timeout"},
    {"expired_keys_total", counter, "Keys that were removed because their time was over.", &StatsFigures::expired_keys},
    {"evicted_keys_total", counter, evicted_help, &StatsFigures::evicted_for_memory, 1, "cause", "memory"},
    {"evicted_keys_total", counter, evicted_help, &StatsFigures::evicted_for_quota, 1, "cause", "max-memory"},
    {"evicted_keys_total", counter, evicted_help, &StatsFigures::evicted_first_out, 1, "cause", "first-out"},
    {"evicted_keys_total", counter, evicted_help, &StatsFigures::evicted_negative, 1, "cause", "negative"},
    {"keyspace_hits_total", counter, "Reads that have found their key.", &StatsFigures::hits},
    {"tracking_keys", gauge, "Keys that clients with CLIENT TRACKING have read.", &StatsFigures::tracking_keys},
    {"tracking_items", gauge, "The same, each key counted once for each client.", &StatsFigures::tracking_items},
    {"tracking_prefixes", gauge, "Different prefixes of clients with CLIENT TRACKING and BCAST.", &StatsFigures::tracking_prefixes},
    {"tracking_keys_evicted_total", counter, "Keys that were forgotten for want of room, and told as changed.",
     &StatsFigures::tracking_evicted},
    {"tracking_keys_aged_total", counter, "Keys that were told because their deadline has passed.", &StatsFigures::tracking_aged},
    {"tracking_reads_refused_total", counter, "Reads that could not be noted, so that their clients were told not to keep the value.",
     &StatsFigures::tracking_refused},
    {"tracking_messages_total", counter, "Messages to clients about keys that have changed.", &StatsFigures::tracking_messages},
    {"keyspace_misses_total", counter, "Reads that have not found their key.", &StatsFigures::misses},
    {"pubsub_channels", gauge, "Names that clients have subscribed to, by their kind.", &StatsFigures::channels, 1, "kind", "channel"},
    {"pubsub_channels", gauge, "Names that clients have subscribed to, by their kind.", &StatsFigures::channel_patterns, 1, "kind",
     "pattern"},
    {"pubsub_channels", gauge, "Names that clients have subscribed to, by their kind.", &StatsFigures::shard_channels, 1, "kind",
     "shard-channel"},
    {"pubsub_messages_published_total", counter, "Messages that were published.", &StatsFigures::messages_published},
    {"pubsub_messages_delivered_total", counter, "Messages that were given to clients, once for each subscription.",
     &StatsFigures::messages_delivered},
    {"keyspace_events_total", counter, "Keyspace events, by what became of them. dropped: there was no memory for them.",
     &StatsFigures::keyspace_events, 1, "result", "told"},
    {"keyspace_events_total", counter, "Keyspace events, by what became of them. dropped: there was no memory for them.",
     &StatsFigures::keyspace_events_dropped, 1, "result", "dropped"},
    {"error_replies_total", counter, "Replies that were errors.", &StatsFigures::error_replies},
    {"protocol_errors_total", counter, "Requests that were not in the protocol.", &StatsFigures::protocol_errors},
    {"auth_failures_total", counter, "Attempts to authenticate with a wrong name or password.", &StatsFigures::auth_failures},
    {"auth_limited_total", counter, "Attempts to authenticate that were refused unseen (auth-failures-per-minute).",
     &StatsFigures::auth_limited},
    {"acl_access_denied_total", counter, denied_help, &StatsFigures::denied_auth, 1, "reason", "auth"},
    {"acl_access_denied_total", counter, denied_help, &StatsFigures::denied_command, 1, "reason", "command"},
    {"acl_access_denied_total", counter, denied_help, &StatsFigures::denied_key, 1, "reason", "key"},
    {"acl_access_denied_total", counter, denied_help, &StatsFigures::denied_channel, 1, "reason", "channel"},
    {"acl_access_denied_total", counter, denied_help, &StatsFigures::denied_database, 1, "reason", "db"},
    {"requests_refused_rate_total", counter, "Requests that were refused because of the request rate of their user.",
     &StatsFigures::rate_limited},
    {"audit_lines_total", counter, audit_help, &StatsFigures::audit_written, 1, "result", "written"},
    {"audit_lines_total", counter, audit_help, &StatsFigures::audit_lost, 1, "result", "lost"},
    {"audit_lines_total", counter, audit_help, &StatsFigures::audit_left_out, 1, "result", "left-out"},
    {"audit_log_failing", gauge, "1 while the audit log cannot be written.", &StatsFigures::audit_failing},
    {"log_lines_total", counter, log_help, &StatsFigures::log_written, 1, "result", "written"},
    {"log_lines_total", counter, log_help, &StatsFigures::log_lost, 1, "result", "lost"},
    {"log_failing", gauge, "1 while the log cannot be written.", &StatsFigures::log_failing},
    {"socket_reads_total", counter, "Reads from sockets of clients.", &StatsFigures::reads},
    {"socket_writes_total", counter, "Writes to sockets of clients.", &StatsFigures::writes},
    {"event_loop_cycles_total", counter, "Rounds of the event loops.", &StatsFigures::cycles},
    {"shard_lock_longest_seconds", gauge, "The longest hold of a shard's lock, if lock-timing is on.", &StatsFigures::lock_longest_us,
     microsecond},
    {"shard_lock_longest_cpu_seconds", gauge, "The most CPU time of one hold of a shard's lock, if lock-timing is on.",
     &StatsFigures::lock_longest_cpu_us, microsecond},
    {"shard_lock_long_holds_total", counter, "Holds of shards' locks of more than a millisecond, if lock-timing is on.",
     &StatsFigures::lock_long_holds},
    {"shard_lock_waits_total", counter, "How often a thread has found a shard's lock held.", &StatsFigures::lock_waits},
    {"shard_lock_waits_slept_total", counter, "Of these waits, those in which the thread has slept.", &StatsFigures::lock_waits_slept},
    {"shard_lock_wait_seconds_total", counter, "How long threads have waited for shards' locks.", &StatsFigures::lock_wait_us, microsecond},
    {"shard_lock_longest_wait_seconds", gauge, "The longest wait for a shard's lock.", &StatsFigures::lock_longest_wait_us, microsecond},
    {"room_waits_total", counter, "Requests that had to wait while memory was freed for them.", &StatsFigures::room_waits},
    {"room_wait_seconds_total", counter, "How long they have waited.", &StatsFigures::room_wait_us, microsecond},
    {"shard_imbalance_ratio", gauge, "Memory of the fullest shard, divided by the mean of all shards; 0 if the cache is empty.",
     &StatsFigures::shard_imbalance},
    {"admin_requests_total", counter, "Requests to the admin port.", &StatsFigures::admin_requests},
    {"admin_requests_refused_total", counter, admin_refused_help, &StatsFigures::admin_without_token, 1, "reason", "no-token"},
    {"admin_requests_refused_total", counter, admin_refused_help, &StatsFigures::admin_protected, 1, "reason", "protected-mode"},
    {"admin_requests_refused_total", counter, admin_refused_help, &StatsFigures::admin_wrong_host, 1, "reason", "host"},
    {"admin_rejected_connections_total", counter, "Connections to the admin port that were refused, because there were too many.",
     &StatsFigures::admin_rejected},
    {"slow_commands_total", counter, "Commands whose execution took as long as slowlog-log-slower-than.", &StatsFigures::slow_commands},
    {"large_requests_total", counter, "Requests of at least commandlog-request-larger-than bytes.", &StatsFigures::large_requests},
    {"large_replies_total", counter, "Replies of at least commandlog-reply-larger-than bytes.", &StatsFigures::large_replies},
    {"spans_exported_total", counter, "Spans that the receiver of traces has taken.", &StatsFigures::spans_exported},
    {"spans_dropped_total", counter, "Spans that were dropped, because the receiver of traces is too slow or there was no room for them.",
     &StatsFigures::spans_dropped},
    {"spans_failed_total", counter, "Spans that were sent, and that the receiver of traces has not taken.", &StatsFigures::spans_failed},
};

constexpr std::string_view cpu_help = "CPU time of the process.";
constexpr Metric<CpuFigures> kCpu[] = {
    {"cpu_seconds_total", counter, cpu_help, &CpuFigures::system, 1, "mode", "system"},
    {"cpu_seconds_total", counter, cpu_help, &CpuFigures::user, 1, "mode", "user"},
};

constexpr std::string_view ended_help = "Leases that have ended, by how.";
constexpr std::string_view refused_help =
    "Leases, waits for one and fills that were refused, by what was asked for and why: the limit of the server or of a policy, memory, "
    "nobody who loads; a token that is void, a tag purged meanwhile, a version that is not newer, a dependency invalidated meanwhile.";
constexpr std::string_view purges_help = "Purges, by what they purge.";
constexpr Metric<CacheFigures> kCache[] = {
    {"leases", gauge, "Leases that are held.", &CacheFigures::leases},
    {"lease_waiters", gauge, "Clients that wait for a lease's holder.", &CacheFigures::waiters},
    {"leases_granted_total", counter, "Leases that were granted.", &CacheFigures::granted},
    {"leases_ended_total", counter, ended_help, &CacheFigures::filled, 1, "reason", "filled"},
    {"leases_ended_total", counter, ended_help, &CacheFigures::voided, 1, "reason", "voided"},
    {"leases_ended_total", counter, ended_help, &CacheFigures::expired, 1, "reason", "expired"},
    {"leases_ended_total", counter, ended_help, &CacheFigures::released, 1, "reason", "released"},
    {"leases_refused_total", counter, refused_help, &CacheFigures::refused_max_leases, 1, "request", "lease", "cause", "server"},
    {"leases_refused_total", counter, refused_help, &CacheFigures::refused_by_policy, 1, "request", "lease", "cause", "policy"},
    {"leases_refused_total", counter, refused_help, &CacheFigures::refused_for_memory, 1, "request", "lease", "cause", "memory"},
    {"leases_refused_total", counter, refused_help, &CacheFigures::waits_refused_max_waiters, 1, "request", "wait", "cause", "server"},
    {"leases_refused_total", counter, refused_help, &CacheFigures::waits_refused_no_lease, 1, "request", "wait", "cause", "no-lease"},
    {"leases_refused_total", counter, refused_help, &CacheFigures::waits_refused_for_memory, 1, "request", "wait", "cause", "memory"},
    {"leases_refused_total", counter, refused_help, &CacheFigures::fills_refused_token, 1, "request", "fill", "cause", "token"},
    {"leases_refused_total", counter, refused_help, &CacheFigures::fills_refused_tag, 1, "request", "fill", "cause", "tag"},
    {"leases_refused_total", counter, refused_help, &CacheFigures::fills_refused_version, 1, "request", "fill", "cause", "version"},
    {"leases_refused_total", counter, refused_help, &CacheFigures::fills_refused_dependency, 1, "request", "fill", "cause", "dependency"},
    {"early_refreshes_total", counter, "Leases that were granted before a key has expired.", &CacheFigures::early_refreshes},
    {"stale_hits_total", counter, "Reads that were answered with a stale value.", &CacheFigures::stale_hits},
    {"negative_hits_total", counter, "Reads that were answered by an entry without a value.", &CacheFigures::negative_hits},
    {"negative_entries", gauge, "Entries without a value.", &CacheFigures::negative_entries},
    {"negative_bytes", gauge, "Memory of entries without a value.", &CacheFigures::negative_bytes},
    {"purges_total", counter, purges_help, &CacheFigures::purges_of_tags, 1, "by", "tags"},
    {"purges_total", counter, purges_help, &CacheFigures::purges_of_prefixes, 1, "by", "prefix"},
    {"purges_total", counter, purges_help, &CacheFigures::purges_cascading, 1, "by", "dependency"},
    {"cascade_entries_total", counter, "Entries that were invalidated because they were built from others.",
     &CacheFigures::entries_of_cascades},
    {"purges_pending", gauge, "Purges whose entries still take memory.", &CacheFigures::purges_pending},
    {"serve_stale", gauge, "1 while serve-stale is on.", &CacheFigures::serves_stale},
    {"admit_percent", gauge, "The setting admit: how many percent of new keys may be stored.", &CacheFigures::admit_percent},
    {"bypass", gauge, "1 while the setting bypass is on.", &CacheFigures::bypass},
    {"max_leases", gauge, "The setting max-leases; with 0 no lease is granted.", &CacheFigures::max_leases},
    {"policies_admit", gauge, "Policies whose admit is below 100 percent.", &CacheFigures::policies_admitting_part},
    {"policies_bypassed", gauge, "Policies whose bypass is on.", &CacheFigures::policies_bypassed},
    {"policies_serve_stale", gauge, "Policies whose serve-stale is on.", &CacheFigures::policies_serving_stale},
    {"policies_no_leases", gauge, "Policies whose max-leases is none.", &CacheFigures::policies_without_leases},
    {"writes_not_admitted_total", counter, "Writes that stored nothing because admit does not admit their keys.",
     &CacheFigures::writes_not_admitted},
    {"reads_bypassed_total", counter, "Reads that found nothing because of bypass.", &CacheFigures::reads_bypassed},
    {"writes_bypassed_total", counter, "Writes that removed their keys because of bypass.", &CacheFigures::writes_bypassed},
};

constexpr std::string_view handshakes_help = "TLS handshakes that have failed, by the reason.";
constexpr Metric<TlsFigures> kTls[] = {
    {"tls_connected_clients", gauge, "Clients that are connected over TLS.", &TlsFigures::clients},
    {"tls_handshakes_total", counter, "TLS handshakes that are done, resumed ones included.", &TlsFigures::handshakes},
    {"tls_handshakes_resumed_total", counter, "TLS handshakes that took up an earlier session.", &TlsFigures::resumed},
    {"tls_handshakes_failed_total", counter, handshakes_help, &TlsFigures::failed, 1, "reason", "failed"},
    {"tls_handshakes_failed_total", counter, handshakes_help, &TlsFigures::timed_out, 1, "reason", "timed-out"},
    {"tls_handshakes_under_way", gauge, "TLS handshakes that have begun.", &TlsFigures::under_way},
    {"tls_handshakes_waiting", gauge, "Clients whose TLS handshakes wait for their turns.", &TlsFigures::waiting},
    {"tls_users_refused_total", counter, "Certificates that name no user.", &TlsFigures::users_refused},
    {"tls_server_cert_expires_timestamp_seconds", gauge, "When the first certificate of the server's chain expires, in Unix time; 0: none.",
     &TlsFigures::server_expires},
    {"tls_ca_cert_expires_timestamp_seconds", gauge, "When the first authority's certificate expires, in Unix time; 0: none.",
     &TlsFigures::ca_expires},
    {"tls_certificate_loads_total", counter, "How often certificates were loaded.", &TlsFigures::loads},
    {"tls_certificate_loads_failed_total", counter, "How often certificates could not be loaded.", &TlsFigures::failed_loads},
};

constexpr std::string_view share_help =
    "The part of all accesses to keys that goes to this part of the keys, those that are asked for most.";
constexpr std::string_view sizes_help = "Values by their size: at most this, and more than the class before. Up to 16KB an estimate.";
constexpr Metric<KeyFigures> kKeys[] = {
    {"hot_keys_sampled_total", counter, "Accesses to keys that were looked at to find hot keys.", &KeyFigures::sampled},
    {"key_accesses_per_second", gauge, "Accesses to keys, in the last five seconds.", &KeyFigures::accesses_per_second},
    {"hottest_key_share", gauge, "The part of all accesses to keys that goes to the key that is asked for most.", &KeyFigures::hottest,
     percent},
    {"hot_key_share", gauge, share_help, &KeyFigures::top_1, percent, "top", "1%"},
    {"hot_key_share", gauge, share_help, &KeyFigures::top_5, percent, "top", "5%"},
    {"hot_key_share", gauge, share_help, &KeyFigures::top_10, percent, "top", "10%"},
    {"values_by_size", gauge, sizes_help, &KeyFigures::of_64b, 1, "up_to", "64B"},
    {"values_by_size", gauge, sizes_help, &KeyFigures::of_1kb, 1, "up_to", "1KB"},
    {"values_by_size", gauge, sizes_help, &KeyFigures::of_16kb, 1, "up_to", "16KB"},
    {"values_by_size", gauge, sizes_help, &KeyFigures::of_256kb, 1, "up_to", "256KB"},
    {"values_by_size", gauge, sizes_help, &KeyFigures::of_1mb, 1, "up_to", "1MB"},
    {"values_by_size", gauge, sizes_help, &KeyFigures::of_16mb, 1, "up_to", "16MB"},
    {"values_by_size", gauge, sizes_help, &KeyFigures::larger, 1, "up_to", "larger"},
};

constexpr std::string_view locked_help = "Runs of scripts and functions, by what was locked for them.";
constexpr Metric<ScriptFigures> kScripts[] = {
    {"scripts_executed_total", counter, "Scripts and functions that were executed.", &ScriptFigures::executed},
    {"script_runs_total", counter, locked_help, &ScriptFigures::locked_all, 1, "locked", "all"},
    {"script_runs_total", counter, locked_help, &ScriptFigures::locked_declared, 1, "locked", "declared"},
    {"script_locks_added_total", counter, "Commands for which further shards were locked in the middle of a script.",
     &ScriptFigures::locked_more},
    {"script_runs_repeated_total", counter, "Runs of scripts that were given up and made anew with everything locked.",
     &ScriptFigures::run_again},
    {"script_undeclared_refused_total", counter, "Commands of scripts that were refused because they use undeclared keys.",
     &ScriptFigures::refused_undeclared},
    {"scripts_killed_total", counter, "Scripts that SCRIPT KILL or FUNCTION KILL has ended.", &ScriptFigures::killed},
    {"scripts_out_of_time_total", counter, "Scripts that were stopped because of script-time-limit.", &ScriptFigures::out_of_time},
    {"scripts_running", gauge, "Scripts that have been running for more than ten milliseconds.", &ScriptFigures::running},
    {"script_longest_seconds", gauge, "The longest run of a script, while others may have waited for its locks.",
     &ScriptFigures::longest_us, microsecond},
    {"cached_scripts_evicted_total", counter, "Scripts that were removed from the cache for others.", &ScriptFigures::evicted},
};

constexpr Metric<CommandFigures> kCommand[] = {
    {"command_calls_total", counter, "Calls of a command.", &CommandFigures::calls},
    {"command_calls_rejected_total", counter, "Calls that were refused before they were executed.", &CommandFigures::rejected},
    {"command_calls_failed_total", counter, "Calls that were answered with an error.", &CommandFigures::failed},
};

constexpr Metric<HoldFigures> kHold[] = {
    {"shard_lock_holds_total", counter, "Holds of shards' locks, by their cause, if lock-accounting is on.", &HoldFigures::holds},
    {"shard_lock_holds_over_budget_total", counter, "Holds that did more work than their budget allows.", &HoldFigures::over_budget},
    {"shard_lock_cause_waits_total", counter, "Waits for shards' locks, by what waited, if lock-accounting is on.", &HoldFigures::waits},
    {"shard_lock_cause_wait_seconds_total", counter, "How long these have waited.", &HoldFigures::wait_us, microsecond},
};

constexpr Metric<ErrorFigures> kError[] = {
    {"errors_total", counter, "Errors that were replied, by their codes.", &ErrorFigures::count},
};

constexpr Metric<DatabaseFigures> kDatabase[] = {
    {"db_keys", gauge, "Keys of a database.", &DatabaseFigures::keys},
    {"db_keys_expiring", gauge, "Keys of a database that will expire.", &DatabaseFigures::expiring},
    {"db_avg_ttl_seconds", gauge, "The average time that these keys still have.", &DatabaseFigures::average_ttl_ms, millisecond},
};

constexpr Metric<UserFigures> kUser[] = {
    {"user_clients", gauge, "Clients of a user; of the 256 users whose clients take most memory.", &UserFigures::clients},
    {"user_memory_bytes", gauge, "Memory of the clients of a user.", &UserFigures::memory},
    {"user_requests_total", counter, "Requests of a user since it was made.", &UserFigures::requests},
    {"user_requests_refused_total", counter, "Requests of a user that were refused because of its request rate.", &UserFigures::refused},
    {"user_hits_total", counter, "Reads of a user that have found their keys.", &UserFigures::hits},
    {"user_misses_total", counter, "Reads of a user that have found no fresh value: the next two, and those that got nothing.",
     &UserFigures::misses},
    {"user_stale_hits_total", counter, "Reads of a user that got a stale value.", &UserFigures::stale_hits},
    {"user_negative_hits_total", counter, "Reads of a user that were answered by an entry without a value.", &UserFigures::negative_hits},
    {"user_clients_closed_total", counter, "Clients of a user that were closed because of its memory limit.", &UserFigures::closed},
};

constexpr Metric<PolicyFigures> kPolicy[] = {
    {"policy_memory_bytes", gauge, "Memory of the keys of a cache policy.", &PolicyFigures::bytes},
    {"policy_hits_total", counter, "Reads that have found a fresh value, by cache policy.", &PolicyFigures::hits},
    {"policy_stale_hits_total", counter, "Reads that got a stale value, by cache policy.", &PolicyFigures::stale_hits},
    {"policy_negative_hits_total", counter, "Reads that were answered by an entry without a value, by cache policy.",
     &PolicyFigures::negative_hits},
    {"policy_misses_total", counter, "Reads that have found nothing, by cache policy.", &PolicyFigures::misses},
    {"policy_leases_granted_total", counter, "Leases that were granted, by cache policy.", &PolicyFigures::granted},
    {"policy_leases", gauge, "Leases that are held, by cache policy.", &PolicyFigures::leases},
    {"policy_loads_total", counter, "Leases that were filled, by cache policy.", &PolicyFigures::loads},
    {"policy_load_seconds_total", counter, "How long these loads have taken, from the grant of the lease to the fill.",
     &PolicyFigures::load_ms, millisecond},
    {"policy_evicted_keys_total", counter, "Keys that were removed to make room, by cache policy.", &PolicyFigures::evicted},
};

constexpr Metric<ThreadFigures> kThread[] = {
    {"event_loop_busy_seconds_total", counter, "How long an I/O thread has served clients, if metrics is on.", &ThreadFigures::busy},
    {"event_loop_median_round_seconds", gauge, "Half of the rounds of an I/O thread took no longer. Clients wait for the end of a round.",
     &ThreadFigures::median_round_us, microsecond},
    {"event_loop_p99_round_seconds", gauge, "Of 100 rounds of an I/O thread, 99 took no longer.", &ThreadFigures::p99_round_us,
     microsecond},
    {"event_loop_longest_round_seconds", gauge, "The longest round of an I/O thread.", &ThreadFigures::longest_round_us, microsecond},
};

constexpr std::string_view ratio_help = "The hit ratio of the recent past, and what it would be with other amounts of memory.";
// Only while they are known.
constexpr Metric<WorkingSetFigures> kHitRatio[] = {
    {"hit_ratio_at_memory", gauge, ratio_help, &WorkingSetFigures::quarter, percent, "factor", "0.25"},
    {"hit_ratio_at_memory", gauge, ratio_help, &WorkingSetFigures::half, percent, "factor", "0.5"},
    {"hit_ratio_at_memory", gauge, ratio_help, &WorkingSetFigures::present, percent, "factor", "1"},
    {"hit_ratio_at_memory", gauge, ratio_help, &WorkingSetFigures::twice, percent, "factor", "2"},
    {"hit_ratio_at_memory", gauge, ratio_help, &WorkingSetFigures::four_times, percent, "factor", "4"},
    {"hit_ratio_at_memory_uncertainty_ratio", gauge, "How far the hit ratios with other amounts of memory may be off.",
     &WorkingSetFigures::uncertainty, percent},
};

constexpr Metric<WorkingSetFigures> kWorkingSet[] = {
    {"working_set_sampled_reads", gauge, "Reads of sampled keys, as far as they still count.", &WorkingSetFigures::reads},
    {"working_set_sampled_entries", gauge, "Entries that are simulated with the present memory.", &WorkingSetFigures::entries},
    {"working_set_one_key_in", gauge, "One key in so many is sampled; 0: none.", &WorkingSetFigures::keys_each},
    {"working_set_dropped_samples_total", counter, "Accesses to sampled keys that were not noted.", &WorkingSetFigures::dropped},
    {"unread_keys_ratio", gauge, "The share of the entries that were not read since they were written.", &WorkingSetFigures::unread_keys,
     percent},
    {"unread_bytes_ratio", gauge, "The share of their bytes.", &WorkingSetFigures::unread_bytes, percent},
    {"changed_values", gauge, "Changes of values with a deadline, as far as they still count.", &WorkingSetFigures::changes},
    {"changed_value_age_seconds", gauge, "The median age of these values when they were changed.", &WorkingSetFigures::change_age_ms,
     millisecond},
    {"changed_value_ttl_seconds", gauge, "The median of the time that these values might have stayed.", &WorkingSetFigures::change_ttl_ms,
     millisecond},
};

// The bounds of the buckets of a histogram. All are ends of buckets in the server's histograms.
struct Bounds {
  std::span<const double> bounds;
  double us;       // what 1 is in the server's histogram
  double seconds;  // what 1 is to Prometheus
};
// Of commands, in microseconds: the powers of two from a quarter of a microsecond to a second, and one near the 5 ms of the service level
// objective.
constexpr double kMicroseconds[] = {0.25, 0.5,  1,    2,    4,    8,     16,    32,    64,     128,    256,    512,
                                    1024, 2048, 4096, 5120, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576};
constexpr Bounds kCommandBounds{kMicroseconds, 1, 1e-6};
// Of what people wait for and origins take, in milliseconds: up to 17 s.
constexpr double kMilliseconds[] = {1.024,   2.048,   4.096,    8.192,    16.384,   32.768,   65.536,   131.072,
                                    262.144, 524.288, 1048.576, 2097.152, 4194.304, 8388.608, 16777.216};
constexpr Bounds kLongBounds{kMilliseconds, 1000, 1e-3};
// Of the ages of stale values, in seconds: up to 4.7 hours. Their histogram has a microsecond for a millisecond.
constexpr double kSeconds[] = {0.016,  0.064,   0.256,   1.024,   2.048,    4.096,    8.192,    16.384,   32.768,
                               65.536, 131.072, 262.144, 524.288, 1048.576, 2097.152, 4194.304, 8388.608, 16777.216};
constexpr Bounds kAgeBounds{kSeconds, 1000, 1};

// Those that rules look at are there from the start: what appears with a value has not grown, as Prometheus sees it.
std::vector<ErrorFigures> with_usual_codes(std::vector<ErrorFigures> errors) {
  for (const char* const code : {"ERR", "NOAUTH", "NOPERM", "OOM", "WRONGPASS"}) {
    if (std::ranges::find(errors, code, &ErrorFigures::code) == errors.end()) errors.push_back({code, 0});
  }
  return errors;
}

// Prometheus refuses a scrape in which a label is not UTF-8, and takes two series with the same labels for one. So a name that cannot be
// shown as it is, or of which only the first bytes are known, has its hash beside it.
std::string user_label(const UserFigures& user) {
  constexpr std::size_t most = 256;
  std::string shown = presentable(user.name, most);
  if (shown == user.name && !user.is_cut) return shown;
  std::array<char, 20> hash{};
  const int size = std::snprintf(hash.data(), hash.size(), "~%08x", static_cast<unsigned>(user.name_hash));
  return shown.append(hash.data(), static_cast<std::size_t>(size));
}

// A page of metrics takes many milliseconds to make. If an I/O thread has to share its core with the thread that makes it, the system lets
// clients wait for a whole time slice of the scheduler, some milliseconds. So the work rests for a moment after each quarter of a
// millisecond.
class Rests {
 public:
  void take_if_due() {
    if (monotonic_us() - since_us_ < 250) return;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    since_us_ = monotonic_us();
  }

 private:
  std::int64_t since_us_ = monotonic_us();
};

// Text that is written with rests.
class RestingText : public std::streambuf {
 public:
  explicit RestingText(Rests& rests) : rests_(rests) { setp(part_.data(), part_.data() + part_.size()); }
  std::string text() && {
    take_part();
    return std::move(text_);
  }

 protected:
  int_type overflow(int_type next) override {
    take_part();
    rests_.take_if_due();
    if (next != traits_type::eof()) sputc(traits_type::to_char_type(next));
    return traits_type::not_eof(next);
  }

 private:
  void take_part() {
    text_.append(pbase(), pptr());
    setp(part_.data(), part_.data() + part_.size());
  }

  Rests& rests_;
  std::array<char, 4096> part_{};
  std::string text_;
};

// Families in the order in which they are added.
class Families {
 public:
  explicit Families(Rests& rests) : rests_(rests) {}

  // The metrics of one table for one object. `labels` tell it from others of its kind.
  template <class Of>
  void add(std::span<const Metric<Of>> table, const Of& of, const std::vector<Label>& labels = {}) {
    for (const Metric<Of>& row : table) {
      ClientMetric& metric = family(row.name, row.type, row.help).metric.emplace_back();
      metric.label = labels;
      if (!row.label.empty()) metric.label.push_back({std::string(row.label), std::string(row.label_value)});
      if (!row.second_label.empty()) metric.label.push_back({std::string(row.second_label), std::string(row.second_value)});
      const double value = row.unit * std::visit([&of](auto member) { return static_cast<double>(of.*member); }, row.value);
      (row.type == counter ? metric.counter.value : metric.gauge.value) = value;
    }
  }
  // The same for several objects, which `label` tells apart by their `name`.
  template <class Of, class Name>
  void add_each(std::span<const Metric<Of>> table, const std::vector<Of>& all, const char* label, Name&& name) {
    const std::size_t first = families_.size();
    for (const Of& of : all) {
      next_ = first;
      add(table, of, {{label, std::string(name(of))}});
    }
    next_ = families_.size();
  }
  // `sum` is in seconds.
  void add_histogram(std::string_view name, std::string_view help, const histogram::Counts& counts, double sum, const Bounds& in,
                     std::vector<Label> labels = {}) {
    ClientMetric& metric = family(name, MetricType::Histogram, help).metric.emplace_back();
    metric.label = std::move(labels);
    metric.histogram.sample_count = counts.total;
    metric.histogram.sample_sum = sum;
    metric.histogram.bucket.reserve(in.bounds.size() + 1);
    std::uint64_t below = 0;
    std::size_t next = 0;
    for (const double bound : in.bounds) {
      const auto end = static_cast<std::uint64_t>(std::llround(bound * in.us * Span64::per_us));
      for (; next < histogram::buckets && histogram::end_of(next).units <= end; ++next) below += counts.of[next];
      metric.histogram.bucket.push_back({below, bound * in.seconds});
    }
    metric.histogram.bucket.push_back({counts.total, std::numeric_limits<double>::infinity()});
  }
  void add_durations(std::string_view name, std::string_view help, const DurationFigures& durations, const Bounds& in = kLongBounds) {
    add_histogram(name, help, durations.counts, durations.seconds, in);
  }
  void add_seconds(std::string_view name, std::string_view help, const store::SecondCounts& counts) {
    ClientMetric& metric = family(name, MetricType::Histogram, help).metric.emplace_back();
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < counts.of.size(); ++i) {
      sum += counts.of[i];
      const bool last = i + 1 == counts.of.size();
      metric.histogram.bucket.push_back({sum, last ? std::numeric_limits<double>::infinity() : static_cast<double>(1ULL << i)});
    }
    metric.histogram.sample_count = sum;
    metric.histogram.sample_sum = static_cast<double>(counts.seconds);
  }
  void add_constant(std::string_view name, std::string_view help, std::vector<Label> labels) {
    ClientMetric& metric = family(name, gauge, help).metric.emplace_back();
    metric.label = std::move(labels);
    metric.gauge.value = 1;
  }

  // Where the next metric goes, and to go there again: for several metrics of one family that are not added in one go.
  std::size_t place() const { return next_; }
  void go_to(std::size_t place) { next_ = place; }

  const std::vector<MetricFamily>& all() const { return families_; }

 private:
  // The family at hand if it has this name, or else the next one, which is made if it is not there.
  MetricFamily& family(std::string_view name, MetricType type, std::string_view help) {
    rests_.take_if_due();
    const auto has_name = [&](const MetricFamily& one) { return std::string_view(one.name).substr(prefix.size()) == name; };
    if (next_ > 0 && has_name(families_[next_ - 1])) return families_[next_ - 1];
    if (next_ == families_.size()) families_.push_back({std::string(prefix).append(name), std::string(help), type, {}});
    return families_[next_++];
  }

  static constexpr std::string_view prefix = "pinfold_";
  Rests& rests_;
  std::vector<MetricFamily> families_;
  std::size_t next_ = 0;
};

}  // namespace

command::Sections sections_of_metrics() {
  using command::Section;
  command::Sections wanted;
  for (const Section section : {Section::server, Section::clients, Section::memory, Section::stats, Section::cpu, Section::cache,
                                Section::tls, Section::commands, Section::locks, Section::errors, Section::keyspace, Section::users,
                                Section::policies, Section::threads, Section::working_set, Section::keys, Section::scripts}) {
    wanted.set(static_cast<std::size_t>(section));
  }
  return wanted;
}

namespace {

Families families_of(const Figures& figures, Rests& rests) {
  Families families(rests);
  families.add_constant("build_info", "The version of the server.", {{"version", std::string(version)}});
  families.add<ServerFigures>(kServer, figures.server);
  families.add<ClientFigures>(kClients, figures.clients);
  families.add<MemoryFigures>(kMemory, figures.memory);
  families.add<StatsFigures>(kStats, figures.stats);
  families.add<CpuFigures>(kCpu, figures.cpu);
  families.add<CacheFigures>(kCache, figures.cache);
  families.add<TlsFigures>(kTls, figures.tls);
  families.add<KeyFigures>(kKeys, figures.keys);
  families.add<ScriptFigures>(kScripts, figures.scripts);
  families.add_each<CommandFigures>(kCommand, figures.commands, "command", [](const CommandFigures& one) { return one.name; });
  const auto first = families.place();
  for (const CommandFigures& one : figures.commands) {
    if (one.durations == nullptr || one.durations->total == 0) continue;
    families.go_to(first);
    families.add_histogram("command_duration_seconds", "How long the calls of a command took, without waiting for locks and memory.",
                           *one.durations, one.measured_seconds, kCommandBounds, {{"command", std::string(one.name)}});
  }
  const command::DistributionFigures& distributions = figures.distributions;
  families.add_durations("load_duration_seconds", "From the grants of leases to their fills: what a miss costs.", distributions.loads);
  families.add_durations("lease_wait_duration_seconds", "How long clients have waited for the holder of a lease.", distributions.waits);
  families.add_durations("stale_age_seconds", "How far past its deadline a stale value was when it was read.", distributions.stale_ages,
                         kAgeBounds);
  families.add_seconds("eviction_age_seconds",
                       "For how long evicted keys had lain where they were: since they were written, or kept by an eviction before.",
                       distributions.eviction_ages);
  families.add_seconds("eviction_idle_seconds",
                       "For how long evicted keys had not been used, under a policy that keeps when that was: all but those of LFU.",
                       distributions.eviction_idle_times);
  families.add_seconds("written_ttl_seconds", "The times to live that writes and EXPIRE have set.", distributions.written_ttls);
  families.add_each<HoldFigures>(kHold, figures.holds, "cause", [](const HoldFigures& one) { return one.cause; });
  families.add_each<ErrorFigures>(kError, with_usual_codes(figures.errors), "code", [](const ErrorFigures& one) { return one.code; });
  families.add_each<DatabaseFigures>(kDatabase, figures.databases, "db",
                                     [](const DatabaseFigures& one) { return std::to_string(one.number); });
  families.add_each<UserFigures>(kUser, figures.users, "user", [](const UserFigures& one) { return user_label(one); });
  families.add_each<PolicyFigures>(kPolicy, figures.policies, "policy", [](const PolicyFigures& one) { return one.name; });
  families.add_each<ThreadFigures>(kThread, figures.threads, "thread", [](const ThreadFigures& one) { return std::to_string(one.number); });
  if (figures.working_set.state == "known") families.add<WorkingSetFigures>(kHitRatio, figures.working_set);
  families.add<WorkingSetFigures>(kWorkingSet, figures.working_set);
  return families;
}

}  // namespace

std::string metrics_text(const Figures& figures) {
  Rests rests;
  RestingText text(rests);
  std::ostream out(&text);
  out.exceptions(std::ios::badbit);  // or a page would end where memory was refused
  prometheus::TextSerializer().Serialize(out, families_of(figures, rests).all());
  return std::move(text).text();
}

std::vector<MetricDoc> metric_docs() {
  // One of each thing that has metrics of its own.
  Figures one;
  histogram::Counts counts;
  counts.total = counts.of[0] = 1;
  one.commands.push_back({.name = "get", .durations = std::make_shared<const histogram::Counts>(counts)});
  one.holds.push_back({.cause = "get"});
  one.errors.push_back({"ERR", 1});
  one.databases.emplace_back();
  one.users.emplace_back();
  one.policies.emplace_back();
  one.threads.emplace_back();
  one.working_set.state = "known";
  std::vector<MetricDoc> docs;
  Rests rests;
  const Families families = families_of(one, rests);
  for (const MetricFamily& family : families.all()) {
    const char* const type = family.type == counter ? "counter" : family.type == gauge ? "gauge" : "histogram";
    MetricDoc doc{family.name, type, family.help, {}};
    for (const Label& label : family.metric.front().label) doc.labels.push_back(label.name);
    docs.push_back(std::move(doc));
  }
  return docs;
}

}  // namespace pinfold::admin
