#include "pinfold/store/entry.hpp"

#include "pinfold/base/work.hpp"

namespace pinfold::store {

void Entry::write(EntryParts&& parts, std::size_t extent) {
  if (work::counted()) work::bytes(size_of(parts));
  const bool long_form = !parts.key_blob && parts.key.size() >= long_key_mark;
  const std::size_t deadline = deadline_size(parts.expires_at);
  unsigned flags = 0;
  if (deadline != 0) flags |= kDeadline;
  if (deadline == 8) flags |= kWideDeadline;
  if (parts.accessed != 0) flags |= kAccessed;
  if (!parts.extra.empty()) flags |= kExtra;
  if (parts.absent) flags |= kAbsent;
  if (parts.key_blob) flags |= kKeyBlob;
  if (parts.outside) flags |= kOutside;
  const bool typed = parts.encoding == Encoding::typed;
  const std::size_t value_size = parts.outside ? 0 : parts.value.size() + (typed ? sizeof(ValueKind) : 0);

  store<std::uint16_t>(0, extent / word | static_cast<unsigned>(parts.frequency) << 14);
  store<std::uint16_t>(2, value_size | static_cast<unsigned>(parts.encoding) << 14);
  const std::size_t short_size = parts.key_blob ? 0 : parts.key.size();
  at_[4] = static_cast<char>(long_form ? long_key_mark : short_size);
  at_[5] = static_cast<char>(flags);

  char* to = at_ + entry_header;
  std::memcpy(to, &parts.expires_at, deadline);
  to += deadline;
  if (parts.accessed != 0) {
    std::memcpy(to, &parts.accessed, sizeof parts.accessed);
    to += sizeof parts.accessed;
  }
  if (!parts.extra.empty()) {
    std::memcpy(to, parts.extra.data(), parts.extra.size());
    to += parts.extra.size();
  }
  if (long_form) {
    const auto size = static_cast<std::uint16_t>(parts.key.size());
    std::memcpy(to, &parts.hash, sizeof parts.hash);
    std::memcpy(to + sizeof parts.hash, &size, sizeof size);
    to += long_key_head;
  }
  const auto pointer = [&to](void* raw) {
    std::memcpy(to, &raw, sizeof raw);
    to += sizeof raw;
  };
  if (parts.key_blob) {
    pointer(parts.key_blob.detach());
    std::memcpy(to, &parts.hash, sizeof parts.hash);
    to += sizeof parts.hash;
  } else if (!parts.key.empty()) {
    std::memcpy(to, parts.key.data(), parts.key.size());
    to += parts.key.size();
  }
  if (typed) [[unlikely]] {
    std::memcpy(to, &parts.kind, sizeof parts.kind);
    to += sizeof parts.kind;
  }
  if (parts.outside) {
    pointer(parts.outside.detach().raw());
  } else if (!parts.value.empty()) {
    std::memcpy(to, parts.value.data(), parts.value.size());
  }
}

bool Entry::set_deadline_in_place(UnixMs at) {
  const std::size_t size = deadline_bytes();
  if (size != deadline_size(at)) return false;
  std::memcpy(at_ + entry_header, &at, size);
  return true;
}

}  // namespace pinfold::store
