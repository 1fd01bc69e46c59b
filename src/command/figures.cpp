// The names and units of all figures. How they are collected is in collect_figures.cpp.

#include "pinfold/command/figures.hpp"

#include "pinfold/base/version.hpp"

namespace pinfold::command {
namespace {

constexpr Figure<ServerFigures> kServer[] = {
    {"redis_version", Unit::none, redis_version},
    {"pinfold_version", Unit::none, version},
    {"redis_mode", Unit::none, "standalone"},
    {"os", Unit::none, &ServerFigures::system},
    {"arch_bits", Unit::none, &ServerFigures::pointer_bits},
    {"monotonic_clock", Unit::none, "POSIX clock_gettime"},
    {"multiplexing_api", Unit::none, "epoll"},
    {"process_id", Unit::none, &ServerFigures::process},
    {"run_id", Unit::none, &ServerFigures::run_id},
    {"tcp_port", Unit::none, &ServerFigures::port},
    {"server_time_usec", Unit::microseconds, &ServerFigures::time_us},
    {"uptime_in_seconds", Unit::seconds, &ServerFigures::uptime_seconds},
    {"uptime_in_days", Unit::days, &ServerFigures::uptime_days},
    {"hz", Unit::none, &ServerFigures::hz},
    {"configured_hz", Unit::none, &ServerFigures::hz},
    {"lru_clock", Unit::seconds, &ServerFigures::access_clock},
    {"threads", Unit::none, &ServerFigures::threads},
    {"executable", Unit::none, &ServerFigures::executable},
    {"config_file", Unit::none, &ServerFigures::file},
    {"config_changed_at", Unit::seconds, &ServerFigures::config_changed_at},
};

constexpr Figure<ClientFigures> kClients[] = {
    {"connected_clients", Unit::none, &ClientFigures::connected},
    {"cluster_connections", Unit::none, "0"},
    {"maxclients", Unit::none, &ClientFigures::most},
    {"client_recent_max_input_buffer", Unit::bytes, &ClientFigures::largest_input},
    {"client_recent_max_output_buffer", Unit::bytes, &ClientFigures::largest_output},
    {"blocked_clients", Unit::none, &ClientFigures::blocked},
    {"total_blocking_keys", Unit::none, &ClientFigures::blocking_keys},
    {"tracking_clients", Unit::none, &ClientFigures::tracking},
    {"clients_in_timeout_table", Unit::none, &ClientFigures::waiting_for_leases},
    {"monitor_clients", Unit::none, &ClientFigures::monitors},
    {"pubsub_clients", Unit::none, &ClientFigures::subscribers},
};

constexpr Figure<MemoryFigures> kMemory[] = {
    {"used_memory", Unit::bytes_for_people, &MemoryFigures::used},
    {"used_memory_rss", Unit::bytes_for_people, &MemoryFigures::resident},
    {"used_memory_peak", Unit::bytes_for_people, &MemoryFigures::peak},
    {"used_memory_peak_perc", Unit::percent, &MemoryFigures::peak_percentage},
    {"used_memory_overhead", Unit::bytes, &MemoryFigures::overhead},
    {"used_memory_startup", Unit::bytes, &MemoryFigures::startup},
    {"used_memory_dataset", Unit::bytes, &MemoryFigures::dataset},
    {"used_memory_dataset_perc", Unit::percent, &MemoryFigures::dataset_percentage},
    {"used_memory_segments", Unit::bytes, &MemoryFigures::segments},
    {"used_memory_blobs", Unit::bytes, &MemoryFigures::blobs},
    {"used_memory_index", Unit::bytes, &MemoryFigures::index},
    {"used_memory_ghosts", Unit::bytes, &MemoryFigures::ghosts},
    {"used_memory_herd", Unit::bytes, &MemoryFigures::coalescing},
    {"used_memory_clients", Unit::bytes, &MemoryFigures::clients},
    {"used_memory_messages", Unit::bytes, &MemoryFigures::messages},
    {"used_memory_pinned", Unit::bytes, &MemoryFigures::pinned},
    {"used_memory_sampling", Unit::bytes, &MemoryFigures::sampling},
    {"used_memory_tracking", Unit::bytes, &MemoryFigures::tracking},
    {"used_memory_scripting", Unit::bytes, &MemoryFigures::scripts},
    {"used_memory_lua", Unit::bytes_for_people, &MemoryFigures::interpreters},
    {"used_memory_vm_eval", Unit::bytes, &MemoryFigures::interpreters},
    {"used_memory_scripts_eval", Unit::bytes, &MemoryFigures::cached_scripts},
    {"number_of_cached_scripts", Unit::none, &MemoryFigures::script_count},
    {"number_of_functions", Unit::none, &MemoryFigures::function_count},
    {"number_of_libraries", Unit::none, &MemoryFigures::library_count},
    {"used_memory_vm_functions", Unit::bytes, "0"},
    {"used_memory_vm_total", Unit::bytes_for_people, &MemoryFigures::interpreters},
    {"used_memory_functions", Unit::bytes, &MemoryFigures::libraries},
    {"used_memory_scripts", Unit::bytes_for_people, &MemoryFigures::script_texts},
    {"used_memory_unaccounted", Unit::bytes, &MemoryFigures::unaccounted},
    {"total_system_memory", Unit::bytes_for_people, &MemoryFigures::system},
    {"available_memory", Unit::bytes, &MemoryFigures::available},
    {"maxmemory", Unit::bytes_for_people, &MemoryFigures::limit},
    {"maxmemory_policy", Unit::none, &MemoryFigures::policy},
    {"maxmemory_clients", Unit::bytes, &MemoryFigures::clients_share},
    {"mem_not_counted_for_evict", Unit::bytes, &MemoryFigures::clients},
    {"mem_fragmentation_ratio", Unit::ratio, &MemoryFigures::fragmentation},
    {"mem_fragmentation_bytes", Unit::bytes, &MemoryFigures::fragmentation_bytes},
    {"mem_clients_normal", Unit::bytes, &MemoryFigures::clients},
    {"mem_clients_slaves", Unit::bytes, "0"},
    {"mem_allocator", Unit::none, "libc"},
};

// There is no persistence, so nothing is loading, saving or unsaved; exporters and clients ask all the same.
constexpr Figure<ServerFigures> kPersistence[] = {
    {"loading", Unit::none, "0"},
    {"async_loading", Unit::none, "0"},
    {"rdb_changes_since_last_save", Unit::none, "0"},
    {"rdb_bgsave_in_progress", Unit::none, "0"},
    {"rdb_last_save_time", Unit::seconds, &ServerFigures::started_at},
    {"rdb_last_bgsave_status", Unit::none, "ok"},
    {"rdb_last_bgsave_time_sec", Unit::seconds, "-1"},
    {"rdb_current_bgsave_time_sec", Unit::seconds, "-1"},
    {"rdb_saves", Unit::none, "0"},
    {"aof_enabled", Unit::none, "0"},
    {"aof_rewrite_in_progress", Unit::none, "0"},
    {"aof_rewrite_scheduled", Unit::none, "0"},
    {"aof_last_rewrite_time_sec", Unit::seconds, "-1"},
    {"aof_current_rewrite_time_sec", Unit::seconds, "-1"},
    {"aof_last_bgrewrite_status", Unit::none, "ok"},
    {"aof_last_write_status", Unit::none, "ok"},
};

constexpr Figure<StatsFigures> kStats[] = {
    {"total_connections_received", Unit::none, &StatsFigures::connections},
    {"total_commands_processed", Unit::none, &StatsFigures::commands},
    {"instantaneous_ops_per_sec", Unit::per_second, &StatsFigures::commands_per_second},
    {"total_net_input_bytes", Unit::bytes, &StatsFigures::input_bytes},
    {"total_net_output_bytes", Unit::bytes, &StatsFigures::output_bytes},
    {"instantaneous_input_kbps", Unit::kilobytes_per_second, &StatsFigures::input_rate},
    {"instantaneous_output_kbps", Unit::kilobytes_per_second, &StatsFigures::output_rate},
    {"rejected_connections", Unit::none, &StatsFigures::rejected_connections},
    {"sync_full", Unit::none, "0"},
    {"sync_partial_ok", Unit::none, "0"},
    {"sync_partial_err", Unit::none, "0"},
    {"expired_keys", Unit::none, &StatsFigures::expired_keys},
    {"evicted_keys", Unit::none, &StatsFigures::evicted_keys},
    {"evicted_clients", Unit::none, &StatsFigures::evicted_clients},
    {"clients_closed_user_memory", Unit::none, &StatsFigures::clients_closed_for_users},
    {"keyspace_hits", Unit::none, &StatsFigures::hits},
    {"keyspace_misses", Unit::none, &StatsFigures::misses},
    {"tracking_total_keys", Unit::none, &StatsFigures::tracking_keys},
    {"tracking_total_items", Unit::none, &StatsFigures::tracking_items},
    {"tracking_total_prefixes", Unit::none, &StatsFigures::tracking_prefixes},
    {"tracking_keys_evicted", Unit::none, &StatsFigures::tracking_evicted},
    {"tracking_keys_aged", Unit::none, &StatsFigures::tracking_aged},
    {"tracking_reads_refused", Unit::none, &StatsFigures::tracking_refused},
    {"tracking_messages", Unit::none, &StatsFigures::tracking_messages},
    {"pubsub_channels", Unit::none, &StatsFigures::channels},
    {"pubsub_patterns", Unit::none, &StatsFigures::channel_patterns},
    {"pubsubshard_channels", Unit::none, &StatsFigures::shard_channels},
    {"pubsub_messages_published", Unit::none, &StatsFigures::messages_published},
    {"pubsub_messages_delivered", Unit::none, &StatsFigures::messages_delivered},
    {"instantaneous_pubsub_messages_per_sec", Unit::per_second, &StatsFigures::messages_per_second},
    {"keyspace_events", Unit::none, &StatsFigures::keyspace_events},
    {"keyspace_events_dropped", Unit::none, &StatsFigures::keyspace_events_dropped},
    {"latest_fork_usec", Unit::microseconds, "0"},
    {"total_forks", Unit::none, "0"},
    {"total_error_replies", Unit::none, &StatsFigures::error_replies},
    {"client_query_buffer_limit_disconnections", Unit::none, &StatsFigures::query_limit_disconnections},
    {"client_output_buffer_limit_disconnections", Unit::none, &StatsFigures::output_limit_disconnections},
    {"pinned_memory_disconnections", Unit::none, &StatsFigures::abandoned_disconnections},
    {"idle_disconnections", Unit::none, &StatsFigures::idle_disconnections},
    {"protocol_errors", Unit::none, &StatsFigures::protocol_errors},
    {"auth_failures", Unit::none, &StatsFigures::auth_failures},
    {"auth_attempts_limited", Unit::none, &StatsFigures::auth_limited},
    {"protected_mode_rejections", Unit::none, &StatsFigures::protected_connections},
    {"acl_access_denied_auth", Unit::none, &StatsFigures::denied_auth},
    {"acl_access_denied_cmd", Unit::none, &StatsFigures::denied_command},
    {"acl_access_denied_key", Unit::none, &StatsFigures::denied_key},
    {"acl_access_denied_channel", Unit::none, &StatsFigures::denied_channel},
    {"acl_access_denied_db", Unit::none, &StatsFigures::denied_database},
    {"requests_refused_rate", Unit::none, &StatsFigures::rate_limited},
    {"audit_lines_written", Unit::none, &StatsFigures::audit_written},
    {"audit_lines_lost", Unit::none, &StatsFigures::audit_lost},
    {"audit_lines_left_out", Unit::none, &StatsFigures::audit_left_out},
    {"audit_log_failing", Unit::none, &StatsFigures::audit_failing},
    {"log_lines_written", Unit::none, &StatsFigures::log_written},
    {"log_lines_lost", Unit::none, &StatsFigures::log_lost},
    {"log_failing", Unit::none, &StatsFigures::log_failing},
    {"total_reads_processed", Unit::none, &StatsFigures::reads},
    {"total_writes_processed", Unit::none, &StatsFigures::writes},
    {"eventloop_cycles", Unit::none, &StatsFigures::cycles},
    {"shard_lock_longest_us", Unit::microseconds, &StatsFigures::lock_longest_us},
    {"shard_lock_holds", Unit::none, &StatsFigures::lock_holds},
    {"shard_lock_holds_over_1ms", Unit::none, &StatsFigures::lock_long_holds},
    {"shard_lock_longest_cpu_us", Unit::microseconds, &StatsFigures::lock_longest_cpu_us},
    {"shard_lock_waits", Unit::none, &StatsFigures::lock_waits},
    {"shard_lock_waits_slept", Unit::none, &StatsFigures::lock_waits_slept},
    {"shard_lock_longest_wait_us", Unit::microseconds, &StatsFigures::lock_longest_wait_us},
    {"shard_lock_wait_us", Unit::microseconds, &StatsFigures::lock_wait_us},
    {"room_waits", Unit::none, &StatsFigures::room_waits},
    {"room_wait_us", Unit::microseconds, &StatsFigures::room_wait_us},
    {"evicted_keys_memory", Unit::none, &StatsFigures::evicted_for_memory},
    {"evicted_keys_max_memory", Unit::none, &StatsFigures::evicted_for_quota},
    {"evicted_keys_first_out", Unit::none, &StatsFigures::evicted_first_out},
    {"evicted_keys_negative", Unit::none, &StatsFigures::evicted_negative},
    {"shard_imbalance", Unit::ratio, &StatsFigures::shard_imbalance},
    {"admin_requests", Unit::none, &StatsFigures::admin_requests},
    {"admin_requests_without_token", Unit::none, &StatsFigures::admin_without_token},
    {"admin_requests_protected_mode", Unit::none, &StatsFigures::admin_protected},
    {"admin_requests_wrong_host", Unit::none, &StatsFigures::admin_wrong_host},
    {"admin_connections_rejected", Unit::none, &StatsFigures::admin_rejected},
    {"slow_commands", Unit::none, &StatsFigures::slow_commands},
    {"large_requests", Unit::none, &StatsFigures::large_requests},
    {"large_replies", Unit::none, &StatsFigures::large_replies},
    {"spans_exported", Unit::none, &StatsFigures::spans_exported},
    {"spans_dropped", Unit::none, &StatsFigures::spans_dropped},
    {"spans_failed", Unit::none, &StatsFigures::spans_failed},
};

constexpr Figure<ServerFigures> kReplication[] = {
    {"role", Unit::none, "master"},
    {"connected_slaves", Unit::none, "0"},
    {"master_failover_state", Unit::none, "no-failover"},
    {"master_replid", Unit::none, &ServerFigures::run_id},
    {"master_replid2", Unit::none, "0000000000000000000000000000000000000000"},
    {"master_repl_offset", Unit::bytes, "0"},
    {"second_repl_offset", Unit::bytes, "-1"},
    {"repl_backlog_active", Unit::none, "0"},
    {"repl_backlog_size", Unit::bytes, "0"},
    {"repl_backlog_first_byte_offset", Unit::bytes, "0"},
    {"repl_backlog_histlen", Unit::bytes, "0"},
};

constexpr Figure<CpuFigures> kCpu[] = {
    {"used_cpu_sys", Unit::seconds, &CpuFigures::system},
    {"used_cpu_user", Unit::seconds, &CpuFigures::user},
    {"used_cpu_sys_children", Unit::seconds, &CpuFigures::system_of_children},
    {"used_cpu_user_children", Unit::seconds, &CpuFigures::user_of_children},
};

constexpr Figure<CacheFigures> kCache[] = {
    {"leases", Unit::none, &CacheFigures::leases},
    {"lease_waiters", Unit::none, &CacheFigures::waiters},
    {"lease_granted", Unit::none, &CacheFigures::granted},
    {"lease_filled", Unit::none, &CacheFigures::filled},
    {"lease_voided", Unit::none, &CacheFigures::voided},
    {"lease_expired", Unit::none, &CacheFigures::expired},
    {"lease_released", Unit::none, &CacheFigures::released},
    {"lease_refused", Unit::none, &CacheFigures::refused},
    {"lease_refused_max_leases", Unit::none, &CacheFigures::refused_max_leases},
    {"lease_refused_policy", Unit::none, &CacheFigures::refused_by_policy},
    {"lease_refused_memory", Unit::none, &CacheFigures::refused_for_memory},
    {"lease_waits_refused", Unit::none, &CacheFigures::waits_refused},
    {"lease_waits_refused_max_waiters", Unit::none, &CacheFigures::waits_refused_max_waiters},
    {"lease_waits_refused_no_lease", Unit::none, &CacheFigures::waits_refused_no_lease},
    {"lease_waits_refused_memory", Unit::none, &CacheFigures::waits_refused_for_memory},
    {"fill_refused", Unit::none, &CacheFigures::fills_refused},
    {"fill_refused_token", Unit::none, &CacheFigures::fills_refused_token},
    {"fill_refused_tag", Unit::none, &CacheFigures::fills_refused_tag},
    {"fill_refused_version", Unit::none, &CacheFigures::fills_refused_version},
    {"fill_refused_dependency", Unit::none, &CacheFigures::fills_refused_dependency},
    {"early_refreshes", Unit::none, &CacheFigures::early_refreshes},
    {"stale_hits", Unit::none, &CacheFigures::stale_hits},
    {"negative_hits", Unit::none, &CacheFigures::negative_hits},
    {"negative_entries", Unit::none, &CacheFigures::negative_entries},
    {"negative_bytes", Unit::bytes, &CacheFigures::negative_bytes},
    {"purges_tags", Unit::none, &CacheFigures::purges_of_tags},
    {"purges_prefix", Unit::none, &CacheFigures::purges_of_prefixes},
    {"purges_cascade", Unit::none, &CacheFigures::purges_cascading},
    {"purges_cascade_entries", Unit::none, &CacheFigures::entries_of_cascades},
    {"purges_pending", Unit::none, &CacheFigures::purges_pending},
    {"serve_stale", Unit::none, &CacheFigures::serves_stale},
    {"admit_percent", Unit::none, &CacheFigures::admit_percent},
    {"bypass", Unit::none, &CacheFigures::bypass},
    {"max_leases", Unit::none, &CacheFigures::max_leases},
    {"policies_admit", Unit::none, &CacheFigures::policies_admitting_part},
    {"policies_bypassed", Unit::none, &CacheFigures::policies_bypassed},
    {"policies_serve_stale", Unit::none, &CacheFigures::policies_serving_stale},
    {"policies_no_leases", Unit::none, &CacheFigures::policies_without_leases},
    {"writes_not_admitted", Unit::none, &CacheFigures::writes_not_admitted},
    {"reads_bypassed", Unit::none, &CacheFigures::reads_bypassed},
    {"writes_bypassed", Unit::none, &CacheFigures::writes_bypassed},
};

// The names of certificates' figures are Valkey's.
constexpr Figure<TlsFigures> kTls[] = {
    {"tls_port", Unit::none, &TlsFigures::port},
    {"tls_connected_clients", Unit::none, &TlsFigures::clients},
    {"tls_handshakes", Unit::none, &TlsFigures::handshakes},
    {"tls_handshakes_resumed", Unit::none, &TlsFigures::resumed},
    {"tls_handshakes_failed", Unit::none, &TlsFigures::failed},
    {"tls_handshakes_timed_out", Unit::none, &TlsFigures::timed_out},
    {"tls_handshakes_under_way", Unit::none, &TlsFigures::under_way},
    {"tls_handshakes_waiting", Unit::none, &TlsFigures::waiting},
    {"acl_access_denied_tls_cert", Unit::none, &TlsFigures::users_refused},
    {"tls_server_cert_serial", Unit::none, &TlsFigures::server_serial},
    {"tls_server_cert_expires_at", Unit::seconds, &TlsFigures::server_expires},
    {"tls_server_cert_expires_in_seconds", Unit::seconds, &TlsFigures::server_left},
    {"tls_ca_cert_serial", Unit::none, &TlsFigures::ca_serial},
    {"tls_ca_cert_expires_at", Unit::seconds, &TlsFigures::ca_expires},
    {"tls_ca_cert_expires_in_seconds", Unit::seconds, &TlsFigures::ca_left},
    {"tls_certificates_loaded", Unit::none, &TlsFigures::loads},
    {"tls_certificates_failed", Unit::none, &TlsFigures::failed_loads},
    {"tls_certificates_loaded_at", Unit::seconds, &TlsFigures::loaded_at},
    {"tls_certificates_last_load", Unit::none, &TlsFigures::last_load},
};

constexpr Figure<ServerFigures> kCluster[] = {
    {"cluster_enabled", Unit::none, "0"},
};

constexpr Figure<KeyFigures> kKeys[] = {
    {"key_accesses_sampled", Unit::none, &KeyFigures::sampled},
    {"key_accesses_per_sec", Unit::per_second, &KeyFigures::accesses_per_second},
    {"hottest_key_share", Unit::percent, &KeyFigures::hottest},
    {"hot_key_share_top_1", Unit::percent, &KeyFigures::top_1},
    {"hot_key_share_top_5", Unit::percent, &KeyFigures::top_5},
    {"hot_key_share_top_10", Unit::percent, &KeyFigures::top_10},
    {"values_up_to_64b", Unit::none, &KeyFigures::of_64b},
    {"values_up_to_1kb", Unit::none, &KeyFigures::of_1kb},
    {"values_up_to_16kb", Unit::none, &KeyFigures::of_16kb},
    {"values_up_to_256kb", Unit::none, &KeyFigures::of_256kb},
    {"values_up_to_1mb", Unit::none, &KeyFigures::of_1mb},
    {"values_up_to_16mb", Unit::none, &KeyFigures::of_16mb},
    {"values_larger", Unit::none, &KeyFigures::larger},
};

constexpr Figure<ScriptFigures> kScripts[] = {
    {"scripts_executed", Unit::none, &ScriptFigures::executed},
    {"scripts_locked_all", Unit::none, &ScriptFigures::locked_all},
    {"scripts_locked_declared", Unit::none, &ScriptFigures::locked_declared},
    {"scripts_locked_more", Unit::none, &ScriptFigures::locked_more},
    {"scripts_run_again", Unit::none, &ScriptFigures::run_again},
    {"scripts_refused_undeclared", Unit::none, &ScriptFigures::refused_undeclared},
    {"scripts_killed", Unit::none, &ScriptFigures::killed},
    {"scripts_out_of_time", Unit::none, &ScriptFigures::out_of_time},
    {"scripts_longest_us", Unit::microseconds, &ScriptFigures::longest_us},
    {"scripts_running", Unit::none, &ScriptFigures::running},
    {"cached_scripts_evicted", Unit::none, &ScriptFigures::evicted},
};

constexpr Figure<CommandFigures> kCommand[] = {
    {"calls", Unit::none, &CommandFigures::calls},
    {"usec", Unit::microseconds, &CommandFigures::time_us},
    {"usec_per_call", Unit::microseconds, &CommandFigures::time_per_call_us},
    {"rejected_calls", Unit::none, &CommandFigures::rejected},
    {"failed_calls", Unit::none, &CommandFigures::failed},
};

constexpr Figure<HoldFigures> kHold[] = {
    {"holds", Unit::none, &HoldFigures::holds},
    {"over_budget", Unit::none, &HoldFigures::over_budget},
    {"waits", Unit::none, &HoldFigures::waits},
    {"wait_us", Unit::microseconds, &HoldFigures::wait_us},
    {"entries", Unit::none, &HoldFigures::entries},
    {"bytes", Unit::bytes, &HoldFigures::bytes},
    {"nodes", Unit::none, &HoldFigures::nodes},
    {"allocations", Unit::none, &HoldFigures::allocations},
    {"system_calls", Unit::none, &HoldFigures::system_calls},
};

constexpr Figure<ErrorFigures> kError[] = {
    {"count", Unit::none, &ErrorFigures::count},
};

constexpr Figure<DatabaseFigures> kDatabase[] = {
    {"keys", Unit::none, &DatabaseFigures::keys},
    {"expires", Unit::none, &DatabaseFigures::expiring},
    {"avg_ttl", Unit::milliseconds, &DatabaseFigures::average_ttl_ms},
};

// The name comes last, because it may have a comma.
constexpr Figure<UserFigures> kUser[] = {
    {"clients", Unit::none, &UserFigures::clients},
    {"memory", Unit::bytes, &UserFigures::memory},
    {"requests", Unit::none, &UserFigures::requests},
    {"refused", Unit::none, &UserFigures::refused},
    {"closed", Unit::none, &UserFigures::closed},
    {"hits", Unit::none, &UserFigures::hits},
    {"misses", Unit::none, &UserFigures::misses},
    {"stale_hits", Unit::none, &UserFigures::stale_hits},
    {"negative_hits", Unit::none, &UserFigures::negative_hits},
    {"name", Unit::none, &UserFigures::name},
};

constexpr Figure<PolicyFigures> kPolicy[] = {
    {"name", Unit::none, &PolicyFigures::name},
    {"bytes", Unit::bytes, &PolicyFigures::bytes},
    {"hits", Unit::none, &PolicyFigures::hits},
    {"stale_hits", Unit::none, &PolicyFigures::stale_hits},
    {"negative_hits", Unit::none, &PolicyFigures::negative_hits},
    {"misses", Unit::none, &PolicyFigures::misses},
    {"leases_granted", Unit::none, &PolicyFigures::granted},
    {"leases", Unit::none, &PolicyFigures::leases},
    {"loads", Unit::none, &PolicyFigures::loads},
    {"load_ms", Unit::milliseconds, &PolicyFigures::load_ms},
    {"evicted", Unit::none, &PolicyFigures::evicted},
};

constexpr Figure<ThreadFigures> kThread[] = {
    {"busy", Unit::seconds, &ThreadFigures::busy},
    {"round_median_us", Unit::microseconds, &ThreadFigures::median_round_us},
    {"round_p99_us", Unit::microseconds, &ThreadFigures::p99_round_us},
    {"round_longest_us", Unit::microseconds, &ThreadFigures::longest_round_us},
};

constexpr Figure<WorkingSetFigures> kWorkingSet[] = {
    {"workingset_state", Unit::none, &WorkingSetFigures::state},
    {"hit_ratio_at_memory_0.25", Unit::percent, &WorkingSetFigures::quarter},
    {"hit_ratio_at_memory_0.5", Unit::percent, &WorkingSetFigures::half},
    {"hit_ratio_at_memory_1", Unit::percent, &WorkingSetFigures::present},
    {"hit_ratio_at_memory_2", Unit::percent, &WorkingSetFigures::twice},
    {"hit_ratio_at_memory_4", Unit::percent, &WorkingSetFigures::four_times},
    {"hit_ratio_at_memory_uncertainty", Unit::percent, &WorkingSetFigures::uncertainty},
    {"workingset_sampled_reads", Unit::none, &WorkingSetFigures::reads},
    {"workingset_sampled_entries", Unit::none, &WorkingSetFigures::entries},
    {"workingset_one_key_in", Unit::none, &WorkingSetFigures::keys_each},
    {"workingset_dropped_samples", Unit::none, &WorkingSetFigures::dropped},
    {"workingset_unread_keys", Unit::percent, &WorkingSetFigures::unread_keys},
    {"workingset_unread_bytes", Unit::percent, &WorkingSetFigures::unread_bytes},
    {"workingset_changes", Unit::none, &WorkingSetFigures::changes},
    {"workingset_change_age_ms", Unit::milliseconds, &WorkingSetFigures::change_age_ms},
    {"workingset_change_ttl_ms", Unit::milliseconds, &WorkingSetFigures::change_ttl_ms},
};

}  // namespace

std::span<const Figure<ServerFigures>> server_figures() { return kServer; }
std::span<const Figure<ClientFigures>> client_figures() { return kClients; }
std::span<const Figure<MemoryFigures>> memory_figures() { return kMemory; }
std::span<const Figure<ServerFigures>> persistence_figures() { return kPersistence; }
std::span<const Figure<StatsFigures>> stats_figures() { return kStats; }
std::span<const Figure<ServerFigures>> replication_figures() { return kReplication; }
std::span<const Figure<CpuFigures>> cpu_figures() { return kCpu; }
std::span<const Figure<CacheFigures>> cache_figures() { return kCache; }
std::span<const Figure<TlsFigures>> tls_figures() { return kTls; }
std::span<const Figure<ServerFigures>> cluster_figures() { return kCluster; }
std::span<const Figure<KeyFigures>> key_figures() { return kKeys; }
std::span<const Figure<ScriptFigures>> script_figures() { return kScripts; }
std::span<const Figure<CommandFigures>> command_figures() { return kCommand; }
std::span<const Figure<HoldFigures>> hold_figures() { return kHold; }
std::span<const Figure<ErrorFigures>> error_figures() { return kError; }
std::span<const Figure<DatabaseFigures>> database_figures() { return kDatabase; }
std::span<const Figure<UserFigures>> user_figures() { return kUser; }
std::span<const Figure<PolicyFigures>> policy_figures() { return kPolicy; }
std::span<const Figure<ThreadFigures>> thread_figures() { return kThread; }
std::span<const Figure<WorkingSetFigures>> working_set_figures() { return kWorkingSet; }

}  // namespace pinfold::command
