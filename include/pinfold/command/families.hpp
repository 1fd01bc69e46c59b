#pragma once
// The families of commands. Each is a file in src/command/ that ends with its rows.

#include <span>

#include "pinfold/command/command_table.hpp"

namespace pinfold::command {

std::span<const Row> string_commands();
std::span<const Row> conditional_string_commands();
std::span<const Row> lcs_commands();
std::span<const Row> bitmap_commands();
std::span<const Row> hash_commands();
std::span<const Row> list_commands();
std::span<const Row> list_search_commands();
std::span<const Row> blocking_list_commands();
std::span<const Row> set_commands();
std::span<const Row> set_algebra_commands();
std::span<const Row> sorted_set_commands();
std::span<const Row> blocking_sorted_set_commands();
std::span<const Row> sorted_set_range_commands();
std::span<const Row> sorted_set_algebra_commands();
std::span<const Row> geo_commands();
std::span<const Row> hyperloglog_commands();
std::span<const Row> sort_commands();
std::span<const Row> key_commands();
std::span<const Row> scan_commands();
std::span<const Row> expiration_commands();
std::span<const Row> command_commands();
std::span<const Row> connection_commands();
std::span<const Row> client_commands();
std::span<const Row> transaction_commands();
std::span<const Row> config_commands();
std::span<const Row> server_commands();
std::span<const Row> info_commands();
std::span<const Row> memory_commands();
std::span<const Row> debug_commands();
std::span<const Row> cache_commands();
std::span<const Row> cache_purge_commands();
std::span<const Row> cache_policy_commands();
std::span<const Row> throttle_commands();
std::span<const Row> acl_commands();
std::span<const Row> diagnose_commands();
std::span<const Row> slow_log_commands();
std::span<const Row> latency_commands();
std::span<const Row> monitor_commands();
std::span<const Row> pubsub_commands();
std::span<const Row> advise_commands();
std::span<const Row> hot_key_commands();
std::span<const Row> script_commands();
std::span<const Row> function_commands();

}  // namespace pinfold::command
