#include "pinfold/command/call.hpp"

#include <string>

#include "pinfold/command/engine.hpp"
#include "pinfold/command/table.hpp"

namespace pinfold::command {

store::Database Call::db(unsigned number) const {
  return store::Database(engine.keyspace, number, now, !session.no_touch, &wanted);
}

void Call::invalid_expire() {
  reply.error("ERR invalid expire time in '" + std::string(row.name) + "' command");
}

void Call::bulk(const store::Value& value) {
  if (value.blob != nullptr) return reply.bulk(value.share());
  reply.bulk(value.text);
}

}  // namespace pinfold::command
