#pragma once
// What a client has subscribed to.

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string_view>

namespace pinfold::command {

class Topic;
struct Session;

/// What a name is that clients subscribe to. Names of different kinds have nothing to do with each other.
enum class TopicKind : std::uint8_t { channel, pattern, shard_channel };
inline constexpr std::size_t topic_kinds = 3;

/// A name with its keyed hash. Ordered by the hash, so that finding one among many takes few comparisons, however clients choose names.
struct TopicName {
  std::uint64_t hash = 0;
  std::string_view text;
  auto operator<=>(const TopicName&) const = default;
};

/// The subscriptions of one client. Used by the client's I/O thread only. PubSub makes, changes and destroys it.
struct Subscriber {
  explicit Subscriber(Session& of) : session(of) {}

  struct Held {
    std::shared_ptr<Topic> topic;
    std::uint32_t place = 0;  // among the topic's subscriptions of this thread
  };
  using Topics = std::map<TopicName, Held>;  // the names are those of the topics

  std::size_t count() const { return topics[0].size() + topics[1].size() + topics[2].size(); }

  Session& session;
  std::array<Topics, topic_kinds> topics;  // by TopicKind
  std::size_t bytes = 0;                   // as they are counted in store::Use::clients
};

}  // namespace pinfold::command
