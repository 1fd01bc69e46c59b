#include "pinfold/command/set_replies.hpp"

#include "pinfold/base/work.hpp"

namespace pinfold::command {

using types::Set;

std::optional<Set> find_set(Call& call, const store::Key& key) {
  store::Database db = call.db();
  const auto value = types::find_collection(db, key, store::Type::set);
  return value ? std::optional(Set(*value)) : std::nullopt;
}

resp::Written reply_member(resp::Reply& reply, const types::Member& member) {
  return member.is_plain_number() ? reply.bulk_integer(member.number()) : reply_element(reply, member.element());
}

void write_member(resp::Reply& reply, const char* item) { reply_element(reply, store::Element(item)); }

Outcome reply_members(Call& call, const Set& set) {
  if (set.layout() == Set::Layout::tree) {
    const std::uint64_t size = set.size();
    return reply_items(call, set.collection(), {.count = size, .header = ItemsReply::Header::set, .headed = size, .write = write_member});
  }
  call.reply.set(set.size());
  set.visit(0, set.size(), [&](const types::Member& member) {
    reply_member(call.reply, member);
    return true;
  });
  return Outcome::done;
}

std::string run_of(const types::NumberSet& numbers) {
  constexpr std::size_t most_of_number = 9;
  const auto count = static_cast<std::uint16_t>(numbers.size());
  std::string run(reinterpret_cast<const char*>(&count), sizeof count);
  run.reserve(sizeof count + count * most_of_number);
  for (std::size_t i = 0; i < count; ++i) run += store::PackedElement(numbers.at(i)).packed();
  work::bytes(run.size());
  return run;
}

}  // namespace pinfold::command
